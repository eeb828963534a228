"""Judge recorded outcomes again: for choosing a policy, and for checking what was decided. Pure.

A line is a JSON object with `time` (ISO 8601 or seconds since 1970), `arm`, `user` and `latency_ms`, and where they are
known `error`, `tokens`, `feedback` (-1 to 1), `relevance` (0 to 1) and `answered_by`, as `rollout/outcomes.py` has them.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from gateway_tuning.errors import ConfigurationError, InputFileError
from gateway_tuning.rollout.canary import Canary, Decision, Failure, advance, begin
from gateway_tuning.rollout.judge import Metric, Verdict, judge, metrics
from gateway_tuning.rollout.policy import CanaryPolicy
from gateway_tuning.rollout.running_sums import Observation, RunningSums


def _in_utc(at: datetime) -> datetime:
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)


class _Line(BaseModel):
    # Another key is refused: a misspelt metric must not read as one without data.
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    time: Annotated[datetime, AfterValidator(_in_utc)]
    arm: Literal["canary", "control", "stable"]
    user: str = Field(min_length=1)
    latency_ms: float = Field(ge=0)
    error: str | None = None
    tokens: int | None = Field(None, ge=0)
    feedback: float | None = Field(None, ge=-1, le=1)
    relevance: float | None = Field(None, ge=0, le=1)
    answered_by: str | None = None


@dataclass(frozen=True, slots=True)
class ReplayedLook:
    """`canary` is as the look leaves it, its share that of the policy: the arms of the file are as recorded."""

    at: datetime
    canary: Canary
    decision: Decision
    findings: Verdict | Failure


def replay(lines: Iterable[str], policy: CanaryPolicy, *, every_s: float = 3600.0) -> Iterator[ReplayedLook]:
    """Look every `every_s` seconds from the first line on, until the canary ends or the lines do.

    Approvals are taken as given. Lines of users in neither arm are read and count for nothing.

    Raises:
        ConfigurationError: `every_s` is not above 0.
        InputFileError: a line, named by its number, is malformed or earlier than the one before; or there is none.
    """
    if not every_s > 0:
        raise ConfigurationError(f"looks every {every_s:g} s: give a time above 0")
    policy = policy.model_copy(update={"approve_before": ()})
    plan = metrics(policy)
    sums = RunningSums(policy.failed_request_seconds * 1000.0)
    canary: Canary | None = None
    due = last = datetime.min.replace(tzinfo=UTC)
    for number, line in _read(lines):
        if canary is None:
            canary, due = _begin(policy, line.time), line.time + timedelta(seconds=every_s)
        elif line.time < last:
            raise InputFileError(
                f"line {number} is of {line.time.isoformat()}, before the line above it: sort the file by time"
            )
        while line.time > due:
            look = _look(canary, sums, plan, due)
            yield look
            canary, due = look.canary, due + timedelta(seconds=every_s)
            if canary.state != "running":
                return
        last = line.time
        if line.arm != "stable":
            sums.add(line.arm, _observation(line))
    if canary is None:
        raise InputFileError("no line to replay: the file is empty")
    yield _look(canary, sums, plan, due)


def _read(lines: Iterable[str]) -> Iterator[tuple[int, _Line]]:
    for number, text in enumerate(lines, start=1):
        if not text.strip():
            continue
        try:
            yield number, _Line.model_validate_json(text)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"]) or "the line"
            raise InputFileError(f"line {number}: {where}: {first['msg']}") from error


def _begin(policy: CanaryPolicy, now: datetime) -> Canary:
    return begin(
        "replay",
        tenant="replay",
        model="replay",
        candidate="canary",
        control="control",
        policy=policy,
        salt="",
        now=now,
    )


def _look(canary: Canary, sums: RunningSums, plan: tuple[Metric, ...], now: datetime) -> ReplayedLook:
    statistics, freshness = sums.statistics()
    findings: Verdict | Failure
    try:
        findings = judge(statistics, canary.policy, plan)
    except Exception as error:  # noqa: BLE001 - as in a running canary: a look that holds
        findings = Failure(f"the judge failed: {type(error).__name__}: {error}")
    after, decision = advance(canary, findings, freshness, now)
    return ReplayedLook(now, after, decision, findings)


def _observation(line: _Line) -> Observation:
    own, answered = line.answered_by is None, line.error is None
    return Observation(
        user=line.user,
        at=line.time,
        latency_ms=line.latency_ms,
        failed=not answered,
        tokens=line.tokens if own and answered else None,
        rating=line.feedback if own else None,
        relevance=line.relevance if own and answered else None,
        own_answer=own and answered,
    )
