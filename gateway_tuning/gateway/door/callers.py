"""Who was let in, as the relay sees it."""

from collections.abc import Callable
from dataclasses import dataclass


def _unlimited(_tokens: int) -> None:
    """For a caller whose tokens nobody counts."""


@dataclass(frozen=True, slots=True)
class Caller:
    """`key_id` and `tenant` are None where no key was shown.

    `spend` takes all tokens of one answer, prompt included, once the answer has ended; the first call counts. An answer
    that does not say its usage is told as one token per 4 characters of prompt and answer, a failed one as 0.
    """

    key_id: str | None
    tenant: str | None
    spend: Callable[[int], None]


ANYONE = Caller(None, None, _unlimited)
