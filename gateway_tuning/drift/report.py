"""The drift check for people: Markdown of our own check, and evidently's page beside it."""

import os
import warnings
from typing import Any

from gateway_tuning.drift.result import Classifier, DriftReport
from gateway_tuning.drift.window import Window
from gateway_tuning.errors import missing_extra

STATES = {
    "drift": "The data has drifted.",
    "no_drift": "No drift.",
    "inconclusive": "Cannot be told.",
    "error": "The check failed.",
    "not_applicable": "Nothing to compare with.",
}


def render_markdown(report: DriftReport) -> str:
    lines = [
        f"## Drift: {report.current} against {report.reference or 'no reference'}",
        "",
        f"**{STATES[report.state]}**",
        "",
    ]
    lines += [f"- {reason}" for reason in report.reasons]
    if report.metrics:
        lines += ["", "| feature | PSI | by chance | p | rows | drifted |", "|---|---:|---:|---:|---:|---|"]
        lines += [
            f"| {metric.name.replace('_', ' ')} | {metric.psi:.3f} | {metric.psi_expected:.3f} | {metric.p_value:.2g} "
            f"| {metric.n_reference} and {metric.n_current} | {'yes' if metric.drifted else 'no'} |"
            for metric in report.metrics
        ]
        threshold = report.metrics[0].threshold
        lines += ["", f"Drift is significant and has a PSI of {threshold:g} or more beyond chance."]
    if report.classifier is not None:
        lines += ["", *_classifier(report.classifier)]
    if report.topics:
        lines += ["", "| topic | reference | current |", "|---|---:|---:|"]
        lines += [
            f"| {topic.label} | {topic.reference:.1%} | {topic.current:.1%} |"
            for topic in sorted(report.topics, key=lambda topic: topic.reference - topic.current)
        ]
    if report.unmeasured:
        lines += ["", "Not measured:", ""]
        lines += [f"- {one.name.replace('_', ' ')}: {one.reason}" for one in report.unmeasured]
    if report.spends and report.alpha is not None and report.check_number is not None:
        lines += [
            "",
            f"Check number {report.check_number} against this reference, at alpha {report.alpha:.2g}.",
        ]
    if report.data_quality:
        lines += ["", "Data quality:", ""]
        lines += [f"- {issue.severity}: {issue.description}" for issue in report.data_quality]
    return "\n".join(lines) + "\n"


def _classifier(found: Classifier) -> list[str]:
    verdict = "drifted" if found.drifted else "no drift"
    told = (
        f"Prompts as a whole: {verdict}. Told apart with AUC {found.auc:.2f} for users not seen before; about "
        f"{found.share:.0%} of the rows are of another kind (p = {found.p_value:.2g})."
    )
    lines = [told]
    if found.words_current:
        lines.append(f"More users say now: {', '.join(found.words_current)}.")
    if found.words_reference:
        lines.append(f"Fewer users say now: {', '.join(found.words_reference)}.")
    return lines


def evidently_html(reference: Window, current: Window) -> str:
    """Evidently's drift preset on lengths, feedback types and further columns, as a page; its verdicts decide nothing here.

    Text columns are left out: they take many seconds, and rows of one user would look like drift.

    Raises:
        MissingExtraError: evidently is not installed.
        ValueError: a window has no rows.
    """
    for window in (reference, current):
        if not window.rows:
            raise ValueError(f"{window.label} has no rows; evidently cannot report on it")
    os.environ.setdefault("DO_NOT_TRACK", "1")  # read by evidently when it is imported
    try:
        from evidently import DataDefinition, Dataset, Report
        from evidently.presets import DataDriftPreset
    except ImportError:
        raise missing_extra("evidently", "reports") from None
    import pandas as pd

    columns = [_columns(window) for window in (reference, current)]
    definition = DataDefinition(
        numerical_columns=list(columns[0][0]), categorical_columns=list(columns[0][1])
    )
    before, after = (
        Dataset.from_pandas(pd.DataFrame(numbers | categories), data_definition=definition)
        for numbers, categories in columns
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of numpy, on constant columns and single rows
        snapshot = Report([DataDriftPreset()]).run(after, before)
        page: str = snapshot.get_html_str(as_iframe=False)
    return page


def _columns(window: Window) -> tuple[dict[str, list[Any]], dict[str, list[Any]]]:
    """Numbers and categories by name."""
    texts = {"prompt_length": window.prompts, "answer_length": window.answers}
    numbers = {name: [len(text) for text in column] for name, column in texts.items() if column is not None}
    categories = {} if window.feedback_types is None else {"feedback_type": list(window.feedback_types)}
    return (
        numbers | {name: list(column) for name, column in window.numbers.items()},
        categories | {name: list(column) for name, column in window.categories.items()},
    )
