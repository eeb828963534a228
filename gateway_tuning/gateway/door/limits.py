"""How much one key may ask in a minute: exact sliding windows. Pure; `now` is seconds of a clock that never goes back."""

from collections import deque
from dataclasses import dataclass
from typing import Literal

WINDOW_S = 60.0
Kind = Literal["requests", "tokens"]


@dataclass(frozen=True, slots=True)
class Standing:
    """`reset_s` is the time until all of the limit is free again."""

    kind: Kind
    limit: int
    remaining: int
    reset_s: float


@dataclass(frozen=True, slots=True)
class Excess:
    """Asked for too much; `wait_s` later there is room again, if nobody else takes it."""

    kind: Kind
    limit: int
    wait_s: float


@dataclass(slots=True)
class Use:
    """What one admitted request takes, until a minute has gone by or its real size is known."""

    until: float
    tokens: int
    settled: bool = False


class RequestLimit:
    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._until: deque[float] = deque()

    def excess(self, now: float) -> Excess | None:
        self._forget(now)
        if len(self._until) < self._limit:
            return None
        return Excess("requests", self._limit, self._until[0] - now)

    def take(self, now: float) -> None:
        self._until.append(now + WINDOW_S)

    def standing(self, now: float) -> Standing:
        self._forget(now)
        reset_s = self._until[-1] - now if self._until else 0.0
        return Standing("requests", self._limit, self._limit - len(self._until), reset_s)

    def _forget(self, now: float) -> None:
        while self._until and self._until[0] <= now:
            self._until.popleft()


class TokenLimit:
    """Lets a request in while less than the limit is in use: what it takes is known afterwards.

    Until then it counts as its estimate. So a minute's use is over the limit by one answer at most, and beyond that by
    as much as answers under way at the same time were underestimated.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._uses: deque[Use] = deque()
        self._total = 0

    def excess(self, now: float) -> Excess | None:
        self._forget(now)
        if self._total < self._limit:
            return None
        left, until = self._total, now
        for use in self._uses:
            left, until = left - use.tokens, use.until
            if left < self._limit:
                break
        return Excess("tokens", self._limit, until - now)

    def take(self, now: float, estimate: int) -> Use:
        use = Use(now + WINDOW_S, estimate)
        self._uses.append(use)
        self._total += estimate
        return use

    def settle(self, use: Use, now: float, tokens: int) -> None:
        """The first call counts. What ends after its own minute counts from its end on."""
        if use.settled:
            return
        self._forget(now)
        use.settled = True
        if use.until > now:
            self._total += tokens - use.tokens
            use.tokens = tokens
        elif tokens:
            self.take(now, tokens).settled = True

    def standing(self, now: float) -> Standing:
        self._forget(now)
        reset_s = self._uses[-1].until - now if self._uses else 0.0
        return Standing("tokens", self._limit, max(0, self._limit - self._total), reset_s)

    def _forget(self, now: float) -> None:
        while self._uses and self._uses[0].until <= now:
            self._total -= self._uses.popleft().tokens


class Limits:
    """Of one key; either limit may be absent."""

    def __init__(self, requests_per_minute: int | None, tokens_per_minute: int | None) -> None:
        self._requests = RequestLimit(requests_per_minute) if requests_per_minute is not None else None
        self._tokens = TokenLimit(tokens_per_minute) if tokens_per_minute is not None else None

    def admit(self, now: float, estimate: int) -> Use | Excess:
        """Counts a request that both limits let in; a refused one counts nowhere."""
        for limit in (self._requests, self._tokens):
            excess = limit.excess(now) if limit is not None else None
            if excess is not None:
                return excess
        if self._requests is not None:
            self._requests.take(now)
        return self._tokens.take(now, estimate) if self._tokens is not None else Use(now, 0)

    def settle(self, use: Use, now: float, tokens: int) -> None:
        if self._tokens is not None:
            self._tokens.settle(use, now, tokens)

    def standings(self, now: float) -> list[Standing]:
        return [limit.standing(now) for limit in (self._requests, self._tokens) if limit is not None]
