"""The difference of two systems on the same examples, with its uncertainty.

What belongs together (a user's or a conversation's examples) is one cluster everywhere: it is drawn, flipped and
counted as a whole.
"""

from gateway_tuning.evaluation.statistics.bootstrap import paired_bootstrap
from gateway_tuning.evaluation.statistics.difference import Difference

__all__ = ["Difference", "paired_bootstrap"]
