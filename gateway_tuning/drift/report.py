"""The drift check for people: Markdown of our own check, and evidently's page beside it."""

import os
import warnings

from gateway_tuning.drift.check import DriftReport, Window
from gateway_tuning.errors import missing_extra

_STATES = {
    "drift": "The data has drifted.",
    "no_drift": "No drift.",
    "inconclusive": "Too little data to tell.",
    "error": "The check failed.",
    "not_applicable": "Nothing to compare with.",
}


def render_markdown(report: DriftReport) -> str:
    lines = [
        f"## Drift: {report.current} against {report.reference or 'no reference'}",
        "",
        f"**{_STATES[report.state]}**",
        "",
    ]
    lines += [f"- {reason}" for reason in report.reasons]
    if report.metrics:
        lines += ["", "| feature | PSI | by chance | p | drifted |", "|---|---:|---:|---:|---|"]
        lines += [
            f"| {metric.name.replace('_', ' ')} | {metric.psi:.3f} | {metric.psi_expected:.3f} | {metric.p_value:.2g} "
            f"| {'yes' if metric.drifted else 'no'} |"
            for metric in report.metrics
        ]
        first = report.metrics[0]
        rows = f"{first.n_reference} and {first.n_current} rows"
        lines += [
            "",
            f"{rows}. Drift is significant and has a PSI of {first.threshold:g} or more beyond chance.",
        ]
    if report.data_quality:
        lines += ["", "Data quality:", ""]
        lines += [f"- {issue.severity}: {issue.description}" for issue in report.data_quality]
    return "\n".join(lines) + "\n"


def evidently_html(reference: Window, current: Window) -> str:
    """Evidently's drift preset on lengths and feedback types, as a page; its verdicts decide nothing here.

    Text columns are left out: they take many seconds, and rows of one user would look like drift.

    Raises:
        MissingExtraError: evidently is not installed.
        ValueError: a window has no rows.
    """
    for window in (reference, current):
        if not window.prompts:
            raise ValueError(f"{window.label} has no rows; evidently cannot report on it")
    os.environ.setdefault("DO_NOT_TRACK", "1")  # read by evidently when it is imported
    try:
        from evidently import DataDefinition, Dataset, Report
        from evidently.presets import DataDriftPreset
    except ImportError:
        raise missing_extra("evidently", "reports") from None
    import pandas as pd

    definition = DataDefinition(
        numerical_columns=["prompt_length", "answer_length"], categorical_columns=["feedback_type"]
    )

    def dataset(window: Window) -> Dataset:
        frame = pd.DataFrame(
            {
                "prompt_length": [len(prompt) for prompt in window.prompts],
                "answer_length": [len(answer) for answer in window.answers],
                "feedback_type": list(window.feedback_types),
            }
        )
        return Dataset.from_pandas(frame, data_definition=definition)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of numpy, on constant columns and single rows
        snapshot = Report([DataDriftPreset()]).run(dataset(current), dataset(reference))
        page: str = snapshot.get_html_str(as_iframe=False)
    return page
