"""The summary of a cycle as one HTML page that needs nothing else."""

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from gateway_tuning.datasets.example import ExampleKind
from gateway_tuning.evaluation.report import TEMPLATES as EVALUATION_TEMPLATES
from gateway_tuning.evaluation.report import figure, interval_svg, percent, report_css
from gateway_tuning.evaluation.statistics import Difference

_VERDICTS = {
    "promoted": ("Promoted: the candidate is now the stable version.", "good"),
    "rolled_back": ("Rolled back: the stable version stays.", "bad"),
    "rejected": ("Not promoted: the gate or the approver said no.", "bad"),
    "inconclusive": ("Undecided: the canary ended without enough evidence; the stable version stays.", ""),
    "unchanged": ("Nothing to try: equal data and training gave the version that is stable already.", ""),
    "too_few_examples": ("Not trained: the dataset is too small.", ""),
    "abandoned": ("Abandoned by hand.", ""),
    None: ("Still under way.", ""),
}


def verdict(summary: dict[str, Any]) -> str:
    """The cycle's end in one sentence."""
    return _VERDICTS[summary["outcome"]][0]


def render_html(summary: dict[str, Any], *, title: str, samples: dict[str, Any] | None = None) -> str:
    """`samples` has the lists `worst` and `most_changed` of an evaluation result."""
    environment = Environment(
        loader=FileSystemLoader([Path(__file__).parent / "templates", EVALUATION_TEMPLATES]),
        autoescape=True,
        undefined=StrictUndefined,
    )
    evaluation = summary["evaluation"]
    difference = Difference(**evaluation["difference"]) if evaluation else None
    sentence, tone = _VERDICTS[summary["outcome"]]
    return environment.get_template("cycle.html.j2").render(
        s=summary,
        title=title,
        verdict=sentence,
        tone=tone,
        css=report_css(),
        plot=interval_svg([("Similarity", difference)]) if difference else "",
        kinds=[kind.value for kind in ExampleKind],
        samples=samples,
        figure=figure,
        short=_short,
        percent=percent,
    )


def _short(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.4g}"
