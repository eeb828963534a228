"""A request under way and what is written down of it: outcome, metrics, span, spending, and what observers see."""

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from gateway_tuning.feedback import rating_token
from gateway_tuning.gateway.door.callers import Caller
from gateway_tuning.gateway.observing import Answered, Observer
from gateway_tuning.gateway.relay.answers import Said
from gateway_tuning.gateway.relay.upstream import token_counts
from gateway_tuning.gateway.requests import ChatRequest, text_length
from gateway_tuning.gateway.routing import Route, Target
from gateway_tuning.gateway.telemetry.metrics import Metrics
from gateway_tuning.gateway.telemetry.traces import ChatSpan, Traces, passed_on
from gateway_tuning.gateway.writer import OutcomeWriter
from gateway_tuning.rollout.outcomes import Outcome

ANSWER_HEADER = "x-gateway-answer-id"
VERSION_HEADER = "x-gateway-model-version"
TOKEN_HEADER = "x-gateway-rating-token"  # noqa: S105 - the name of a header
_CHARS_A_TOKEN = 4
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RatingSigner:
    """Vouches that a version gave an answer to its user, for whoever takes in the rating."""

    key: bytes
    valid_for: timedelta

    def token(self, answer_id: str, user: str | None, version: str, now: datetime) -> str:
        return rating_token.issue(self.key, answer_id, user, now + self.valid_for, version=version)


@dataclass(frozen=True, slots=True)
class Witnesses:
    """Who learns of each request."""

    writer: OutcomeWriter
    signing: RatingSigner | None = None
    metrics: Metrics | None = None
    traces: Traces | None = None
    observers: Sequence[Observer] = field(default=())


@dataclass(frozen=True, slots=True)
class _Failure:
    """Of the canary, before the stable version was asked."""

    code: str
    latency_ms: float


class Attempt:
    """Exactly one outcome comes of a request: the first `finish` counts. `to` is who is being asked."""

    def __init__(
        self, answer_id: str, route: Route, chat: ChatRequest, caller: Caller, witnesses: Witnesses
    ) -> None:
        self.to = Target(route.version_id, route.endpoint)
        self.committed = False  # the client has got, or is about to get, a part of an answer
        self._answer_id = answer_id
        self._route = route
        self._chat = chat
        self._caller = caller
        self._witnesses = witnesses
        self._started = time.perf_counter()
        self._first_token_ms: float | None = None
        self._failure: _Failure | None = None
        self._finished = False
        self._curious: list[Observer] = []
        self._span: ChatSpan | None = None
        for observer in witnesses.observers:
            with self._unspoilt("an observer"):
                if observer.wants(answer_id, route):
                    self._curious.append(observer)
        if witnesses.traces is not None:
            with self._unspoilt("a trace"):
                self._span = witnesses.traces.begin(chat, route, answer_id)

    @property
    def keeps_text(self) -> bool:
        return bool(self._curious)

    @property
    def seconds(self) -> float:
        """Since it began."""
        return time.perf_counter() - self._started

    def headers(self) -> dict[str, str]:
        """Of the reply. They name the version that answers it."""
        version = self.to.version_id
        headers = {ANSWER_HEADER: self._answer_id, VERSION_HEADER: version}
        signing = self._witnesses.signing
        if signing is not None:
            headers[TOKEN_HEADER] = signing.token(
                self._answer_id, self._chat.user_id, version, datetime.now(UTC)
            )
        return headers

    def trace_headers(self) -> Mapping[str, str]:
        """Of the request to the model."""
        return passed_on(self._chat) if self._span is None else self._span.headers

    def first_token(self) -> None:
        self._first_token_ms = self.seconds * 1000.0

    def fall_back(self, code: str, target: Target) -> None:
        """The canary has failed with `code`: from here on the stable version is asked."""
        self._failure = _Failure(code, self.seconds * 1000.0)
        self._first_token_ms = None
        self.to = target
        if self._span is not None:
            self._span.fell_back(code, target.version_id)

    def finish(self, error: str | None = None, usage: Any = None, said: Said | None = None) -> None:
        if self._finished:
            return
        self._finished = True
        outcome = self._outcome(error, usage, said)
        self._witnesses.writer.add(outcome)
        self._caller.spend(_spent(self._chat, error, usage, said))
        if self._witnesses.metrics is not None:
            with self._unspoilt("a metric"):
                self._witnesses.metrics.ended(outcome, fell_back=self._failure is not None)
        if self._span is not None:
            answered = error is None or self.committed
            with self._unspoilt("a trace"):
                self._span.end(outcome, response_model=self.to.endpoint.model if answered else None)
        for observer in self._curious:
            with self._unspoilt("an observer"):
                observer.answered(self._answered(outcome, said))

    @contextmanager
    def _unspoilt(self, witness: str) -> Iterator[None]:
        """Whoever looks at an answer must not spoil it."""
        try:
            yield
        except Exception as fault:  # noqa: BLE001 - said above
            # Its message might quote what was said.
            _log.error("%s failed on answer %s: %s", witness, self._answer_id, type(fault).__name__)

    def _outcome(self, error: str | None, usage: Any, said: Said | None) -> Outcome:
        """Of a canary that stable stood in for, it is the canary's failure: nothing of stable's answer is counted."""
        latency_ms, answered_by, first_token_ms = self.seconds * 1000.0, None, self._first_token_ms
        if self._failure is not None:
            answered_by = self.to.version_id if error is None or self.committed else None
            error, latency_ms, first_token_ms = self._failure.code, self._failure.latency_ms, None
            usage = None
        prompt_tokens, completion_tokens = token_counts(usage)
        known = said if error is None else None
        return Outcome(
            answer_id=self._answer_id,
            model=self._route.model,
            canary_id=self._route.canary_id,
            arm=self._route.arm,
            version_id=self._route.version_id,
            user_key=self._route.user_key,
            at=datetime.now(UTC),
            latency_ms=latency_ms,
            error=error,
            prompt_tokens=prompt_tokens,
            completion_tokens=completion_tokens,
            prompt_chars=self._chat.prompt_chars,
            answer_chars=None if known is None else known.chars,
            refused=None if known is None else known.refused,
            simulated=self._chat.simulated,
            first_token_ms=first_token_ms,
            answered_by=answered_by,
            key_id=self._caller.key_id,
        )

    def _answered(self, outcome: Outcome, said: Said | None) -> Answered:
        heard = said if outcome.error is None else None
        return Answered(
            answer_id=self._answer_id,
            route=self._route,
            body=self._chat.body,
            text=None if heard is None else heard.text,
            error=outcome.error,
            latency_ms=outcome.latency_ms,
            prompt_tokens=outcome.prompt_tokens,
            completion_tokens=outcome.completion_tokens,
            at=outcome.at,
            user=self._chat.user,
            simulated=self._chat.simulated,
            tools=None if heard is None else heard.tools,
        )


def _spent(chat: ChatRequest, error: str | None, usage: Any, said: Said | None) -> int:
    """One token for every 4 characters of prompt and answer where the model does not say; 0 for no answer."""
    prompt, completion = token_counts(usage)
    if prompt is not None or completion is not None:
        return (prompt or 0) + (completion or 0)
    chars = (said.chars if said is not None else None) or 0
    if error is not None and not chars:
        return 0
    messages = [one for one in chat.body["messages"] if isinstance(one, dict)]
    asked = sum(text_length(one.get("content")) or 0 for one in messages)
    return -(-(asked + chars) // _CHARS_A_TOKEN)
