"""What to do after each request for one verdict. Pure."""

from dataclasses import dataclass

from gateway_tuning.evaluation.judging.asking import reply
from gateway_tuning.evaluation.judging.asking.exchange import Fault, Reply
from gateway_tuning.evaluation.judging.verdict import Failed, Judgement
from gateway_tuning.evaluation.running.pacing import LONGEST_REST_S

_TRIES = 3  # where a request failed, or its reply could not be read
_REFUSALS = 8  # for want of room (429)
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.25, 8.0
_LONGEST_QUOTE = 80


@dataclass(frozen=True, slots=True)
class Again:
    """Ask once more, after a while."""

    wait_s: float = 0.0


@dataclass(slots=True)
class Attempts:
    """Of one question. `failures` changes the seed: the same request would get the same unreadable reply."""

    dialect: reply.Dialect
    failures: int = 0
    refusals: int = 0

    def after(self, got: Reply | Fault) -> Judgement | Failed | Again:
        if isinstance(got, Reply):
            return self._after_reply(got)
        return self._after_refusal(got) if got.is_refused_for_now else self._after_fault(got)

    def _after_refusal(self, got: Fault) -> Failed | Again:
        self.refusals += 1
        if self.refusals >= _REFUSALS or hopeless(got):
            return Failed(got.reason)
        return Again(_wait_s(self.refusals) if got.rest_s is None else 0.0)  # the pace waits that long

    def _after_fault(self, got: Fault) -> Failed | Again:
        if got.is_not_understood:
            other = self.dialect.without(got.reason)
            if other is None:
                return Failed(got.reason)
            self.dialect = other
            return Again()
        self.failures += 1
        if self.failures >= _TRIES or not got.may_pass:
            return Failed(got.reason)
        return Again(_wait_s(self.failures))

    def _after_reply(self, got: Reply) -> Judgement | Failed | Again:
        if got.refusal:
            return Failed(f"the judge refused: {got.refusal}")
        said = None if got.content is None else reply.read(got.content)
        if said is not None:
            return Judgement(*said, *(got.usage or (None, None)))
        self.failures += 1
        if self.failures < _TRIES:
            return Again()
        start = (got.content or "").strip()[:_LONGEST_QUOTE]
        return Failed(f"the judge's reply is no verdict (finish reason {got.finish}): {start!r}")


def hopeless(got: Reply | Fault) -> str | None:
    """Why no other question need be asked in this run; None where that is not said."""
    if isinstance(got, Reply):
        return None
    if got.is_not_allowed:
        return got.reason
    if got.is_refused_for_now and (got.rest_s or 0) > LONGEST_REST_S:
        return (
            f"the judge asks to wait {got.rest_s:.0f} s; run the evaluation again then, it goes on from here"
        )
    return None


def _wait_s(times: int) -> float:
    return float(min(_FIRST_WAIT_S * 2 ** (times - 1), _LONGEST_WAIT_S))
