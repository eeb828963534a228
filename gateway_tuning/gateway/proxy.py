"""One chat request from a client to the arm its user belongs to, and its outcome."""

import time
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
from starlette.requests import Request
from starlette.responses import Response

from gateway_tuning.feedback import rating_token
from gateway_tuning.gateway.answers import Said, said_in
from gateway_tuning.gateway.replies import error_reply, json_reply
from gateway_tuning.gateway.requests import ChatRequest, read_chat_request
from gateway_tuning.gateway.routing import Route, Router
from gateway_tuning.gateway.stream import RelayedStream
from gateway_tuning.gateway.upstream import UpstreamError, post_chat, read_answer, token_counts
from gateway_tuning.gateway.writer import OutcomeWriter
from gateway_tuning.rollout.outcomes import Outcome

ANSWER_HEADER = "x-gateway-answer-id"
VERSION_HEADER = "x-gateway-model-version"
TOKEN_HEADER = "x-gateway-rating-token"  # noqa: S105 - the name of a header


@dataclass(frozen=True, slots=True)
class RatingSigner:
    """Vouches that an answer was given to its user, for whoever takes in the rating."""

    key: bytes
    valid_for: timedelta

    def token(self, answer_id: str, user: str | None, now: datetime) -> str:
        return rating_token.issue(self.key, answer_id, user, now + self.valid_for)


class Attempt:
    """A request under way. Exactly one outcome comes of it: the first `finish` counts."""

    def __init__(self, answer_id: str, route: Route, writer: OutcomeWriter, chat: ChatRequest) -> None:
        self.route = route
        self.headers = {ANSWER_HEADER: answer_id, VERSION_HEADER: route.version_id}
        self._answer_id = answer_id
        self._writer = writer
        self._simulated = chat.simulated
        self._prompt_chars = chat.prompt_chars
        self._started = time.perf_counter()
        self._finished = False

    def finish(self, error: str | None = None, usage: Any = None, said: Said | None = None) -> None:
        if self._finished:
            return
        self._finished = True
        prompt_tokens, completion_tokens = token_counts(usage)
        self._writer.add(
            Outcome(
                answer_id=self._answer_id,
                model=self.route.model,
                canary_id=self.route.canary_id,
                arm=self.route.arm,
                version_id=self.route.version_id,
                user_key=self.route.user_key,
                at=datetime.now(UTC),
                latency_ms=(time.perf_counter() - self._started) * 1000.0,
                error=error,
                prompt_tokens=prompt_tokens,
                completion_tokens=completion_tokens,
                prompt_chars=self._prompt_chars,
                answer_chars=None if said is None else said.chars,
                refused=None if said is None else said.refused,
                simulated=self._simulated,
            )
        )


class Proxy:
    def __init__(
        self,
        session: aiohttp.ClientSession,
        router: Router,
        writer: OutcomeWriter,
        signing: RatingSigner | None,
    ) -> None:
        self._session = session
        self._router = router
        self._writer = writer
        self._signing = signing

    async def chat(self, request: Request) -> Response:
        """Raises RefusedError for a request that reaches no model."""
        chat = await read_chat_request(request)
        answer_id = uuid.uuid4().hex
        route = self._router.route(chat.model, chat.user, answer_id=answer_id)
        attempt = Attempt(answer_id, route, self._writer, chat)
        if self._signing is not None:
            attempt.headers[TOKEN_HEADER] = self._signing.token(answer_id, chat.user_id, datetime.now(UTC))
        try:
            return await self._answer(chat, attempt)
        except UpstreamError as error:
            attempt.finish(error.code)
            return error_reply(error.status, error.code, error.message, attempt.headers)
        except BaseException:  # the gateway stops or has a bug: the outcome is recorded all the same
            attempt.finish("interrupted")
            raise

    async def _answer(self, chat: ChatRequest, attempt: Attempt) -> Response:
        response = await post_chat(self._session, attempt.route.endpoint, chat.body)
        if not chat.stream:
            answer = await read_answer(response)
            attempt.finish(usage=answer.get("usage"), said=said_in(answer))
            return json_reply({**answer, "model": chat.model}, headers=attempt.headers)
        if response.content_type != "text/event-stream":
            response.close()
            raise UpstreamError(502, "no_stream", "The model's endpoint does not stream")
        return RelayedStream(response, chat.model, attempt.headers, attempt.finish)
