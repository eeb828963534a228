"""Ask a provider until it answers, within bounds. Only what may be tried again is: a refusal is final at once."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar

from gateway_tuning.errors import ProviderUnavailableError
from gateway_tuning.training.watching.circuit import Circuit, circuit_of
from gateway_tuning.training.watching.pace import RETRIES, Pace, Time

T = TypeVar("T")

LONGEST_OUTAGE_S = 900.0


@dataclass(frozen=True, slots=True)
class Line:
    """To one provider. `longest_outage_s` bounds how long a single question is asked again."""

    provider: str
    circuit: Circuit
    time: Time
    pace: Pace = RETRIES
    longest_outage_s: float = LONGEST_OUTAGE_S

    def ask(self, question: Callable[[], T]) -> T:
        """The answer, or the error that is one.

        Raises:
            ProviderUnavailableError: no answer within `longest_outage_s`, or the provider asked for a longer pause.
        """
        began, attempt = self.time.monotonic(), 0
        last: ProviderUnavailableError | None = None
        while True:
            while (shut := self.circuit.wait(self.time.monotonic())) > 0:
                self._pause(shut, began, last)
            try:
                answer = question()
            except ProviderUnavailableError as error:
                last = error
                self.circuit.failed(self.time.monotonic(), retry_after_s=error.retry_after_s)
            except Exception:
                self.circuit.answered()
                raise
            else:
                self.circuit.answered()
                return answer
            self._pause(self.pace.wait(attempt, self.time.draw()), began, last)
            attempt += 1

    def _pause(self, seconds: float, began: float, last: ProviderUnavailableError | None) -> None:
        left = self.longest_outage_s - (self.time.monotonic() - began)
        if seconds > left:
            told = f": {last}" if last is not None else ""
            raise ProviderUnavailableError(
                f"{self.provider} does not answer, and is asked again in {seconds:.0f} s at the earliest; "
                f"the job is not lost, run it again or let reconcile-jobs go on{told}"
            ) from last
        self.time.sleep(seconds)


def line_to(provider: str, *, longest_outage_s: float = LONGEST_OUTAGE_S) -> Line:
    """By this machine's clocks, and the circuit that all of this process share."""
    return Line(provider, circuit_of(provider), TIME, longest_outage_s=longest_outage_s)


def _now() -> datetime:
    return datetime.now(UTC)


TIME = Time(now=_now, monotonic=time.monotonic, sleep=time.sleep, draw=random.random)
