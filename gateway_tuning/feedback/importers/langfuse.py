"""Langfuse: scores joined with the traces and observations they judge.

Format: the blob storage export (`scores/`, `observations_v2/`, and the legacy `traces/` and `observations/`) and
the public API's pages of scores, traces, observations and score configs, as documented in 2026 (v4).
Files are told apart by their columns, so their names do not matter.
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
    text_cell,
)
from gateway_tuning.feedback.importers.chat import answer_text, request_fields
from gateway_tuning.feedback.importers.documents import read_documents
from gateway_tuning.feedback.importers.langfuse_scores import (
    ScoreConfigs,
    is_score,
    is_score_config,
    score_fields,
)
from gateway_tuning.feedback.importers.protocol import ImportedRow, SetAside, UnfitError
from gateway_tuning.feedback.importers.scales import Scales
from gateway_tuning.feedback.importers.spool import Spool
from gateway_tuning.feedback.reading import BrokenRow, RawRow


def rows(path: Path, scales: Scales) -> Iterator[ImportedRow]:
    """Every score is one row. Only the observations of one trace are held in memory at a time."""
    configs, found = ScoreConfigs(), 0
    with Spool() as spool:
        for row in read_documents(path, _is_single_trace):
            if isinstance(row, BrokenRow):
                yield row
            elif not _sort(row, spool, configs):
                reason = (
                    "Not a row of a Langfuse export: it is no score, trace, observation or score config, "
                    f"its columns are {', '.join(sorted(row.value))[:200]}"
                )
                yield SetAside(row.source, row.position, reason, row.value)
        for row in spool.statements():
            found += 1
            yield _joined(row, spool, configs, scales)
        if not found and spool.kept():
            raise InputFileError(
                f"{path} holds {spool.kept()} traces and observations, but no score; export scores/ too"
            )


def _is_single_trace(value: dict[str, Any]) -> bool:
    return "id" in value and {"observations", "scores"} <= value.keys()


def _sort(row: RawRow, spool: Spool, configs: ScoreConfigs) -> bool:
    value = row.value
    id_, trace_id = text_cell(value, "id"), text_cell(value, "trace_id")
    version = "" if (changed := moment(cell(value, "updated_at"))) is None else changed.isoformat()
    if is_score(value):
        spool.add_statement(row)
    elif is_score_config(value):
        configs.add(value)
    elif id_ is not None and trace_id is not None and "type" in value:
        spool.keep("observation", id_, value, group=trace_id, version=version)
    elif (
        id_ is not None
        and trace_id is None
        and "type" not in value
        and {"input", "output", "observations"} & value.keys()
    ):
        _sort_trace(row, id_, version, spool)
    else:
        return False
    return True


def _sort_trace(row: RawRow, id_: str, version: str, spool: Spool) -> None:
    """The API's single trace carries its observations and scores with it."""
    inner = {name: row.value.get(name) or [] for name in ("observations", "scores")}
    spool.keep(
        "trace", id_, {key: item for key, item in row.value.items() if key not in inner}, version=version
    )
    for observation in inner["observations"]:
        if isinstance(observation, dict) and (own := text_cell(observation, "id")) is not None:
            spool.keep("observation", own, observation, group=id_)
    for number, score in enumerate(inner["scores"], start=1):
        if isinstance(score, dict):
            spool.add_statement(
                RawRow(row.source, f"{row.position}, score {number}", {"traceId": id_, **score})
            )


def _joined(row: RawRow, spool: Spool, configs: ScoreConfigs, scales: Scales) -> ImportedRow:
    score = row.value
    trace_id, observation_id = text_cell(score, "trace_id"), text_cell(score, "observation_id")
    trace = (None if trace_id is None else spool.find("trace", trace_id)) or {}
    user = text_cell(trace, "user_id") or text_cell(mapping_cell(score, "trace"), "user_id")
    try:
        if observation_id is None:
            exchange, texts = _answer_of_trace(score, trace_id, trace, spool)
        else:
            exchange, texts = _answer_of_observation(observation_id, spool)
        user = user or text_cell(exchange, "user_id")
        fields = score_fields(score, configs, scales)
    except UnfitError as error:
        id_ = text_cell(score, "id")
        known = None if id_ is None else f"langfuse:{id_}"
        return SetAside(row.source, row.position, str(error), score, known, user)
    context = _context(trace, exchange, trace_id, observation_id)
    metadata = {**fields["metadata"], **context.pop("metadata")}
    record = {**texts, **context, **fields, "user_id": user, "metadata": metadata}
    return RawRow(row.source, row.position, record)


def _answer_of_observation(id_: str, spool: Spool) -> tuple[dict[str, Any], dict[str, Any]]:
    observation = spool.find("observation", id_)
    if observation is None:
        raise UnfitError(f"Its observation is not in the export: {shown(id_)}")
    return observation, _texts(observation, whole=cell(observation, "type") != "GENERATION")


def _answer_of_trace(
    score: dict[str, Any], trace_id: str | None, trace: dict[str, Any], spool: Spool
) -> tuple[dict[str, Any], dict[str, Any]]:
    """What a score on a trace is about: the trace's own texts, its root's, or those of its last generation."""
    if trace_id is None:
        if cell(score, "dataset_run_id") is not None:
            raise UnfitError("Score is on a dataset run: no user's answer is judged")
        raise UnfitError("Score is on a session: which of its answers is meant is not known")
    observations = spool.group("observation", trace_id)
    if not trace and not observations:
        raise UnfitError(f"Its trace is not in the export: {shown(trace_id)}")
    observations.sort(key=lambda item: str(cell(item, "start_time")))
    roots = [item for item in observations if cell(item, "parent_observation_id") is None]
    generations = [item for item in observations if cell(item, "type") == "GENERATION"]
    generation: dict[str, Any] = generations[-1] if generations else {}
    fault = UnfitError(f"Its trace has no request and answer: {shown(trace_id)}; export input and output too")
    for candidate in (trace, *roots[:1], generation):
        if cell(candidate, "input") is None or cell(candidate, "output") is None:
            continue
        try:
            texts = _texts(candidate, whole=candidate is not generation)
        except UnfitError as error:
            fault = error
            continue
        exchange = {**generation, **{key: item for key, item in candidate.items() if item not in (None, "")}}
        return exchange, _fuller(texts, generation)
    raise fault


def _fuller(texts: dict[str, Any], generation: dict[str, Any]) -> dict[str, Any]:
    """A generation that gave the very answer knows the system prompt and history, which a trace often leaves out."""
    try:
        sent = _texts(generation, whole=False)
    except UnfitError:
        return texts
    return sent if sent["response"] == texts["response"] else texts


def _texts(exchange: dict[str, Any], *, whole: bool) -> dict[str, Any]:
    """`whole`: an application's input and output, where an object may stand around the one text."""
    request = request_fields(cell(exchange, "input") or "", unwrap=whole)
    return {**request, "response": answer_text(cell(exchange, "output"), unwrap=whole)}


def _context(
    trace: dict[str, Any], exchange: dict[str, Any], trace_id: str | None, observation_id: str | None
) -> dict[str, Any]:
    session = text_cell(trace, "session_id") or text_cell(exchange, "session_id")
    model = text_cell(exchange, "provided_model_name") or text_cell(exchange, "model")
    usage = mapping_cell(exchange, "usage_details") or mapping_cell(exchange, "usage")
    return {
        "conversation_id": session or trace_id,
        "answer_id": observation_id or trace_id,
        "deployment": model,
        "request": {
            "session_id": session,
            "client_application": text_cell(trace, "name") or text_cell(exchange, "trace_name"),
            "parameters": mapping_cell(exchange, "model_parameters"),
            "prompt_tokens": count(usage.get("input")),
            "response_tokens": count(usage.get("output")),
            "processing_time_ms": milliseconds_between(
                cell(exchange, "start_time"), cell(exchange, "end_time")
            ),
        },
        "metadata": {
            "trace_id": trace_id,
            "observation_id": observation_id,
            "release": text_cell(trace, "release") or text_cell(exchange, "release"),
        },
    }
