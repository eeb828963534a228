"""How repeated checks against one reference share their chance of a false alarm. Pure.

A check each day at alpha 0.05 would raise a false alarm within a month with chance 0.79. Check number k is given
alpha x 6 / (pi^2 k^2): the shares sum to 1 over all k, so by Boole's inequality the chance of any false alarm stays
below alpha however many checks there are, and however much they depend on one another. No horizon has to be chosen
beforehand. The price is small here, since drift also needs an effect size: a PSI of 0.1 in a thousand rows has a
p-value far below what the hundredth check is given. A new reference starts at 1 again.
"""

from math import pi


def alpha_of(check_number: int, alpha: float) -> float:
    """What check `check_number` (from 1) against the same reference may spend of `alpha`.

    Raises:
        ValueError: the number is below 1, or alpha is no probability.
    """
    if check_number < 1:
        raise ValueError(f"Check number {check_number}: the first check against a reference is number 1")
    if not 0 < alpha < 1:
        raise ValueError(f"alpha is {alpha}; a chance between 0 and 1 is needed")
    return alpha * 6 / (pi * check_number) ** 2
