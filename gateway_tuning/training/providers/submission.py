"""A submission that was checked before anything of it leaves this machine, and how it is known again afterwards."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from pydantic import BaseModel, ValidationError

from gateway_tuning.datasets.formats import find
from gateway_tuning.datasets.formats.format import Problem
from gateway_tuning.datasets.splits import TRAIN, VALIDATION
from gateway_tuning.errors import ConflictError, NotFoundError, ProviderError, ProviderUnavailableError
from gateway_tuning.storage.object_store import file_sha256
from gateway_tuning.training.job import JobStatus, ProviderJob, TrainingFiles, TuningSpec
from gateway_tuning.training.provider import Capabilities

Job = TypeVar("Job")

LONGEST_FACT = 512  # OpenAI's metadata takes no longer value
LABEL = 24
TOLD_PROBLEMS = 3


@dataclass(frozen=True, slots=True)
class Upload:
    """A file of the submission. Its name says whose it is and what is in it, so that it is found and not sent twice."""

    key: str
    split: str
    path: Path
    sha256: str

    @property
    def name(self) -> str:
        return f"{mark_prefix(self.key)}{self.split}-{self.sha256[:16]}.jsonl"

    @property
    def size(self) -> int:
        return self.path.stat().st_size


@dataclass(frozen=True, slots=True)
class Submission:
    """`hyperparameters` are those that were given, in the types that the provider takes."""

    key: str
    spec: TuningSpec
    hyperparameters: dict[str, Any]
    train: Upload
    validation: Upload | None

    @property
    def uploads(self) -> tuple[Upload, ...]:
        return (self.train,) if self.validation is None else (self.train, self.validation)

    def facts(self) -> dict[str, str]:
        """What makes the job the one it is, in texts that fit a provider's metadata."""
        asked = {name: _text(value) for name, value in asdict(self.spec).items() if name != "provider"}
        held_out = "" if self.validation is None else self.validation.sha256
        return {**asked, "train_sha256": self.train.sha256, "validation_sha256": held_out}

    def mark(self) -> str:
        """All facts in a short name, of lower-case letters, digits and hyphens: for providers that keep no more."""
        facts = self.facts()
        train = facts.pop("train_sha256")
        spec = sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
        return f"{mark_prefix(self.key)}{spec[:8]}-{train[:8]}"


def label(key: str) -> str:
    """The beginning of the key, by which `reconcile-jobs` knows it; of a key that is no plain name, its hash's."""
    plain = re.fullmatch(r"[a-z0-9]{12,}", key) is not None
    return key[:LABEL] if plain else sha256(key.encode()).hexdigest()[:LABEL]


def mark_prefix(key: str) -> str:
    return f"gt-{label(key)}-"


def key_of_mark(mark: str) -> str | None:
    """The label in a mark; None for a name that is not one of ours."""
    found = re.match(rf"gt-([a-z0-9]{{12,{LABEL}}})(-|$)", mark)
    return found.group(1) if found else None


def require_same(key: str, known: Mapping[str, str], wanted: Mapping[str, str]) -> None:
    """Raises ConflictError naming the facts in which a known job differs. Facts that it does not tell are not held."""
    differ = [name for name, value in wanted.items() if known.get(name, value) != value]
    if differ:
        _conflict(key, ", ".join(differ))


def require_same_mark(key: str, known: str, wanted: str) -> None:
    if known == wanted:
        return
    same_data = known.rpartition("-")[2] == wanted.rpartition("-")[2]
    same_spec = known.rpartition("-")[0] == wanted.rpartition("-")[0]
    spec = "one of base_model, method, hyperparameters, seed, dataset_id, validation_sha256"
    _conflict(key, " and ".join([spec] * (not same_spec) + ["train_sha256"] * (not same_data)))


def _conflict(key: str, differences: str) -> NoReturn:
    raise ConflictError(
        f"Job {key} exists with another spec or other data ({differences}); use another key"
    ) from None


def checked(
    who: str,
    key: str,
    spec: TuningSpec,
    files: TrainingFiles,
    *,
    capabilities: Capabilities,
    parameters: Mapping[str, type[BaseModel]],
) -> Submission:
    """Refuse what the provider would, before anything is sent.

    `who` is the provider in messages, `parameters` the hyperparameters that it takes, by method.

    Raises:
        ProviderError: it names what to change. It never quotes the data.
    """
    export = capabilities.export_of(spec.method)
    if capabilities.base_models is not None and spec.base_model not in capabilities.base_models:
        known = ", ".join(sorted(capabilities.base_models))
        raise ProviderError(f"{who} does not tune {spec.base_model}; it tunes {known}")
    hyperparameters = _hyperparameters(who, parameters[spec.method], spec)
    splits = {TRAIN: files.train} | ({} if files.validation is None else {VALIDATION: files.validation})
    for split, path in splits.items():
        _require_trainable(who, export, path, split)
    uploads = {split: Upload(key, split, path, file_sha256(path)) for split, path in splits.items()}
    return Submission(key, spec, hyperparameters, uploads[TRAIN], uploads.get(VALIDATION))


def create_once(
    create: Callable[[], Job], find: Callable[[], Job | None], forget: Callable[[], object]
) -> Job:
    """Send the files of a job that was not found, and create it. After an answer that was lost it is looked for again.

    Of a job that is refused, `forget` deletes the files that were sent for it.

    Raises:
        ProviderUnavailableError: it is still not known; submitting again looks first, and so makes no second one.
        ProviderError: refused for good. It says so if files were left.
    """
    try:
        return create()
    except ProviderUnavailableError:
        if (found := find()) is not None:
            return found
        raise
    except (ProviderError, NotFoundError) as refusal:
        try:
            found = find()  # somebody else may have been faster, whose job needs the files
            if found is None:
                forget()
        except (ProviderError, NotFoundError) as error:
            raise ProviderError(f"{refusal}. What was sent before may still lie there: {error}") from refusal
        if found is None:
            raise
        return found


def ask_to_stop(ask: Callable[[], object], has_ended: Callable[[], bool]) -> None:
    """A job that has ended is not asked; one that ends in between may refuse."""
    if has_ended():
        return
    try:
        ask()
    except ProviderUnavailableError:
        raise
    except ProviderError:
        if not has_ended():
            raise


def require_ended(job_id: str, status: JobStatus) -> None:
    """Raises ConflictError."""
    if not status.is_terminal:
        raise ConflictError(f"Job {job_id} has not ended; cancel it and discard it once poll says it has")


def no_result(job_id: str, seen: ProviderJob) -> ProviderError:
    return ProviderError(
        f"Job {job_id} has no result: it is {seen.status} ({seen.message or 'no message'}). "
        "Collect it once poll says succeeded"
    )


def _hyperparameters(who: str, model: type[BaseModel], spec: TuningSpec) -> dict[str, Any]:
    try:
        given = model.model_validate(spec.hyperparameters)
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors())
        known = ", ".join(model.model_fields) or "none"
        raise ProviderError(
            f"Hyperparameters of {who} for {spec.method}: {problems}. Known are: {known}"
        ) from None
    return given.model_dump(exclude_unset=True)


def _require_trainable(who: str, export: str, path: Path, split: str) -> None:
    with path.open("rb") as lines:
        problems = find(export).validate(lines, split=split)
    if problems:
        told = "; ".join(map(_told, problems[:TOLD_PROBLEMS]))
        more = f"; {len(problems) - TOLD_PROBLEMS} more" if len(problems) > TOLD_PROBLEMS else ""
        raise ProviderError(
            f"{path.name} is no {split} file in the format {export} that {who} takes: {told}{more}"
        )


def _told(problem: Problem) -> str:
    where = "" if problem.line is None else f"line {problem.line} "
    return f"{where}{problem.problem}: {problem.remedy}"


def _text(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
    return text if len(text) <= LONGEST_FACT else f"sha256:{sha256(text.encode()).hexdigest()}"
