"""LiteLLM: request logs with feedback in their metadata or tags, or joined with scores of Langfuse's shape.

Format: `StandardLoggingPayload` as the S3, GCS and generic loggers write it, and rows of `LiteLLM_SpendLogs` (the
schema with `proxy_server_request`), both as documented in 2026. LiteLLM itself has no table of feedback: an
application keeps it in the request's metadata as `importers.opinion` says, in a tag `feedback:<value>`, or sends
scores to Langfuse.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gateway_tuning.errors import InputFileError
from gateway_tuning.feedback.expressions import shown
from gateway_tuning.feedback.importers.cells import (
    cell,
    count,
    mapping_cell,
    milliseconds_between,
    moment,
    number,
    parsed,
    text_cell,
    told_time,
)
from gateway_tuning.feedback.importers.chat import answer_text, request_fields
from gateway_tuning.feedback.importers.documents import read_documents
from gateway_tuning.feedback.importers.langfuse_scores import (
    ScoreConfigs,
    is_score,
    is_score_config,
    score_fields,
)
from gateway_tuning.feedback.importers.opinion import NAME, says_something, stated_fields
from gateway_tuning.feedback.importers.protocol import ImportedRow, SetAside, UnfitError
from gateway_tuning.feedback.importers.scales import Scales
from gateway_tuning.feedback.importers.spool import Spool
from gateway_tuning.feedback.reading import BrokenRow, RawRow

TAG = "feedback:"


def rows(path: Path, scales: Scales) -> Iterator[ImportedRow]:
    """A request with feedback is one row, and so is every score. The requests of one trace are held at a time."""
    configs, found = ScoreConfigs(), 0
    with Spool() as spool:
        for row in read_documents(path, _is_log):
            if isinstance(row, BrokenRow):
                yield row
            elif not _sort(row, spool, configs):
                reason = (
                    "Not a LiteLLM log or a score: it has no id, model and messages, "
                    f"its columns are {', '.join(sorted(row.value))[:200]}"
                )
                yield SetAside(row.source, row.position, reason, row.value)
        for row in spool.statements():
            found += 1
            yield _scored(row, spool, configs, scales) if is_score(row.value) else _stated(row, scales)
        if not found and spool.kept():
            raise InputFileError(
                f"{path} holds {spool.kept()} requests, but no feedback; keep it in their metadata, "
                "or put the scores beside them"
            )


def _is_log(value: dict[str, Any]) -> bool:
    return {"model", "messages"} <= value.keys() and _id(value) is not None


def _sort(row: RawRow, spool: Spool, configs: ScoreConfigs) -> bool:
    value = row.value
    if is_score(value):
        spool.add_statement(row)
    elif is_score_config(value):
        configs.add(value)
    elif _is_log(value) and (id_ := _id(value)):
        spool.keep("request", id_, value, group=_trace(value))
        if says_something(_said(value)):
            spool.add_statement(row)
    else:
        return False
    return True


def _stated(row: RawRow, scales: Scales) -> ImportedRow:
    log, known = row.value, f"litellm:{_id(row.value)}"
    try:
        texts = _texts(log)
        when = told_time(cell(log, "end_time")) or told_time(cell(log, "start_time"))
        fields = {"id": known, "timestamp": when, **stated_fields(_said(log), scales)}
    except UnfitError as error:
        return SetAside(row.source, row.position, str(error), log, known, _user(log))
    return RawRow(row.source, row.position, {**texts, **_context(log), **fields})


def _scored(row: RawRow, spool: Spool, configs: ScoreConfigs, scales: Scales) -> ImportedRow:
    score, user = row.value, None
    try:
        log = _request_of(score, spool)
        user = _user(log)
        texts, fields = _texts(log), score_fields(score, configs, scales)
    except UnfitError as error:
        id_ = text_cell(score, "id")
        known = None if id_ is None else f"langfuse:{id_}"
        return SetAside(row.source, row.position, str(error), score, known, user)
    context = _context(log)
    metadata = {**context["metadata"], **fields["metadata"]}
    return RawRow(row.source, row.position, {**texts, **context, **fields, "metadata": metadata})


def _request_of(score: dict[str, Any], spool: Spool) -> dict[str, Any]:
    """By the response id that LiteLLM gives the observation, or by the trace, whose last request is the answer."""
    observation, trace = text_cell(score, "observation_id"), text_cell(score, "trace_id")
    for id_ in (observation, trace):
        if id_ is not None and (log := spool.find("request", id_)) is not None:
            return log
    of_trace = [] if trace is None else spool.group("request", trace)
    if not of_trace or observation is not None:
        raise UnfitError(f"Its request is not in the export: {shown(observation or trace)}")
    return max(of_trace, key=lambda log: told_time(cell(log, "end_time")) or "")


def _texts(log: dict[str, Any]) -> dict[str, Any]:
    if cell(log, "status") == "failure":
        raise UnfitError("Request failed: there is no answer to judge")
    messages = parsed(cell(log, "messages")) or mapping_cell(log, "proxy_server_request").get("messages")
    answer = parsed(cell(log, "response"))
    if not messages or not answer:
        raise UnfitError(
            "Log holds no messages or no response: set store_prompts_in_spend_logs, and leave out "
            "turn_off_message_logging"
        )
    return {**request_fields(messages), "response": answer_text(answer)}


def _context(log: dict[str, Any]) -> dict[str, Any]:
    session, metadata = text_cell(log, "session_id") or text_cell(log, "trace_id"), _metadata(log)
    seconds = number(cell(log, "response_time"))
    # Of a streamed answer `response_time` ends with the first token, so the whole time comes first.
    took = milliseconds_between(_start(log), _end(log)) or number(cell(log, "request_duration_ms"))
    return {
        "user_id": _user(log),
        "conversation_id": session or _id(log),
        "answer_id": _id(log),
        "deployment": text_cell(log, "model_id") or text_cell(log, "model"),
        "request": {
            "session_id": session,
            "client_application": metadata.get("user_api_key_alias"),
            "parameters": mapping_cell(log, "model_parameters"),
            "prompt_tokens": count(cell(log, "prompt_tokens")),
            "response_tokens": count(cell(log, "completion_tokens")),
            "processing_time_ms": took if took is not None or seconds is None else seconds * 1000,
        },
        "metadata": {
            "model": text_cell(log, "model"),
            "model_group": text_cell(log, "model_group"),
            "team": metadata.get("user_api_key_team_alias"),
            "tags": [tag for tag in _tags(log) if not tag.startswith(TAG)] or None,
        },
    }


def _said(log: dict[str, Any]) -> dict[str, Any]:
    """Feedback in what the caller sent as metadata, wherever LiteLLM put it; a tag counts where there is none."""
    own = _metadata(log)
    given = {**own, **mapping_cell(own, "spend_logs_metadata"), **mapping_cell(own, "requester_metadata")}
    tags = [tag.removeprefix(TAG) for tag in _tags(log) if tag.startswith(TAG)]
    return given if says_something(given) or not tags else {**given, NAME: tags[-1]}


def _metadata(log: dict[str, Any]) -> dict[str, Any]:
    return mapping_cell(log, "metadata")


def _tags(log: dict[str, Any]) -> list[str]:
    tags = parsed(cell(log, "request_tags"))
    return [tag for tag in tags if isinstance(tag, str)] if isinstance(tags, list) else []


def _id(log: dict[str, Any]) -> str | None:
    return text_cell(log, "request_id") or text_cell(log, "id")


def _trace(log: dict[str, Any]) -> str | None:
    return text_cell(log, "trace_id") or text_cell(log, "session_id")


def _user(log: dict[str, Any]) -> str | None:
    return text_cell(log, "end_user") or _metadata(log).get("user_api_key_user_id")


def _start(log: dict[str, Any]) -> Any:
    return moment(cell(log, "start_time"))


def _end(log: dict[str, Any]) -> Any:
    return moment(cell(log, "end_time"))
