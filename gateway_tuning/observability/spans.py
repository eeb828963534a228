"""Spans of the loop, from feedback to promotion, as they stand in the store. Pure.

Ids are hashes of what a span tells of: a retry, or another process, tells the same span of the same trace again. A
cycle is a trace; so is a record of feedback, to which the cycle's dataset links.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway_tuning.cycles.cycle import Cycle, Stage
    from gateway_tuning.rollout.canary import Canary, Look

MOST_LINKS = 128  # what OpenTelemetry's SDK keeps of a span
OF_CYCLE = "canary-"  # with the cycle's id: the name of a cycle's canary

Attributes = Mapping[str, str | int | float | bool]


@dataclass(frozen=True, slots=True)
class Context:
    """Where a span stands: 16 and 8 bytes."""

    trace_id: int
    span_id: int


@dataclass(frozen=True, slots=True)
class SpanEvent:
    name: str
    at: datetime
    attributes: Attributes


@dataclass(frozen=True, slots=True)
class LoopSpan:
    """`parent` is None for the root of its trace."""

    name: str
    context: Context
    begun: datetime
    ended: datetime
    attributes: Attributes
    parent: Context | None = None
    links: Sequence[Context] = ()
    events: Sequence[SpanEvent] = ()
    failed: bool = False


def cycle_context(cycle_id: str) -> Context:
    return Context(_number("cycle", cycle_id, length=16), _number("cycle", cycle_id, length=8))


def canary_context(canary_id: str) -> Context:
    """In the trace of its cycle, where a cycle started it."""
    span_id = _number("canary", canary_id, length=8)
    if canary_id.startswith(OF_CYCLE):
        return Context(cycle_context(canary_id.removeprefix(OF_CYCLE)).trace_id, span_id)
    return Context(_number("canary", canary_id, length=16), span_id)


def feedback_context(tenant: str, feedback_id: str) -> Context:
    """The id itself, which a sender chose, is not seen in it."""
    parts = ("feedback", tenant, feedback_id)
    return Context(_number(*parts, length=16), _number(*parts, length=8))


def cycle_span(cycle: "Cycle", *, now: datetime) -> LoopSpan:
    """Of a cycle that has ended; told before that, it ends now."""
    outcome = {} if cycle.outcome is None else {"gateway_tuning.outcome": cycle.outcome.value}
    return LoopSpan(
        f"tune {cycle.model}",
        cycle_context(cycle.id),
        cycle.created_at,
        cycle.finished_at or now,
        {
            "gateway_tuning.cycle": cycle.id,
            "gateway_tuning.tenant": cycle.tenant,
            "gateway_tuning.model": cycle.model,
            "gateway_tuning.incumbent": cycle.incumbent,
            "gateway_tuning.watermark": cycle.watermark,
            **outcome,
        },
        failed=cycle.outcome == "abandoned",
    )


def stage_span(cycle: "Cycle", stage: "Stage", *, feedback_ids: Sequence[str] = ()) -> LoopSpan:
    """Of a stage that has finished. `feedback_ids` are records that its dataset was made of."""
    of_cycle = cycle_context(cycle.id)
    return LoopSpan(
        stage.stage,
        Context(of_cycle.trace_id, _number("stage", cycle.id, stage.stage, length=8)),
        stage.finished_at - timedelta(seconds=stage.seconds),
        stage.finished_at,
        {
            "gateway_tuning.cycle": cycle.id,
            "gateway_tuning.tenant": cycle.tenant,
            "gateway_tuning.model": cycle.model,
            "gateway_tuning.stage": stage.stage,
            "gateway_tuning.object": stage.result.id,
        },
        parent=of_cycle,
        links=tuple(feedback_context(cycle.tenant, id_) for id_ in feedback_ids[:MOST_LINKS]),
    )


def canary_span(canary: "Canary", looks: "Sequence[Look]", *, now: datetime) -> LoopSpan:
    """Of a canary that has ended, its looks as events."""
    context = canary_context(canary.id)
    is_of_cycle = canary.id.startswith(OF_CYCLE)
    return LoopSpan(
        f"canary {canary.model}",
        context,
        canary.started_at,
        canary.finished_at or now,
        {
            "gateway_tuning.canary": canary.id,
            "gateway_tuning.tenant": canary.tenant,
            "gateway_tuning.model": canary.model,
            "gateway_tuning.candidate": canary.candidate,
            "gateway_tuning.control": canary.control,
            "gateway_tuning.outcome": canary.state,
        },
        parent=cycle_context(canary.id.removeprefix(OF_CYCLE)) if is_of_cycle else None,
        events=tuple(
            SpanEvent(
                "look",
                look.at,
                {
                    "gateway_tuning.look": look.look,
                    "gateway_tuning.share": look.share,
                    "gateway_tuning.decision": look.decision,
                },
            )
            for look in looks[-MOST_LINKS:]
        ),
        failed=canary.state in {"rolled_back", "invalid"},
    )


def feedback_span(tenant: str, feedback_id: str, kind: str, *, begun: datetime, ended: datetime) -> LoopSpan:
    """From the request to its receipt."""
    return LoopSpan(
        f"feedback {kind}",
        feedback_context(tenant, feedback_id),
        begun,
        ended,
        {"gateway_tuning.tenant": tenant, "gateway_tuning.feedback_type": kind},
    )


def _number(*parts: str, length: int) -> int:
    """Of so many bytes, never zero, which OpenTelemetry takes for none."""
    return int.from_bytes(sha256("\x1f".join(parts).encode()).digest()[:length], "big") or 1
