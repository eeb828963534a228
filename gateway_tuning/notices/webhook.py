"""Slack's incoming webhooks, which Mattermost, Rocket.Chat and others take too.

Of `urllib`, which tells no log what it calls: the address is the secret.
"""

import json
import urllib.error
import urllib.request
from email.message import Message
from http import HTTPStatus
from typing import IO
from urllib.parse import urlsplit

from gateway_tuning.errors import ConfigurationError
from gateway_tuning.notices.channel import DeliveryError
from gateway_tuning.notices.notice import Notice, Severity

_WITHIN_S = 20.0
_MARKS = {Severity.INFORMATION: "•", Severity.WARNING: "⚠", Severity.ALARM: "🛑"}
_LOOPBACK = {"localhost", "127.0.0.1", "::1"}


class WebhookChannel:
    name = "webhook"

    def __init__(self, url: str) -> None:
        """Raises ConfigurationError for an address that would send its secret in the clear."""
        parts = urlsplit(url)
        if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in _LOOPBACK):
            raise ConfigurationError("GATEWAY_TUNING_NOTIFY_WEBHOOK_URL must begin with https://")
        self._url = url
        self._opener = urllib.request.build_opener(_NoRedirects)

    def send(self, notice: Notice) -> None:
        request = urllib.request.Request(  # noqa: S310 - the scheme was looked at above
            self._url,
            json.dumps({"text": text_of(notice)}).encode(),
            {"content-type": "application/json", "idempotency-key": notice.id},
        )
        try:
            with self._opener.open(request, timeout=_WITHIN_S) as reply:
                reply.read(1024)
        except urllib.error.HTTPError as error:
            raise _refused(error) from None
        except (OSError, ValueError) as error:
            raise DeliveryError(f"The webhook did not answer: {type(error).__name__}") from None


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(  # noqa: PLR0917 - as urllib calls it
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Message, newurl: str
    ) -> None:
        """What follows a redirection would send the notice to who knows whom."""


def text_of(notice: Notice) -> str:
    """In Slack's marks. The id lets people know a notice that comes twice."""
    text = f"{_MARKS[notice.severity]} *{notice.subject}*\n{notice.body}"
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return f"{escaped}\n_{notice.kind}, {notice.tenant}, {notice.id[:8]}_"


def _refused(error: urllib.error.HTTPError) -> DeliveryError:
    found = DeliveryError(f"The webhook answered {error.code}")
    waits = error.code in {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.REQUEST_TIMEOUT}
    found.is_refused = HTTPStatus.BAD_REQUEST <= error.code < HTTPStatus.INTERNAL_SERVER_ERROR and not waits
    after = error.headers.get("retry-after", "")
    if after.isascii() and after.isdigit():
        found.retry_after_s = min(float(after), 3600.0)
    return found
