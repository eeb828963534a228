"""Amazon Bedrock: Claude, Nova and Llama, tuned by model customization jobs and read from S3."""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from gateway_tuning.errors import ConflictError, NotFoundError, ProviderError, ProviderUnavailableError
from gateway_tuning.training.job import (
    Checkpoint,
    JobStatus,
    ProviderJob,
    TrainingFiles,
    TunedModel,
    TuningSpec,
)
from gateway_tuning.training.provider import Capabilities, KnownJob
from gateway_tuning.training.providers import answers
from gateway_tuning.training.providers.bedrock.account import BedrockAccount, asking
from gateway_tuning.training.providers.bedrock.data import Folder
from gateway_tuning.training.providers.bedrock.families import FAMILIES, NOVA, as_strings, family_of
from gateway_tuning.training.providers.submission import (
    Submission,
    checked,
    no_result,
    require_ended,
    require_same,
)

SUPERVISED = "supervised"
_OF_FAMILY = {
    family.word: Capabilities({SUPERVISED: family.format_name}, None, family.format.train.min_lines)
    for family in FAMILIES
}
CAPABILITIES = Capabilities(
    exports={SUPERVISED: NOVA.format_name},
    base_models=None,
    min_examples=NOVA.format.train.min_lines,
    variants=_OF_FAMILY,
)

PREFIX = "gateway-tuning-"
_TAG = "gateway-tuning:"
_KEY_LENGTH = 63 - len(PREFIX)
_PLAIN_KEY = re.compile(r"[a-zA-Z0-9]+(?:-[a-zA-Z0-9]+)*")
_HASH = re.compile(r"[0-9a-f]{64}")
_TAG_VALUE = re.compile(r"[a-zA-Z0-9\s._:/=+@-]{0,256}")

_STATUSES = {
    "InProgress": JobStatus.RUNNING,
    "Stopping": JobStatus.RUNNING,
    "Completed": JobStatus.SUCCEEDED,
    "Failed": JobStatus.FAILED,
    "Stopped": JobStatus.CANCELLED,
}
_PHASES = {
    "validationDetails": "checking the data",
    "dataProcessingDetails": "preparing the data",
    "trainingDetails": "training",
}


def job_name(key: str) -> str:
    """Of the job with this key, also the name of its model: letters, digits and single hyphens, 63 at most."""
    if _HASH.fullmatch(key):
        return PREFIX + key[:_KEY_LENGTH]
    if len(key) <= _KEY_LENGTH and _PLAIN_KEY.fullmatch(key):
        return PREFIX + key
    return PREFIX + hashlib.sha256(key.encode()).hexdigest()[:_KEY_LENGTH]


@dataclass(frozen=True, slots=True)
class BedrockProvider:
    """A job's id is its ARN. Its tags say what it was made of; its name and its request token are of our key."""

    account: BedrockAccount

    @property
    def capabilities(self) -> Capabilities:
        return CAPABILITIES

    def submit(self, key: str, spec: TuningSpec, files: TrainingFiles) -> ProviderJob:
        submission = _checked(key, spec, files)
        name = job_name(key)
        arn = self._find(name) or self._create(name, submission)
        require_same(key, self._tags(arn), _tags(submission))
        return self.poll(arn)

    def poll(self, job_id: str) -> ProviderJob:
        return self._seen(self._described(job_id))

    def cancel(self, job_id: str) -> None:
        job = self._described(job_id)
        if _status(job).is_terminal or job.get("status") == "Stopping":
            return
        try:
            with asking(self.account, f"stop the job {job['jobName']}"):
                self._bedrock.stop_model_customization_job(jobIdentifier=job["jobArn"])
        except ProviderUnavailableError:
            raise
        except (ProviderError, ConflictError):  # it may have ended meanwhile
            if not _status(self._described(job_id)).is_terminal:
                raise

    def collect(self, job_id: str) -> TunedModel:
        job = self._described(job_id)
        seen = self._seen(job)
        model = job.get("outputModelArn")
        if seen.status is not JobStatus.SUCCEEDED or not model:
            raise no_result(job_id, seen)
        return TunedModel(served_model=model, metrics=seen.metrics)

    def discard(self, job_id: str) -> None:
        """Every version of the data on S3. What the service wrote, losses alone, stays with the job."""
        arn = self._arn(job_id)
        if arn is None:
            folder = Folder(self.account, job_name(job_id))
            if not folder.has_data():
                raise NotFoundError(f"No tuning job {job_id} at Bedrock in {self.account.region}")
            return folder.discard()
        job = self._described(arn)
        require_ended(job_id, _status(job))
        return Folder(self.account, job["jobName"]).discard()

    def known_jobs(self) -> Iterator[KnownJob]:
        for job in self._listed(PREFIX):
            if job["jobName"].startswith(PREFIX):
                seen = ProviderJob(job["jobArn"], _status(job), message=_message(job))
                yield KnownJob(job["jobName"].removeprefix(PREFIX), seen)

    @property
    def _bedrock(self) -> Any:
        return self.account.client("bedrock")

    def _create(self, name: str, submission: Submission) -> str:
        """A crash or a lost answer anywhere in here is made good by the next submission: same files, same token."""
        folder = Folder(self.account, name)
        base_model = submission.spec.base_model
        tags = [{"key": f"{_TAG}{fact}", "value": value} for fact, value in _tags(submission).items()]
        request: dict[str, Any] = {
            "jobName": name,
            "customModelName": name,
            "clientRequestToken": name,
            "roleArn": self.account.role_arn,
            "baseModelIdentifier": base_model,
            "customizationType": "FINE_TUNING",
            "hyperParameters": as_strings(submission.hyperparameters),
            "trainingDataConfig": {"s3Uri": folder.upload(submission.train)},
            "outputDataConfig": {"s3Uri": folder.output_uri},
            "jobTags": tags,
            "customModelTags": tags,
        }
        if submission.validation is not None:
            held_out = [{"s3Uri": folder.upload(submission.validation)}]
            request["validationDataConfig"] = {"validators": held_out}
        if self.account.model_kms_key_arn is not None:
            request["customModelKmsKeyId"] = self.account.model_kms_key_arn
        try:
            with asking(self.account, f"create the job {name}", base_model=base_model):
                return str(self._bedrock.create_model_customization_job(**request)["jobArn"])
        except ProviderUnavailableError:
            raise
        except (ProviderError, ConflictError) as refusal:
            try:
                arn = self._find(name)
            except ProviderUnavailableError:
                raise refusal from None
            if arn is None:
                folder.discard()
                raise
            return arn  # somebody was faster

    def _find(self, name: str) -> str | None:
        """The oldest, should there ever be two."""
        found = [job["jobArn"] for job in self._listed(name) if job["jobName"] == name]
        return found[-1] if found else None

    def _listed(self, part_of_name: str) -> Iterator[Any]:
        """Newest first."""
        with asking(self.account, "list tuning jobs"):
            pages = self._bedrock.get_paginator("list_model_customization_jobs").paginate(
                nameContains=part_of_name.rstrip("-"), sortBy="CreationTime", sortOrder="Descending"
            )
            for page in pages:
                yield from page.get("modelCustomizationJobSummaries", ())

    def _arn(self, job_id: str) -> str | None:
        return job_id if job_id.startswith("arn:") else self._find(job_name(job_id))

    def _described(self, job_id: str) -> Any:
        """By its ARN or its key. Raises NotFoundError."""
        arn = self._arn(job_id)
        if arn is None:
            raise NotFoundError(f"No tuning job {job_id} at Bedrock in {self.account.region}")
        with asking(self.account, f"show the job {job_id}"):
            return self._bedrock.get_model_customization_job(jobIdentifier=arn)

    def _tags(self, arn: str) -> dict[str, str]:
        with asking(self.account, f"show the tags of the job {arn}"):
            tags = self._bedrock.list_tags_for_resource(resourceARN=arn).get("tags", ())
        return {tag["key"].removeprefix(_TAG): tag["value"] for tag in tags}

    def _seen(self, job: Any) -> ProviderJob:
        status, message = _status(job), _message(job)
        metrics = _losses(job)
        checkpoints: tuple[Checkpoint, ...] = ()
        if status in {JobStatus.SUCCEEDED, JobStatus.CANCELLED}:
            try:
                checkpoints = Folder(self.account, job["jobName"]).curve()
            except ProviderUnavailableError:
                raise
            except (ProviderError, NotFoundError) as error:  # the model is there all the same
                message = f"{message}; its losses by step cannot be read: {error}".removeprefix("; ")
        if checkpoints:
            metrics["steps"] = float(checkpoints[-1].step)
        progress = 1.0 if status is JobStatus.SUCCEEDED else None
        return ProviderJob(job["jobArn"], status, progress, message, metrics, checkpoints)


def _checked(key: str, spec: TuningSpec, files: TrainingFiles) -> Submission:
    family = family_of(spec.base_model)
    return checked(
        "Bedrock",
        key,
        spec,
        files,
        capabilities=CAPABILITIES.of_base(spec.base_model),
        parameters={SUPERVISED: family.hyperparameters},
    )


def _tags(submission: Submission) -> dict[str, str]:
    """The facts of a submission, each in letters that a tag takes. They also tell costs apart on AWS's bill."""
    return {fact: _tag_value(value) for fact, value in submission.facts().items()}


def _tag_value(value: str) -> str:
    plain = _TAG_VALUE.fullmatch(value) is not None
    return value if plain else f"sha256:{hashlib.sha256(value.encode()).hexdigest()}"


def _status(job: Any) -> JobStatus:
    return _STATUSES.get(job.get("status", ""), JobStatus.RUNNING)


def _message(job: Any) -> str:
    status = job.get("status", "no status")
    if status not in _STATUSES:
        return f"Bedrock says {status}, which is not known here; it counts as running"
    if status == "Failed":
        reason = answers.quoted(job.get("failureMessage", "no reason given")).rstrip(".")
        return f"Bedrock: {reason}. Correct the data or the spec, and train under another seed"
    if status == "InProgress":
        details = job.get("statusDetails", {})
        phases = [
            said for name, said in _PHASES.items() if details.get(name, {}).get("status") == "InProgress"
        ]
        return ", ".join(phases)
    return "stopping" if status == "Stopping" else ""


def _losses(job: Any) -> dict[str, float]:
    """None of a job that tells none; with one file to validate on there is one loss."""
    losses = {}
    if (loss := job.get("trainingMetrics", {}).get("trainingLoss")) is not None:
        losses["train_loss"] = float(loss)
    for held_out in job.get("validationMetrics", ())[:1]:
        if (loss := held_out.get("validationLoss")) is not None:
            losses["validation_loss"] = float(loss)
    return losses
