"""One chat request from a client to the arm its user belongs to, and its outcome.

Control and stable requests are never tried twice. What the canary cannot answer is answered by the stable version,
once, so that a user does not pay for the trial; the outcome is the canary's failure all the same. Both together take no
longer than one request may: the canary gets three quarters of the time, up to its whole answer or the first event of a
stream, and the stable version what is left.
"""

import asyncio
import os
from collections.abc import Iterator, Sequence

import aiohttp
from starlette.responses import Response

from gateway_tuning.gateway.door.callers import Caller
from gateway_tuning.gateway.observing import Observer
from gateway_tuning.gateway.relay.answers import said_in
from gateway_tuning.gateway.relay.attempt import Attempt, RatingSigner, Witnesses
from gateway_tuning.gateway.relay.stream import EventRewriter, RelayedStream, asking_for_usage, first_events
from gateway_tuning.gateway.relay.upstream import UpstreamError, failures_named, post_chat, read_answer
from gateway_tuning.gateway.replies import error_reply, json_reply
from gateway_tuning.gateway.requests import ChatRequest
from gateway_tuning.gateway.routing import Router
from gateway_tuning.gateway.telemetry.metrics import Metrics
from gateway_tuning.gateway.telemetry.traces import Traces
from gateway_tuning.gateway.writer import OutcomeWriter

__all__ = ["Proxy", "RatingSigner"]

_CANARYS_PART = 0.75  # of a request's time; a slow canary is told from a dead one and stable can still answer
_LONGEST_S = 3600.0  # where the session sets no bound
_LEAST_S = 0.05  # below it there is no use in asking


class Proxy:
    def __init__(
        self,
        session: aiohttp.ClientSession,
        router: Router,
        writer: OutcomeWriter,
        signing: RatingSigner | None,
        *,
        metrics: Metrics | None = None,
        traces: Traces | None = None,
        observers: Sequence[Observer] = (),
    ) -> None:
        """The session's own timeout is the longest wait for a whole answer."""
        self._session = session
        self._router = router
        self._witnesses = Witnesses(writer, signing, metrics, traces, observers)
        self._timeout_s: float = session.timeout.total or _LONGEST_S
        self._answer_ids = _random_ids()

    async def chat(self, chat: ChatRequest, caller: Caller) -> Response:
        """Raises RefusedError for a request that reaches no model."""
        answer_id = next(self._answer_ids)
        route = self._router.route(chat.served, chat.user, answer_id=answer_id)
        attempt = Attempt(answer_id, route, chat, caller, self._witnesses)
        try:
            if route.fallback is None:
                return await self._answer(chat, attempt, None)
            try:
                return await self._answer(chat, attempt, self._timeout_s * _CANARYS_PART)
            except UpstreamError as error:
                if error.clients_own or self._timeout_s - attempt.seconds < _LEAST_S:
                    raise
                attempt.fall_back(error.code, route.fallback)
            return await self._answer(chat, attempt, None)
        except UpstreamError as error:
            attempt.finish(error.code)
            return error_reply(error.status, error.code, error.message, attempt.headers())
        except BaseException:  # the gateway stops or has a bug: the outcome is recorded all the same
            attempt.finish("interrupted")
            raise

    async def _answer(self, chat: ChatRequest, attempt: Attempt, within_s: float | None) -> Response:
        """`within_s` bounds the time to a whole answer or to a stream's first event, if it is less than what is left."""
        left_s = self._timeout_s - attempt.seconds
        if chat.stream:
            async with failures_named(), asyncio.timeout(within_s):
                return await self._stream(chat, attempt, left_s)
        response = await post_chat(
            self._session,
            attempt.to.endpoint,
            chat.body,
            timeout_s=left_s if within_s is None else within_s,
            headers=attempt.trace_headers(),
        )
        answer = await read_answer(response)
        attempt.finish(usage=answer.get("usage"), said=said_in(answer, keep=attempt.keeps_text))
        return json_reply({**answer, "model": chat.model}, headers=attempt.headers())

    async def _stream(self, chat: ChatRequest, attempt: Attempt, timeout_s: float) -> Response:
        body = asking_for_usage(chat.body, attempt.to.endpoint)
        response = await post_chat(
            self._session, attempt.to.endpoint, body, timeout_s=timeout_s, headers=attempt.trace_headers()
        )
        events = EventRewriter(
            chat.model,
            first_token=attempt.first_token,
            keep=attempt.keeps_text,
            hide_usage=body is not chat.body,
        )
        try:
            first = await first_events(response, events)
        except BaseException:
            response.close()
            raise
        attempt.committed = True
        left_s = self._timeout_s - attempt.seconds
        return RelayedStream(response, events, first, attempt.headers(), attempt.finish, within_s=left_s)


def _random_ids() -> Iterator[str]:
    """128 bits each, in hex, as nobody can guess them: who knows an answer's id may rate it."""
    while True:  # many at once: asking the kernel for each lets other threads in each time
        drawn = os.urandom(16 * 256).hex()
        for start in range(0, len(drawn), 32):
            yield drawn[start : start + 32]
