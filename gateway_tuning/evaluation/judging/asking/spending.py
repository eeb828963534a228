"""What judging costs, and how it stays below a cap. Money is Decimal, in the currency of the settings."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from gateway_tuning.errors import ConfigurationError
from gateway_tuning.evaluation.settings import JudgeSettings

_MILLION = 1_000_000
_AROUND_A_CHAT = 64  # tokens of the chat template, and of a schema that the server writes into the prompt
_SCHEMA = 256


@dataclass(frozen=True, slots=True)
class Prices:
    """Of a million tokens read and written. `longest_reply` is in tokens."""

    read: Decimal
    written: Decimal
    longest_reply: int

    def cost(self, prompt_tokens: int, completion_tokens: int) -> Decimal:
        return (self.read * prompt_tokens + self.written * completion_tokens) / _MILLION

    def bound(self, messages: Sequence[Mapping[str, str]]) -> Decimal:
        """What a request costs at most: tokenizers that fall back to bytes make no more tokens than bytes."""
        size = sum(len(message["content"].encode()) for message in messages)
        return self.cost(size + _AROUND_A_CHAT + _SCHEMA, self.longest_reply)


def prices_of(settings: JudgeSettings) -> Prices | None:
    """None unless both are set.

    Raises:
        ConfigurationError: there is a cap, and nobody could tell when it is reached.
    """
    if settings.input_price is None or settings.output_price is None:
        if settings.max_cost is not None:
            raise ConfigurationError(
                f"The judge {settings.model} has max_cost {settings.max_cost} {settings.currency} and not both prices; "
                "set input_price and output_price of a million tokens, or leave max_cost out"
            )
        return None
    return Prices(
        Decimal(str(settings.input_price)), Decimal(str(settings.output_price)), settings.max_tokens
    )


class Allowance:
    """Money up to a cap, of one event loop. Without a cap everything is granted, and counted all the same.

    What a request may cost is held before it goes out, so that requests side by side cannot overspend together.
    """

    def __init__(self, cap: Decimal | None) -> None:
        self.spent = Decimal(0)
        self._before = Decimal(0)
        self._cap = cap
        self._held = Decimal(0)
        self._changed = asyncio.Event()
        self._asking_again = 0

    def add_before(self, amount: Decimal) -> None:
        """What an earlier run paid for what this one uses counts too."""
        self._before += amount

    async def hold(self, amount: Decimal) -> bool:
        """For a new question. False once nothing is under way that could cost less than is held for it."""
        while self._asking_again or not self._hold_at_once(amount):
            if not self._held and not self._asking_again:
                return False
            await self._change()
        return True

    async def hold_again(self, amount: Decimal) -> bool:
        """For a question that was asked before and has no answer: goes before new ones. The caller holds nothing."""
        self._asking_again += 1
        try:
            while not self._hold_at_once(amount):
                if not self._held:
                    return False
                await self._change()
            return True
        finally:
            self._asking_again -= 1
            self._changed.set()

    def _hold_at_once(self, amount: Decimal) -> bool:
        if self._cap is not None and self._before + self.spent + self._held + amount > self._cap:
            return False
        self._held += amount
        return True

    async def _change(self) -> None:
        self._changed.clear()
        await self._changed.wait()

    def settle(self, held: Decimal, cost: Decimal) -> None:
        """`cost` takes the place of what was held."""
        self._held -= held
        self.spent += cost
        self._changed.set()
