"""What another tool tells of an answer, as the fields of a record that hold an opinion.

Where a tool has no table of feedback, an application keeps it in the request's free metadata: `feedback` is
`thumbs_up`, `thumbs_down`, true, false, a number or a label with a scale named `feedback`, or an object with it as
`value`; beside it, or in the object, stand `feedback_comment`, `feedback_correction`, `feedback_at` (or `comment`,
`correction`, `at`).
"""

from typing import Any

from gateway_tuning.feedback.expressions import as_text, shown
from gateway_tuning.feedback.importers.cells import number, parsed, told_time
from gateway_tuning.feedback.importers.protocol import UnfitError
from gateway_tuning.feedback.importers.scales import Scale, Scales
from gateway_tuning.feedback.record import FeedbackType

TRUE_IS_GOOD = Scale(worst=0, best=1)
NAME = "feedback"
WORDS = {"thumbs_up": 1.0, "thumbs_down": -1.0}
PARTS = ("comment", "correction", "at")


def satisfaction(name: str, value: bool | float | str, scale: Scale | None) -> float:
    """-1 (bad) to 1 (good).

    Raises:
        UnfitError: nobody said what the value means, or it lies outside its scale.
    """
    if isinstance(value, str):
        if scale is None or value not in scale.categories:
            raise UnfitError(
                f"Score category has no known meaning: {shown(value)} of {shown(name)}; "
                "say what it means under categories in the scales file"
            )
        return scale.categories[value]
    if scale is None or scale.worst is None or scale.best is None:
        raise UnfitError(
            f"Score has no known scale: {as_text(value)} of {shown(name)}; "
            "give its worst and best in the scales file"
        )
    low, high = sorted((scale.worst, scale.best))
    if not low <= value <= high:
        told = f"{as_text(value)} of {shown(name)}, which goes from {as_text(low)} to {as_text(high)}"
        raise UnfitError(f"Score lies outside its scale: {told}")
    return -1 + 2 * (value - scale.worst) / (scale.best - scale.worst)


def opinion(score: float, *, automatic: bool, comment: str | None) -> dict[str, Any]:
    """Raises UnfitError for a person's score in the middle that no comment explains: it is neither thumb."""
    if automatic:
        kind = FeedbackType.AUTOMATIC_EVALUATION
    elif score:
        kind = FeedbackType.THUMBS_UP if score > 0 else FeedbackType.THUMBS_DOWN
    elif comment and comment.strip():
        kind = FeedbackType.TEXT
    else:
        raise UnfitError(
            "Score is neither good nor bad: it lies in the middle of its scale, without a comment"
        )
    return {"type": kind.value, "satisfaction_score": score, "comment": comment}


def says_something(metadata: dict[str, Any]) -> bool:
    return any(
        metadata.get(key) not in (None, "", {}) for key in (NAME, "feedback_comment", "feedback_correction")
    )


def stated_fields(metadata: dict[str, Any], scales: Scales) -> dict[str, Any]:
    """Type, score, comment, correction, and the time if it was kept. Raises UnfitError as `opinion` does."""
    stated = parsed(metadata.get(NAME))
    inner = stated if isinstance(stated, dict) else {"value": stated}
    comment, correction, at = (inner.get(part) or metadata.get(f"feedback_{part}") or None for part in PARTS)
    time = told_time(at)
    when = {} if time is None else {"timestamp": time}
    value = inner.get("value")
    score = None if value in (None, "") else _score(value, scales)
    if correction is not None:
        kind = {"type": FeedbackType.CORRECTION.value, "corrected_response": correction}
        return {**kind, "satisfaction_score": score, "comment": comment, **when}
    if score is None:
        return {"type": FeedbackType.TEXT.value, "comment": comment, **when}
    return {**opinion(score, automatic=False, comment=comment), **when}


def _score(value: Any, scales: Scales) -> float:
    scale = scales.of(NAME)
    if isinstance(value, str) and value in WORDS and (scale is None or value not in scale.categories):
        return WORDS[value]
    if isinstance(value, bool) or value in ("true", "false"):
        return satisfaction(
            NAME, value in (True, "true"), scale if scale and scale.worst is not None else TRUE_IS_GOOD
        )
    figure = number(value)
    return satisfaction(NAME, str(value) if figure is None else figure, scale)
