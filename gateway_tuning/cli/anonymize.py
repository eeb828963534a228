"""`gateway-tuning anonymize`: personal data out of a file of texts, line by line."""

import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO

import typer

from gateway_tuning.cli.console import read_settings, told
from gateway_tuning.cli.progress import progress
from gateway_tuning.errors import ConfigurationError, InputFileError

if TYPE_CHECKING:
    from gateway_tuning.anonymization.anonymizer import Result
    from gateway_tuning.anonymization.policy import AnonymizationPolicy

_BATCH_LINES = 256
_BATCH_BYTES = 4 * 1024 * 1024
_LONGEST_LINE = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class _Line:
    """The texts of a line, or why there are none."""

    number: int
    texts: dict[str, str]
    error: str | None = None


@told
def anonymize(
    path: Annotated[str, typer.Argument(metavar="FILE", help="JSON Lines; `-` reads standard input")],
    *,
    field: Annotated[
        list[str] | None,
        typer.Option(help="Text to anonymize, again for more; default all of two words or more"),
    ] = None,
    output: Annotated[Path | None, typer.Option(help="JSON Lines; default standard output")] = None,
    policy: Annotated[Path | None, typer.Option(help="What is done with each entity, JSON")] = None,
    pseudonym_key_file: Annotated[
        Path | None, typer.Option(help="The tenant's key for pseudonyms, 64 hex digits or more")
    ] = None,
    text: Annotated[bool, typer.Option("--text/--no-text", help="Give the anonymized fields")] = True,
    entities: Annotated[
        bool, typer.Option("--entities/--no-entities", help="Give what was replaced, and where")
    ] = True,
    with_values: Annotated[
        bool, typer.Option("--with-values", help="Quote the original values among the entities")
    ] = False,
    workers: Annotated[int, typer.Option(min=1, help="Processes, each with its own model")] = 1,
) -> None:
    """Anonymize the texts of a JSON Lines file. Only named or long texts come out; all else is left behind.

    A line that fails becomes {"error": ...} without its text, and the command ends with 1.
    """
    from gateway_tuning.anonymization.policy import AnonymizationPolicy
    from gateway_tuning.anonymization.workers import AnonymizerConfig, anonymize_batches

    config = AnonymizerConfig(
        read_settings().spacy_model,
        policy=_read_policy(policy) if policy else AnonymizationPolicy(),
        pseudonym_key=_read_key(pseudonym_key_file) if pseudonym_key_file else None,
    )
    _check_key(config.policy, pseudonym_key_file)
    lines: Counter[str] = Counter()
    found: Counter[str] = Counter()
    with (
        _opened(path) as source,
        _written(output) as target,
        progress(f"Anonymizing {Path(path).name}", total=_size(path), prints=output is None) as done,
    ):
        # Results follow their batches; the batches that are at work wait here, a few a worker.
        waiting: list[list[_Line]] = []
        for results in anonymize_batches(config, _texts_of(source, field, waiting), workers=workers):
            outcomes = iter(results)
            for line in waiting.pop(0):
                outcome = line.error if line.error is not None else next(outcomes)
                body = _body(line, outcome, with_text=text, with_entities=entities, with_values=with_values)
                lines[_kind(body)] += 1
                found.update(getattr(outcome, "entities", {}))
                _write_line(target, body)
            if path != "-":
                done(source.tell())
    named = ", ".join(f"{entity} {count}" for entity, count in sorted(found.items())) or "nothing"
    typer.echo(
        f"{lines.total()} records: {lines['error']} failed, {lines['dropped']} dropped; found {named}",
        err=True,
    )
    if lines["error"]:
        raise typer.Exit(1)


def _texts_of(
    source: BinaryIO, names: list[str] | None, waiting: list[list[_Line]]
) -> Iterator[list[dict[str, str]]]:
    for batch in _batches(source, names):
        waiting.append(batch)
        yield [line.texts for line in batch if line.error is None]


def _batches(source: BinaryIO, names: list[str] | None) -> Iterator[list[_Line]]:
    batch: list[_Line] = []
    size = number = 0
    while raw := source.readline(_LONGEST_LINE + 1):
        number += 1
        if len(raw) > _LONGEST_LINE and not raw.endswith(b"\n"):
            while (rest := source.readline(_LONGEST_LINE)) and not rest.endswith(b"\n"):
                continue
            batch.append(_Line(number, {}, f"line {number} is longer than {_LONGEST_LINE} bytes"))
        elif raw.strip():
            batch.append(_parsed(number, raw, names))
        size += len(raw)
        if batch and (len(batch) >= _BATCH_LINES or size >= _BATCH_BYTES):
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _parsed(number: int, raw: bytes, names: list[str] | None) -> _Line:
    import orjson

    try:
        record = orjson.loads(raw)
    except ValueError:  # its message may quote the line
        return _Line(number, {}, f"line {number} is not valid JSON")
    if not isinstance(record, dict):
        return _Line(number, {}, f"line {number} is not a JSON object")
    if names is None:
        return _Line(
            number,
            {key: value for key, value in record.items() if isinstance(value, str) and _is_text(value)},
        )
    texts = {name: record[name] for name in names if record.get(name) is not None}
    for name, value in texts.items():
        if not isinstance(value, str):
            return _Line(number, {}, f"line {number}: field {name} is not a text")
    return _Line(number, texts)


def _is_text(value: str) -> bool:
    """Two words or more: what has one is an id, a time or a label more often than a text."""
    return len(value.split(maxsplit=1)) > 1


def _body(
    line: _Line, outcome: "Result | str", *, with_text: bool, with_entities: bool, with_values: bool
) -> dict[str, Any]:
    from gateway_tuning.anonymization.anonymizer import AnonymizationFailure, DroppedRecord

    if isinstance(outcome, str):
        return {"error": outcome}
    if isinstance(outcome, AnonymizationFailure):
        return {"error": f"line {line.number}: {outcome.reason}"}
    if isinstance(outcome, DroppedRecord):
        return {"dropped": f"line {line.number}: {outcome.reason}"}
    body: dict[str, Any] = {"fields": outcome.fields} if with_text else {}
    if with_entities:
        body["entities"] = [
            {
                "field": one.field,
                "start": one.start,
                "end": one.end,
                "entity": one.entity,
                "score": round(one.score, 4),
                "replacement": one.text,
                **({"value": line.texts[one.field][one.start : one.end]} if with_values else {}),
            }
            for one in outcome.replacements
        ]
    return body


def _kind(body: dict[str, Any]) -> str:
    return next((kind for kind in ("error", "dropped") if kind in body), "done")


def _write_line(target: BinaryIO, body: dict[str, Any]) -> None:
    import orjson

    target.write(orjson.dumps(body) + b"\n")


def _read_policy(path: Path) -> "AnonymizationPolicy":
    from gateway_tuning.anonymization.policy import parse_policy

    return parse_policy(_read(path), name=str(path))


def _read_key(path: Path) -> bytes:
    try:
        return bytes.fromhex(_read(path).decode("ascii", "replace").strip())
    except ValueError:
        raise ConfigurationError(
            f"{path} holds no key in hex; make one with `openssl rand -hex 32 > {path}`"
        ) from None


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputFileError(f"{path} cannot be read: {error.strerror}") from None


def _check_key(policy: "AnonymizationPolicy", key_file: Path | None) -> None:
    if policy.needs_pseudonyms() and key_file is None:
        raise ConfigurationError(
            "The policy asks for pseudonyms; give the tenant's key with --pseudonym-key-file, made by "
            "`openssl rand -hex 32`"
        )


def _size(path: str) -> int | None:
    """In bytes; None where nobody knows."""
    return Path(path).stat().st_size if path != "-" and Path(path).is_file() else None


@contextmanager
def _opened(path: str) -> Iterator[BinaryIO]:
    if path == "-":
        yield sys.stdin.buffer
        return
    try:
        stream = Path(path).open("rb")  # noqa: SIM115 - an error while it is read is another one
    except OSError as error:
        raise InputFileError(f"{path} cannot be read: {error.strerror}") from None
    with stream:
        yield stream


@contextmanager
def _written(path: Path | None) -> Iterator[BinaryIO]:
    """The file appears when all is written; until then it is `.partial` beside its place."""
    if path is None:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    partial = path.with_name(path.name + ".partial")
    try:
        stream = partial.open("wb")
    except OSError as error:
        raise InputFileError(f"{path} cannot be written: {error.strerror}") from None
    try:
        with stream:
            yield stream
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
