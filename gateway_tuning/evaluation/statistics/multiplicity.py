"""Several tests at once."""

from collections.abc import Sequence


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Adjusted p-values, in order: the chance of any false finding among them stays below the level they are held to.

    The i-th smallest of m is multiplied by m - i + 1 and never falls below a smaller one (Holm 1979, Scandinavian
    Journal of Statistics 6:65-70). Whatever the dependence. None stays None and counts for nothing.
    """
    known = sorted((p, place) for place, p in enumerate(p_values) if p is not None)
    adjusted: list[float | None] = [None] * len(p_values)
    reached = 0.0
    for rank, (p, place) in enumerate(known):
        reached = max(reached, min(1.0, (len(known) - rank) * p))
        adjusted[place] = reached
    return adjusted
