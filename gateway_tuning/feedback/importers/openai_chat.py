"""OpenAI: stored chat completions with feedback in their metadata, and files of training chats.

Format: the API as openai-python 3.54 types it (`chat.completion` objects and pages of them, and the pages of
`/chat/completions/{id}/messages`), and the JSON lines of supervised and preference fine-tuning as of 2026.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from gateway_tuning.errors import InputFileError
from gateway_tuning.feedback.importers.cells import cell, count, mapping_cell, text_cell, told_time
from gateway_tuning.feedback.importers.chat import answer_text, request_fields
from gateway_tuning.feedback.importers.documents import read_documents
from gateway_tuning.feedback.importers.opinion import says_something, stated_fields
from gateway_tuning.feedback.importers.protocol import ImportedRow, SetAside, UnfitError
from gateway_tuning.feedback.importers.scales import Scales
from gateway_tuning.feedback.importers.spool import Spool
from gateway_tuning.feedback.mapping import canonical_json
from gateway_tuning.feedback.reading import BrokenRow, RawRow, input_files
from gateway_tuning.feedback.record import FeedbackType

PARAMETERS = ("temperature", "top_p", "seed", "presence_penalty", "frequency_penalty", "response_format")
MAPPED_KEYS = ("feedback", "feedback_comment", "feedback_correction", "feedback_at", "user_id", "session_id")


def rows(path: Path, scales: Scales) -> Iterator[ImportedRow]:
    """A completion that somebody judged is one row, and so is every training chat.

    Training files hold no times: such a record has the time at which its file was last written.
    """
    files, found = dict(input_files(path)), 0
    with Spool() as spool:
        for row in read_documents(path, _is_completion):
            if isinstance(row, BrokenRow):
                yield row
            elif _is_training(row.value):
                found += 1
                written = datetime.fromtimestamp(int(files[row.source].stat().st_mtime), UTC)
                yield _training(row, written)
            elif not all([_sort(inner, spool) for inner in _inner(row)]):  # noqa: C419 - sort every one of them
                reason = (
                    "Not a chat completion, its message or a training chat: "
                    f"its columns are {', '.join(sorted(row.value))[:200]}"
                )
                yield SetAside(row.source, row.position, reason, row.value)
        for row in spool.statements():
            found += 1
            yield _judged(row, spool, scales)
        if not found and spool.kept():
            raise InputFileError(
                f"{path} holds completions without feedback; keep it in their metadata as feedback, "
                "feedback_comment or feedback_correction"
            )


def _is_completion(value: dict[str, Any]) -> bool:
    return value.get("object") == "chat.completion" or isinstance(value.get("choices"), list)


def _inner(row: RawRow) -> list[RawRow]:
    """The objects of a page that stands on one line."""
    data = row.value.get("data")
    if row.value.get("object") != "list" or not isinstance(data, list):
        return [row]
    return [
        RawRow(row.source, f"{row.position}, element {number}", item)
        for number, item in enumerate(data, start=1)
        if isinstance(item, dict)
    ]


def _sort(row: RawRow, spool: Spool) -> bool:
    value, id_ = row.value, text_cell(row.value, "id")
    if _is_completion(value):
        if says_something(mapping_cell(value, "metadata")):
            spool.add_statement(row)
        elif id_ is not None:
            spool.keep("unjudged", id_, {})
        return True
    completion, _, number = (id_ or "").rpartition("-")
    if completion and number.isdecimal() and isinstance(value.get("role"), str):
        spool.keep("message", f"{completion}-{int(number):08}", value, group=completion)
        return True
    return False


def _judged(row: RawRow, spool: Spool, scales: Scales) -> ImportedRow:
    completion = row.value
    id_, metadata = text_cell(completion, "id"), mapping_cell(completion, "metadata")
    known = None if id_ is None else f"openai:{id_}"
    user = text_cell(metadata, "user_id") or text_cell(completion, "user")
    usage = mapping_cell(completion, "usage")
    session = text_cell(metadata, "session_id")
    try:
        record = {
            "id": known,
            "timestamp": told_time(completion.get("created")),
            "user_id": user,
            **request_fields(_messages_of(completion, id_, spool)),
            "response": answer_text({"choices": completion.get("choices")}),
            **stated_fields(metadata, scales),
        }
    except UnfitError as error:
        return SetAside(row.source, row.position, str(error), completion, known, user)
    record |= {
        "conversation_id": session or id_,
        "answer_id": id_,
        "deployment": text_cell(completion, "model"),
        "request": {
            "session_id": session,
            "parameters": {name: completion.get(name) for name in PARAMETERS},
            "prompt_tokens": count(cell(usage, "prompt_tokens")),
            "response_tokens": count(cell(usage, "completion_tokens")),
        },
        "metadata": {key: value for key, value in metadata.items() if key not in MAPPED_KEYS},
    }
    return RawRow(row.source, row.position, record)


def _messages_of(completion: dict[str, Any], id_: str | None, spool: Spool) -> list[dict[str, Any]]:
    messages = completion.get("messages") or ([] if id_ is None else spool.group("message", id_))
    if not isinstance(messages, list) or not messages:
        raise UnfitError("Its messages are not in the export: list /chat/completions/{id}/messages too")
    return messages


def _is_training(value: dict[str, Any]) -> bool:
    return (
        "object" not in value
        and "choices" not in value
        and (isinstance(value.get("messages"), list) or "preferred_output" in value)
    )


def _training(row: RawRow, written: datetime) -> ImportedRow:
    """A chat that somebody chose to train on is approved; a preference pair corrects the answer it rejects."""
    value = row.value
    id_ = f"openai:{sha256(canonical_json(value).encode()).hexdigest()[:32]}"
    own = {
        "id": id_,
        "timestamp": written.isoformat(),
        "metadata": {"origin": "training file", "time_of": "file"},
    }
    try:
        texts = _preference(value) if "preferred_output" in value else _demonstration(value["messages"])
    except UnfitError as error:
        return SetAside(row.source, row.position, str(error), value, id_)
    return RawRow(row.source, row.position, {**own, **texts})


def _preference(value: dict[str, Any]) -> dict[str, Any]:
    return {
        **request_fields(value.get("input")),
        "type": FeedbackType.CORRECTION.value,
        "response": answer_text(value.get("non_preferred_output")),
        "corrected_response": answer_text(value["preferred_output"]),
    }


def _demonstration(messages: list[Any]) -> dict[str, Any]:
    last = messages[-1] if messages else None
    if not isinstance(last, dict) or last.get("role") != "assistant":
        raise UnfitError("Training chat does not end with an answer: its last message is no assistant's")
    if last.get("weight") == 0:
        raise UnfitError("Training chat must not be learned from: the weight of its answer is 0")
    texts = {**request_fields(messages[:-1]), "response": answer_text(last)}
    return {**texts, "type": FeedbackType.THUMBS_UP.value}
