"""Who may come in, for which model and how often. Decided in memory, before anything is asked of anybody."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from math import ceil
from typing import Any

from gateway_tuning.gateway.door.callers import ANYONE, Caller
from gateway_tuning.gateway.door.directory import Directory
from gateway_tuning.gateway.door.keys import PREFIX
from gateway_tuning.gateway.door.limits import Excess, Standing, Use
from gateway_tuning.gateway.door.ring import Kept, invalid_key
from gateway_tuning.gateway.replies import RefusedError
from gateway_tuning.gateway.requests import Headers, text_length

_BEARER = "bearer "
_CHARACTERS_PER_TOKEN = 4
_MOST_TOKENS = 1 << 31
_SHORT = 16 * 1024  # bytes of a request that holds no large image


@dataclass(frozen=True, slots=True)
class Visit:
    """One admitted request. `leave` gives back what it was going to use; after `spend` it does nothing."""

    caller: Caller
    standings: Callable[[], list[Standing]]

    def headers(self) -> list[tuple[bytes, bytes]]:
        """OpenAI's `x-ratelimit-*`, as ASGI wants them; none for a caller without limits."""
        return [pair for standing in self.standings() for pair in _header_pairs(standing)]

    def leave(self) -> None:
        self.caller.spend(0)


_FREE = Visit(ANYONE, list)


class Door:
    def __init__(
        self,
        directory: Directory,
        *,
        require_keys: bool,
        limited: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`limited` is told of each request that a limit refuses, with the limit's kind."""
        self._directory = directory
        self._limited = limited
        self._require_keys = require_keys
        self._clock = clock

    def visitor(self, headers: Headers) -> Kept | None:
        """The caller's key; None where keys are not required and none of ours was shown.

        Raises RefusedError with 401, with 503 while no key is known at all, and with 403 for a web page without a key.
        """
        shown = headers.get(b"authorization", b"").decode("latin-1")
        text = shown[len(_BEARER) :].strip() if shown[: len(_BEARER)].lower() == _BEARER else ""
        if not self._require_keys and not text.startswith(PREFIX):
            if b"origin" in headers:  # a page that somebody here looks at must not ask in their name
                raise RefusedError(403, "key_needed", "Requests from web pages need a key of the gateway")
            return None
        if not self._directory.ready:
            raise RefusedError(503, "no_keys", "The gateway could not read its keys yet")
        if not text:
            raise invalid_key("You didn't provide an API key. Send one as 'Authorization: Bearer gk_...'")
        return self._directory.keys.check(text, datetime.now(UTC))

    def require_model(self, visitor: Kept | None, asked: str, served: str) -> None:
        """Raises RefusedError with 404 for a model of another tenant, and 403 for one that the key does not open."""
        if visitor is None:
            return
        if self._directory.owner(served) != visitor.key.tenant:
            # The caller need not know what others have.
            raise RefusedError(404, "model_not_found", f"The model '{asked}' does not exist")
        if visitor.key.models is not None and served not in visitor.key.models:
            raise RefusedError(
                403, "model_not_found", f"This API key does not have access to model '{asked}'"
            )

    def opens(self, visitor: Kept | None, model: str) -> bool:
        if visitor is None:
            return True
        key = visitor.key
        return self._directory.owner(model) == key.tenant and (key.models is None or model in key.models)

    def admit(self, visitor: Kept | None, body: Mapping[str, Any], length: int) -> Visit:
        """`length` is that of the whole request in bytes. Raises RefusedError with 429 and the time to wait."""
        if visitor is None:
            return _FREE
        limits, clock = visitor.limits, self._clock
        now = clock()
        admitted = limits.admit(
            now, _estimate(body, length) if visitor.key.tokens_per_minute is not None else 0
        )
        if isinstance(admitted, Excess):
            self._limited(admitted.kind)
            raise _limit_error(admitted, limits.standings(now))
        use: Use = admitted

        def spend(tokens: int) -> None:
            limits.settle(use, clock(), tokens)

        caller = Caller(visitor.key.id, visitor.key.tenant, spend)
        return Visit(caller, lambda: limits.standings(clock()))


def _estimate(body: Mapping[str, Any], length: int) -> int:
    """Tokens that a request may come to: of what was sent, and of the longest answer that it asks for."""
    characters = length if length <= _SHORT else _text_length(body)
    longest = _count(body.get("max_completion_tokens")) or _count(body.get("max_tokens")) or 0
    answer = longest * (_count(body.get("n")) or 1)
    return min(_MOST_TOKENS, max(1, characters // _CHARACTERS_PER_TOKEN + answer))


def _count(given: Any) -> int | None:
    whole = isinstance(given, int) and not isinstance(given, bool)
    return given if whole and 0 < given < _MOST_TOKENS else None


def _text_length(body: Mapping[str, Any]) -> int:
    """Without images, whose bytes are no tokens."""
    given, messages = body.get("input"), body.get("messages")
    texts = given if isinstance(given, list) else [given]
    if isinstance(messages, list):
        texts = texts + [one.get("content") for one in messages if isinstance(one, dict)]
    return sum(text_length(text) or 0 for text in texts)


def _limit_error(excess: Excess, standings: list[Standing]) -> RefusedError:
    headers = {
        "retry-after": str(max(1, ceil(excess.wait_s))),
        "retry-after-ms": str(max(1, ceil(excess.wait_s * 1000))),
    }
    headers |= {
        name.decode(): value.decode() for standing in standings for name, value in _header_pairs(standing)
    }
    return RefusedError(
        429,
        "rate_limit_exceeded",
        f"Rate limit reached: this key may use {excess.limit} {excess.kind} per minute. "
        f"Please try again in {_span(excess.wait_s)}",
        headers,
    )


def _header_pairs(standing: Standing) -> tuple[tuple[bytes, bytes], ...]:
    kind = standing.kind.encode()
    return (
        (b"x-ratelimit-limit-" + kind, b"%d" % standing.limit),
        (b"x-ratelimit-remaining-" + kind, b"%d" % standing.remaining),
        (b"x-ratelimit-reset-" + kind, _span(standing.reset_s).encode()),
    )


def _span(seconds: float) -> str:
    """As OpenAI writes it: `350ms`, `7.5s`, `1m0s`."""
    if seconds < 1:
        return f"{ceil(seconds * 1000)}ms"
    minutes, rest = divmod(ceil(seconds * 100) / 100, 60)
    return f"{int(minutes)}m{rest:g}s" if minutes else f"{rest:.4g}s"
