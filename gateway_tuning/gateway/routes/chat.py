"""Chats, past the framework's routing: of a gateway's requests nearly all are this one."""

import logging

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from gateway_tuning.gateway.replies import RefusedError, error_reply
from gateway_tuning.gateway.requests import asked_model, chat_request, read_body, read_json
from gateway_tuning.gateway.routes.parts import Parts

PATH = "/v1/chat/completions"
_BAD = 400
_log = logging.getLogger(__name__)


class ChatLane:
    """Everything else goes on to `app`.

    Of all posts at most `max_open` are under way, bodies that are still coming included: more are refused, for what is
    under way is held in memory.
    """

    def __init__(self, app: Starlette, *, max_open: int) -> None:
        self._app = app
        self._max_open = max_open
        self._open = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        if self._open >= self._max_open:
            await _busy(self._max_open)(scope, receive, send)
            return
        self._open += 1
        try:
            await (self._answer if scope["path"] == PATH else self._app)(scope, receive, send)
        finally:
            self._open -= 1

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            response = await _chat(self._app.state.parts, scope, receive)
        except RefusedError as error:
            response = error_reply(error.status, error.code, error.message, error.headers)
        except ClientDisconnect:
            return
        except Exception:  # noqa: BLE001 - the client gets an answer all the same
            _log.exception("a chat failed for a reason of the gateway's own")
            response = error_reply(500, "internal_error", "The gateway failed; its log says why")
        await response(scope, receive, send)


def _busy(most: int) -> Response:
    return error_reply(
        503,
        "too_many_requests_open",
        f"The gateway has {most} requests under way; try again",
        {"retry-after": "1", "connection": "close"},  # the body that was not read ends with the connection
    )


async def _chat(parts: Parts, scope: Scope, receive: Receive) -> Response:
    """Raises RefusedError for a request that reaches no model."""
    headers = dict(scope["headers"])
    visitor = parts.door.visitor(headers)  # before the body is read
    raw = await read_body(receive)
    body = read_json(raw)
    asked = asked_model(body)
    served = parts.directory.served(asked, parts.router.table.stable)
    parts.door.require_model(visitor, asked, served)
    chat = chat_request(body, headers, served=served)
    visit = parts.door.admit(visitor, body, len(raw))
    try:
        response = await parts.proxy.chat(chat, visit.caller)
    except BaseException:
        visit.leave()
        raise
    if response.status_code >= _BAD:
        visit.leave()
    response.raw_headers += visit.headers()
    return response
