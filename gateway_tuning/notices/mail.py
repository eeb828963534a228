"""E-mail by SMTP, encrypted unless the server is on this machine."""

import smtplib
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from email.message import EmailMessage
from urllib.parse import unquote, urlsplit

from gateway_tuning.errors import ConfigurationError
from gateway_tuning.notices.channel import DeliveryError
from gateway_tuning.notices.notice import Notice

_WITHIN_S = 20.0
_LOOPBACK = {"localhost", "127.0.0.1", "::1"}
_PORTS = {"smtp": 587, "smtps": 465}
_REFUSED_FOR_GOOD = 500


@dataclass(frozen=True, slots=True)
class Server:
    host: str
    port: int
    is_tls: bool  # from the first byte; else STARTTLS
    user: str | None
    password: str | None

    @classmethod
    def parse(cls, url: str) -> "Server":
        """`smtp://user:password@host:587` or `smtps://...:465`. Raises ConfigurationError, which shows no part of it."""
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            parts, port = urlsplit(""), None
        if parts.scheme not in _PORTS or not parts.hostname:
            raise ConfigurationError(
                "GATEWAY_TUNING_SMTP_URL must be smtp://user:password@host:port or smtps://...; encode special "
                "characters of the password as %XX"
            )
        return cls(
            parts.hostname,
            port or _PORTS[parts.scheme],
            parts.scheme == "smtps",
            None if parts.username is None else unquote(parts.username),
            None if parts.password is None else unquote(parts.password),
        )


class MailChannel:
    name = "email"

    def __init__(self, url: str, recipients: Sequence[str], sender: str) -> None:
        """Raises ConfigurationError."""
        self._server = Server.parse(url)
        self._recipients = tuple(recipients)
        self._sender = sender
        for address in (*recipients, sender):
            if address.count("@") != 1 or any(character.isspace() for character in address):
                raise ConfigurationError(f"{address!r} is no e-mail address to send notices to or from")

    def send(self, notice: Notice) -> None:
        try:
            with self._connected() as connection:
                if self._server.user is not None:
                    connection.login(self._server.user, self._server.password or "")
                connection.send_message(self._message(notice), self._sender, self._recipients)
        except smtplib.SMTPResponseException as error:
            found = DeliveryError(f"The mail server answered {error.smtp_code}")
            found.is_refused = isinstance(error, smtplib.SMTPDataError) and (
                error.smtp_code >= _REFUSED_FOR_GOOD
            )
            raise found from None
        except smtplib.SMTPRecipientsRefused as error:
            codes = sorted({code for code, _ in error.recipients.values()})
            raise DeliveryError(f"The mail server refuses every recipient: {codes}") from None
        except (OSError, smtplib.SMTPException) as error:
            raise DeliveryError(f"The mail server did not take it: {type(error).__name__}") from None

    def _connected(self) -> smtplib.SMTP:
        server, context = self._server, ssl.create_default_context()
        if server.is_tls:
            return smtplib.SMTP_SSL(server.host, server.port, timeout=_WITHIN_S, context=context)
        connection = smtplib.SMTP(server.host, server.port, timeout=_WITHIN_S)
        try:
            connection.ehlo()
            # Nothing is sent in the clear, were STARTTLS taken out of the server's offer on the way.
            if connection.has_extn("starttls") or server.host not in _LOOPBACK:
                connection.starttls(context=context)
        except BaseException:
            connection.close()
            raise
        return connection

    def _message(self, notice: Notice) -> EmailMessage:
        message = EmailMessage()
        message["Subject"] = " ".join(f"[{notice.severity}] {notice.subject}".split())
        message["From"] = self._sender
        message["To"] = ", ".join(self._recipients)
        # The same each time it is sent: readers show a mail that comes twice once.
        message["Message-ID"] = f"<{notice.id}@{self._sender.rpartition('@')[2]}>"
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(f"{notice.body}\n\n-- \n{notice.kind}, {notice.tenant}, {notice.id[:8]}\n")
        return message
