"""What is said of a difference."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Difference:
    """Candidate minus baseline. `mean` is None without pairs, the interval None where it cannot be known."""

    mean: float | None
    low: float | None
    high: float | None
    level: float
    n: int
