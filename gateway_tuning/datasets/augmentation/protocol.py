"""What an augmenter is. `tests/contracts/test_augmenters.py` holds every one to it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from gateway_tuning.datasets.example import Example

LanguageOf = Callable[[str], str | None]  # ISO 639-1, or None where it cannot be told


@dataclass(frozen=True, slots=True)
class Variant:
    """`how` is a few words on what was done; it stands in the example."""

    text: str
    how: str


@dataclass(frozen=True, slots=True)
class Lost:
    """A variant that was asked for and did not come. `reason` is a code that is counted, and quotes no text."""

    reason: str


class Augmenter(Protocol):
    """Gives the user's last turn in other words. Everything else of an example stays as it is."""

    @property
    def name(self) -> str: ...

    @property
    def invents(self) -> bool:
        """Whether a variant may hold words that the prompt has not: such are searched for personal data."""
        ...

    async def variants(self, example: Example, count: int, seed: int) -> list[Variant | Lost]:
        """At most `count` for one example, called for many at once.

        What comes is a matter of example id, text and seed, whatever else is asked; fewer where the text gives no
        more. A variant is not blank and not the prompt, no two are equal, and placeholders such as `<PERSON_1>` are
        those of the prompt. What fails is a `Lost` and no error.
        """
        ...

    async def close(self) -> None:
        """Ends connections. Variants may be asked for again afterwards, in another event loop."""
        ...
