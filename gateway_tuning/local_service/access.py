"""Who may call, and how much they may send: checked before anything is read."""

import hmac
from http import HTTPStatus
from ipaddress import ip_address

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway_tuning.local_service.problems import defect, log_defect, reply

FILE_BYTES = 512 * 10**6
"""OpenAI's own limit of a training file."""

_FORM_BYTES = 10**6  # of the form around a file
_BODY_BYTES = 8 * 10**6
_BAD_KEY = (
    "Incorrect API key provided. The service was started with GATEWAY_TUNING_LOCAL_SERVICE_KEY; send that one"
)


def is_loopback(host: str) -> bool:
    """Of a host name or address, without a port."""
    if host.lower() == "localhost":
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


class Access:
    """With a key, whoever sends it may call. Without one, programs of this machine may, and no web page.

    A page in a browser of this machine reaches loopback too. Browsers mark its requests with `Origin`, and where the
    page's own name was made to lead here, `Host` has that name.
    """

    def __init__(self, app: ASGIApp, *, key: str | None) -> None:
        self._app = app
        self._key = key

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        refusal = self._refusal(headers)
        if refusal is not None:
            status, message, code = refusal
            await reply(status, message, code=code)(scope, receive, send)
            return
        limit = FILE_BYTES + _FORM_BYTES if scope["path"] == "/v1/files" else _BODY_BYTES
        await self._bounded(scope, receive, send, headers.get(b"content-length"), limit)

    def _refusal(self, headers: dict[bytes, str]) -> tuple[int, str, str] | None:
        if self._key is not None:
            scheme, _, given = headers.get(b"authorization", "").partition(" ")
            right = hmac.compare_digest(given.encode("latin-1"), self._key.encode())
            return None if scheme.lower() == "bearer" and right else (401, _BAD_KEY, "invalid_api_key")
        host = headers.get(b"host", "")
        name = host if host.endswith("]") else host.rpartition(":")[0] or host
        if b"origin" in headers or not is_loopback(name):
            told = "Without a key this service answers programs on its own machine alone; set GATEWAY_TUNING_LOCAL_SERVICE_KEY"
            return (403, told, "not_local")
        return None

    async def _bounded(
        self, scope: Scope, receive: Receive, send: Send, length: str | None, limit: int
    ) -> None:
        too_large = reply(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"The request is longer than {limit:,} bytes; send less"
        )
        if length is not None and (not length.isdigit() or int(length) > limit):
            await too_large(scope, receive, send)
            return
        received, started = 0, False

        async def receive_bounded() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > limit:
                raise ClientDisconnect
            return message

        async def send_unless_too_large(message: Message) -> None:
            """What a parser makes of a body that was cut off is not what the client has to know."""
            nonlocal started
            if started or received <= limit:
                started = True
                await send(message)

        try:
            await self._app(scope, receive_bounded, send_unless_too_large)
        except ClientDisconnect:
            pass
        except Exception as error:  # noqa: BLE001 - Starlette would hand it on to a log with all that it says
            log_defect(error)
            if not started:
                await defect()(scope, receive, send)
            return
        if received > limit and not started:
            await too_large(scope, receive, send)
