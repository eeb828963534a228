"""Choices that a key decides: the same on every machine and under every version of Python. Pure."""

from collections.abc import Sequence
from typing import TypeVar

from gateway_tuning.datasets.quality.shingles import hash64

T = TypeVar("T")
_MASK = (1 << 64) - 1


class Draws:
    """splitmix64 (Steele, Lea and Flood 2014), started by a hash of the key."""

    def __init__(self, *key: object) -> None:
        self._state = hash64("\x1f".join(map(str, key)))

    def below(self, bound: int) -> int:
        self._state = (self._state + 0x9E3779B97F4A7C15) & _MASK
        value = self._state
        value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & _MASK
        return (value ^ (value >> 31)) % bound

    def choice(self, items: Sequence[T]) -> T:
        return items[self.below(len(items))]

    def sample(self, items: Sequence[T], count: int) -> list[T]:
        """Different ones, in no order that means anything."""
        left = list(items)
        return [left.pop(self.below(len(left))) for _ in range(min(count, len(left)))]
