"""Uploaded files, checked as OpenAI checks them, in the form that the local trainer reads."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from gateway_tuning.datasets.formats import FORMATS
from gateway_tuning.datasets.formats.content import faults
from gateway_tuning.datasets.formats.format import Format
from gateway_tuning.datasets.formats.jsonl import Row, dump, parse
from gateway_tuning.local_service.store.jobs import JobError

UPLOADED = {"supervised": "openai-sft", "dpo": "openai-dpo"}
"""The format of an uploaded file by method."""

_FAULTS_TOLD = 3


@dataclass(frozen=True, slots=True)
class Prepared:
    """`examples` are what a pass over the training file learns from."""

    train: Path
    validation: Path | None
    examples: int


def prepare(
    method: str, train: Path, validation: Path | None, *, export: str, folder: Path
) -> Prepared | JobError:
    """Write both files into `folder` in the format `export`, or say what is wrong with them.

    The same files give the same bytes. What is said of a line never quotes its texts.
    """
    folder.mkdir(parents=True, exist_ok=True)
    uploaded, wanted = FORMATS[UPLOADED[method]], FORMATS[export]
    rows = _answers if method == "supervised" else _carried(uploaded, wanted)
    target, held_out = folder / "train.jsonl", folder / "validation.jsonl"
    examples = _convert(train, target, uploaded, rows, param="training_file")
    if isinstance(examples, JobError):
        return examples
    if validation is None:
        return Prepared(target, None, examples)
    looked_at = _convert(validation, held_out, uploaded, rows, param="validation_file")
    return looked_at if isinstance(looked_at, JobError) else Prepared(target, held_out, examples)


def _convert(
    source: Path, target: Path, uploaded: Format, rows: Callable[[Row], Iterator[Row] | str], *, param: str
) -> int | JobError:
    lines = examples = bad = 0
    told: list[str] = []
    with source.open("rb") as given, target.open("w", encoding="utf-8") as written:
        for number, line in enumerate(given, start=1):
            if not line.strip():
                continue
            lines += 1
            found = [f"{fault.where}: {fault.reason}".lstrip(": ") for fault in uploaded.line_faults(line)]
            carried = rows(parse(line)) if not found else "not read"
            if isinstance(carried, str):
                bad += 1
                told.append(f"line {number}: {'; '.join(found[:_FAULTS_TOLD]) or carried}")
                del told[_FAULTS_TOLD:]
                continue
            for row in carried:
                examples += 1
                written.write(dump(row) + "\n")
    name = param.removesuffix("_file")
    if bad:
        message = f"The job failed due to an invalid {name} file. {bad} of {lines} lines cannot be used: "
        return JobError(code=f"invalid_{param}", message=message + ". ".join(told), param=param)
    needed = (uploaded.train if name == "training" else uploaded.validation).min_lines
    if lines < needed:
        message = f"{name.capitalize()} file has {lines} example(s), but must have at least {needed} examples"
        return JobError(code="invalid_n_examples", message=message, param=param)
    return examples


def _answers(row: Row) -> Iterator[Row] | str:
    """A chat for each answer that is to be learned: the local trainer learns the last message of a chat alone."""
    if row.get("tools") or any(item["role"] == "tool" or item.get("tool_calls") for item in row["messages"]):
        return "tools, which the local model does not call; leave the line out"
    if any(not (item.get("content") or "").strip() for item in row["messages"]):
        return "a message without text"
    plain = [{"role": item["role"], "content": item["content"]} for item in row["messages"]]
    return (
        {"messages": plain[: place + 1]}
        for place, item in enumerate(row["messages"])
        if item["role"] == "assistant" and item.get("weight") != 0
    )


def _carried(uploaded: Format, wanted: Format) -> Callable[[Row], Iterator[Row] | str]:
    def carried(row: Row) -> Iterator[Row] | str:
        content = uploaded.read(row)
        fault = next(faults(content, wanted.rules), None)
        return iter([wanted.row(content)]) if fault is None else fault.reason

    return carried
