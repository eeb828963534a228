"""Whether a judge's preferences may decide anything. Pure."""

from dataclasses import dataclass

from gateway_tuning.evaluation.judging.measures import CHANCE
from gateway_tuning.evaluation.result import JudgeSummary


@dataclass(frozen=True, slots=True)
class Trust:
    may_be_trusted: bool
    reason: str


def trust(summary: JudgeSummary | None) -> Trust:
    """Only a judge that agrees with people more often than chance would, beyond its interval."""
    if summary is None:
        return Trust(may_be_trusted=False, reason="No judge was asked")
    name = f"The judge {summary.model}"
    if not summary.labels or summary.agreement is None:
        return Trust(
            may_be_trusted=False,
            reason=f"{name} was not held against people: the test split has no preference that a person stated and "
            "the judge could be asked about",
        )
    shared = f"{name} shares {_percent(summary.agreement)} of {summary.labels} preferences of people"
    if summary.agreement_low is None or summary.agreement_high is None:
        return Trust(may_be_trusted=False, reason=f"{shared}, all of one group, which gives no interval")
    interval = f"{_percent(summary.agreement_low)} to {_percent(summary.agreement_high)}"
    if summary.agreement_low > CHANCE:
        return Trust(may_be_trusted=True, reason=f"{shared} ({interval}), more than chance")
    return Trust(may_be_trusted=False, reason=f"{shared} ({interval}), which may be chance")


def _percent(value: float) -> str:
    return f"{100 * value:.0f} %"
