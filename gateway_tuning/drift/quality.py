"""What is questionable about a window's data, whether or not it has drifted. Pure."""

from collections import Counter
from collections.abc import Iterator, Sequence

from gateway_tuning.datasets.quality.markers import damage
from gateway_tuning.drift.result import QualityIssue
from gateway_tuning.drift.window import Window

_FEW_SAMPLES, _SHORT_PROMPT, _LONG_PROMPT = 100, 10, 1_000  # rows; characters on average
_EMPTY_ANSWERS, _DUPLICATES, _UNKNOWN_LANGUAGE, _DAMAGED = (
    0.01,
    0.2,
    0.2,
    0.005,
)  # shares of rows from which they count
_DOMINATING = 0.2  # of the rows
_TYPE_EXPECTED = 20  # rows of a type that the reference has, if the share were the same
_READ = 2_000  # characters of a text in which damage is looked for


def questionable(
    reference: Window | None, current: Window, languages: Sequence[str | None] | None
) -> tuple[QualityIssue, ...]:
    """Issues of the current window. `languages` are those of its rows, or of a sample of them, None where unknown."""
    return (
        *_counts(current),
        *_prompts(current),
        *_answers(current),
        *_languages(current, languages),
        *_types(reference, current),
    )


def _counts(window: Window) -> Iterator[QualityIssue]:
    if window.rows < _FEW_SAMPLES:
        yield QualityIssue("low_sample_count", "warning", f"{window.label} has only {window.rows} rows")
    if window.groups is not None and window.rows:
        [(_, largest)] = Counter(window.groups).most_common(1)
        if largest > 1 and largest / window.rows >= _DOMINATING:
            told = f"One user or conversation has {largest / window.rows:.0%} of the rows of {window.label}"
            yield QualityIssue("dominating_group", "warning", told)


def _prompts(window: Window) -> Iterator[QualityIssue]:
    if not window.prompts:
        return
    rows = len(window.prompts)
    average = sum(map(len, window.prompts)) / rows
    told = f"Prompts of {window.label} have {average:.1f} characters on average"
    if average < _SHORT_PROMPT:
        yield QualityIssue("short_prompts", "warning", told)
    if average > _LONG_PROMPT:
        yield QualityIssue("long_prompts", "info", told)
    answers = window.answers if window.answers is not None else [""] * rows
    repeated = 1 - len(set(zip(window.prompts, answers, strict=True))) / rows
    if repeated >= _DUPLICATES:
        told = f"{repeated:.0%} of the rows of {window.label} repeat an earlier prompt and answer"
        yield QualityIssue("duplicates", "warning", told)
    damaged = sum(damage(text[:_READ]) > 0 for text in window.prompts) / rows
    if damaged >= _DAMAGED:
        told = (
            f"{damaged:.1%} of the prompts of {window.label} were decoded wrongly or hold control characters"
        )
        yield QualityIssue("damaged_texts", "warning", told)


def _answers(window: Window) -> Iterator[QualityIssue]:
    if not window.answers:
        return
    empty = sum(not answer.strip() for answer in window.answers) / len(window.answers)
    if empty >= _EMPTY_ANSWERS:
        told = f"{empty:.1%} of the answers of {window.label} are empty"
        yield QualityIssue("empty_answers", "warning", told)


def _languages(window: Window, languages: Sequence[str | None] | None) -> Iterator[QualityIssue]:
    if not languages:
        return
    unknown = sum(language is None for language in languages) / len(languages)
    if unknown >= _UNKNOWN_LANGUAGE:
        told = f"The language of {unknown:.0%} of the prompts of {window.label} cannot be told"
        yield QualityIssue("unknown_language", "info", told)


def _types(reference: Window | None, current: Window) -> Iterator[QualityIssue]:
    if reference is None or not reference.feedback_types or not current.feedback_types:
        return
    present = set(current.feedback_types)
    scale = len(current.feedback_types) / len(reference.feedback_types)
    counted = Counter(reference.feedback_types)
    missing = sorted(
        kind for kind, count in counted.items() if kind not in present and count * scale >= _TYPE_EXPECTED
    )
    if missing:
        told = f"{current.label} has no feedback of {', '.join(missing)}, which {reference.label} has"
        yield QualityIssue("missing_feedback_types", "warning", told)
