"""A model's card for people: a page that needs nothing else, and Markdown."""

from collections.abc import Iterable
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from gateway_tuning.datasets.describing.markdown import cell, pairs
from gateway_tuning.datasets.describing.page import TEMPLATES as DATASET_TEMPLATES
from gateway_tuning.evaluation.reporting.style import report_css
from gateway_tuning.registry.card import ModelCard
from gateway_tuning.registry.card_sections import Table, lead, sections, warning

TEMPLATES = Path(__file__).parent / "templates"


def render_html(card: ModelCard) -> str:
    """One HTML page without scripts and without anything to load."""
    return (
        _environment()
        .get_template("model_card.html.j2")
        .render(
            css=_css(),
            title=f"Model version {card.version.id}",
            lead=lead(card),
            warning=warning(card),
            sections=sections(card),
        )
    )


def render_markdown(card: ModelCard) -> str:
    first = warning(card)
    lines = [f"# Model version `{card.version.id}`", "", cell(lead(card))]
    lines += ["", f"**{first}**"] if first else []
    for section in sections(card):
        lines += ["", f"## {section.title}"]
        for sentence in section.sentences:
            lines += ["", cell(sentence)]
        lines += ["", *pairs(section.facts)] if section.facts else []
        for table in section.tables:
            lines += ["", *_table(table)]
    return "\n".join(lines) + "\n"


def _table(table: Table) -> Iterable[str]:
    yield f"| {' | '.join(table.columns)} |"
    yield f"|{'---|' * len(table.columns)}"
    for row in table.rows:
        yield f"| {' | '.join(map(cell, row))} |"


@cache
def _css() -> Markup:
    """The reports' style, the dataset card's, and what curves need."""
    sheets = [
        (DATASET_TEMPLATES / "card.css").read_text(encoding="utf-8"),
        (TEMPLATES / "model_card.css").read_text(encoding="utf-8"),
    ]
    return report_css() + Markup("".join(sheets))  # noqa: S704 - files of ours


@cache
def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
