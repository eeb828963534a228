"""From settings to channels, and from the outbox to them."""

import logging
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from gateway_tuning.errors import ConfigurationError
from gateway_tuning.notices.channel import Channel, DeliveryError
from gateway_tuning.notices.mail import MailChannel
from gateway_tuning.notices.notice import Severity
from gateway_tuning.notices.store import MOST_ATTEMPTS, NoticeStore
from gateway_tuning.notices.webhook import WebhookChannel
from gateway_tuning.settings import Settings

_log = logging.getLogger("gateway_tuning.notices")

_AT_ONCE = 50  # a pass that is cut short goes on in a minute


def channels_of(settings: Settings) -> dict[str, Channel]:
    """Those that are configured, by name. Raises ConfigurationError for half of a configuration."""
    found: list[Channel] = []
    if settings.notify_webhook_url is not None:
        found.append(WebhookChannel(settings.notify_webhook_url.get_secret_value()))
    recipients = [one.strip() for one in (settings.notify_email_to or "").split(",") if one.strip()]
    if recipients:
        if settings.smtp_url is None:
            raise ConfigurationError(
                "GATEWAY_TUNING_NOTIFY_EMAIL_TO is set and nobody sends: set GATEWAY_TUNING_SMTP_URL too"
            )
        sender = settings.notify_email_from or recipients[0]
        found.append(MailChannel(settings.smtp_url.get_secret_value(), recipients, sender))
    return {channel.name: channel for channel in found}


def wanted(channels: Mapping[str, Channel], settings: Settings) -> dict[str, Severity]:
    return {name: Severity(settings.notify_min_severity) for name in channels}


def deliver(
    store: NoticeStore, channels: Mapping[str, Channel], clock: Callable[[], datetime]
) -> dict[str, int]:
    """Send what is due. A channel that does not answer is left alone until the next pass."""
    counts = {"sent": 0, "again": 0, "given_up": 0}
    silent: set[str] = set()
    for delivery in store.due(clock(), limit=_AT_ONCE):
        if delivery.channel in silent or not store.claim(delivery, clock()):
            continue
        try:
            channels[delivery.channel].send(delivery.notice)
        except DeliveryError as error:
            last = delivery.attempts + 1 >= MOST_ATTEMPTS
            counts["given_up" if last else "again"] += 1
            now, after = clock(), error.retry_after_s
            later = None if after is None else now + timedelta(seconds=after)
            store.failed(delivery, str(error), now, not_before=later)
            told = "given up" if last else "tried again later"
            _log.warning("notice %s by %s: %s; %s", delivery.notice.id[:8], delivery.channel, error, told)
            if not error.is_refused:
                silent.add(delivery.channel)
        else:
            store.sent(delivery, clock())
            counts["sent"] += 1
    return counts
