"""What a drift check found."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from gateway_tuning.errors import IntegrityError

State = Literal["drift", "no_drift", "inconclusive", "error", "not_applicable"]


@dataclass(frozen=True, slots=True)
class Bin:
    """Shares of what is counted, 0 to 1: rows, or words."""

    label: str
    reference: float
    current: float


@dataclass(frozen=True, slots=True)
class Metric:
    """`psi_expected` is what chance gives; `threshold` is for the PSI beyond it. `p_value` is Holm's.

    `bins` are those that the PSI comes from most, largest part first; `n_reference` and `n_current` count rows.
    """

    name: str
    psi: float
    psi_expected: float
    p_value: float
    threshold: float
    drifted: bool
    n_reference: int
    n_current: int
    bins: tuple[Bin, ...] = ()


@dataclass(frozen=True, slots=True)
class Unmeasured:
    """`blocks`: without it nothing found is not no drift. What is the same in all rows of both sides does not block."""

    name: str
    reason: str
    blocks: bool


@dataclass(frozen=True, slots=True)
class Classifier:
    """Held-out AUC of telling the windows' prompts apart, and about which share of the rows is of another kind.

    Either counts from its threshold on, where `p_value` (Holm's, with those of the metrics) is significant. The words
    are those that more users of one window use than of the other, the most telling first.
    """

    auc: float
    share: float
    p_value: float
    threshold: float
    share_threshold: float
    drifted: bool
    words_reference: tuple[str, ...]
    words_current: tuple[str, ...]
    n_reference: int
    n_current: int


@dataclass(frozen=True, slots=True)
class QualityIssue:
    type: Literal[
        "low_sample_count", "short_prompts", "long_prompts", "empty_answers", "duplicates", "unknown_language",
        "missing_feedback_types", "dominating_group", "damaged_texts",
    ]  # fmt: skip
    severity: Literal["warning", "info"]
    description: str


@dataclass(frozen=True, slots=True)
class DriftReport:
    """`score`, the mean PSI beyond chance, is for display and decides nothing; None when nothing was measured.

    `alpha` is what this check could spend: all of it, or what is left for check number `check_number` against the
    same reference. `topics` lists all topics with their shares.
    """

    state: State
    reasons: tuple[str, ...]
    metrics: tuple[Metric, ...]
    data_quality: tuple[QualityIssue, ...]
    score: float | None
    reference: str | None
    current: str
    alpha: float | None = None
    check_number: int | None = None
    unmeasured: tuple[Unmeasured, ...] = ()
    classifier: Classifier | None = None
    topics: tuple[Bin, ...] = ()

    @property
    def spends(self) -> bool:
        """Something was tested, so that drift could have been found: the check counts among those that share alpha."""
        return bool(self.metrics) or self.classifier is not None


def read_report(stored: Mapping[str, Any]) -> DriftReport:
    """What `dataclasses.asdict` made JSON of.

    Raises:
        IntegrityError: it is something else.
    """
    try:
        return _adapter().validate_python(stored)
    except ValidationError as error:
        raise IntegrityError(
            f"What is stored is no drift report; restore it or check again: {error}"
        ) from error


@cache
def _adapter() -> TypeAdapter[DriftReport]:
    return TypeAdapter(DriftReport)
