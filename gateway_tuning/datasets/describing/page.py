"""A card for people: a page that needs nothing else, and Markdown."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from gateway_tuning.datasets.card import SAMPLE_CHARACTERS, Card, Sample
from gateway_tuning.datasets.describing.charts import bars, histogram
from gateway_tuning.datasets.describing.lengths import Lengths
from gateway_tuning.datasets.describing.markdown import cell, pairs
from gateway_tuning.datasets.describing.settings import flat, shown
from gateway_tuning.datasets.lineage import DatasetLineage
from gateway_tuning.datasets.manifest import Leakage
from gateway_tuning.evaluation.reporting.style import report_css

TEMPLATES = Path(__file__).parents[1] / "templates"
_UNKNOWN = "unknown"
USE = (
    "Made for tuning and testing models behind the gateway of tenant {tenant}. The texts are what users and models wrote, "
    "with personal data replaced by software ({anonymizer}), which finds most of it and not all: treat them as "
    "confidential. This card grants no licence. Whether the texts may be passed on is for the terms under which users "
    "gave their feedback, and for those of the models that answered."
)


@dataclass(frozen=True, slots=True)
class Figures:
    """A table with its plot; `plot` is empty where a table says enough. `empty` is said instead of no rows."""

    title: str
    columns: tuple[str, str]
    rows: tuple[tuple[str, int], ...]
    plot: Markup
    note: str = ""
    empty: str = "None."


def render_html(card: Card) -> str:
    """One HTML page without scripts and without anything to load."""
    css = report_css() + Markup((TEMPLATES / "card.css").read_text(encoding="utf-8"))  # noqa: S704 - a file of ours
    return (
        _environment()
        .get_template("card.html.j2")
        .render(
            card=card,
            css=css,
            title=f"Dataset {card.manifest.dataset_id}",
            lead=_lead(card),
            use=_use(card),
            facts=_facts(card),
            sections=_sections(card),
            leakage=leakage_told(card.manifest.leakage, card.manifest.counts.shared_groups),
            lineage=_lineage(card.lineage),
            recipe=_recipe(card),
            sample_characters=SAMPLE_CHARACTERS,
            label=_label,
        )
    )


def render_markdown(card: Card) -> str:
    lines = [f"# Dataset `{card.manifest.dataset_id}`", "", _lead(card), "", *pairs(_facts(card))]
    lines += ["", "## Use", "", _use(card)]
    for heading, figures in _sections(card):
        lines += ["", f"## {heading}"]
        for one in figures:
            lines += ["", f"### {one.title}", *(("", one.note) if one.note else ())]
            lines += ["", *(_table(one.columns, one.rows) if one.rows else (one.empty,))]
    lines += ["", "## Leakage", "", *leakage_told(card.manifest.leakage, card.manifest.counts.shared_groups)]
    lines += ["", "## Lineage", "", *pairs(_lineage(card.lineage))]
    lines += ["", "## Samples", "", "Of the train split, anonymized and cut."]
    for sample in card.samples:
        # Indented text is shown as it is: nothing in it becomes Markdown or HTML.
        lines += ["", f"**{_label(sample)}**", ""]
        lines += [f"    {name}: {text}" for name, text in _texts(sample)]
    lines += ["", "## Recipe", "", *_table(("setting", "value"), _recipe(card))]
    return "\n".join(lines) + "\n"


def _lead(card: Card) -> str:
    counts = card.manifest.counts
    return (
        f"{card.examples:,} examples on {card.prompts:,} different prompts, made of {counts.used:,} of "
        f"{counts.records:,} feedback records, in {counts.groups:,} groups."
    )


def _use(card: Card) -> str:
    return USE.format(tenant=card.manifest.tenant, anonymizer=card.manifest.anonymizer)


def _facts(card: Card) -> list[tuple[str, str]]:
    manifest = card.manifest
    agreement = manifest.counts.agreement
    alpha = None if agreement is None else agreement.alpha
    facts = [
        ("Tenant", manifest.tenant),
        ("Recipe", f"version {manifest.recipe.version}, SHA-256 {card.recipe_sha256}"),
        ("Schema", f"version {manifest.schema_version} of examples, {manifest.layout_version} of the layout"),
        ("Anonymizer", manifest.anonymizer),
        ("Newest feedback of examples", f"{_day(card.oldest)} to {_day(card.newest)}"),
        ("Undeclared reformulations found", f"{manifest.counts.mined:,}"),
        ("Raters' agreement (Krippendorff's alpha)", _UNKNOWN if alpha is None else f"{alpha:.2f}"),
        ("Size", f"{sum(part.bytes for part in manifest.parts):,} bytes in {len(manifest.parts)} parts"),
    ]
    return facts if manifest.replaces is None else [*facts, ("Replaces", manifest.replaces)]


def _sections(card: Card) -> list[tuple[str, list[Figures]]]:
    counts = card.manifest.counts
    by_kind = [
        (f"{split}, {kind}", count)
        for split, kinds in counts.examples.items()
        for kind, count in kinds.items()
        if count
    ]
    sampled = sum(count for _, count in card.languages)
    words = [(topic.word, topic.prompts) for topic in card.words]
    return [
        (
            "Examples",
            [
                _figures("By split and kind", ("split and kind", "examples"), by_kind),
                _figures("By type of feedback", ("type", "examples"), card.feedback_types, "An example of several types counts in each."),
                _figures("By shape", ("shape", "examples"), card.shapes),
            ],
        ),
        ("Lengths", [_length_figures(name, found) for name, found in card.lengths]),
        (
            "Languages and topics",
            [
                _figures("Languages", ("language", "prompts"), card.languages, f"Of {sampled:,} sampled prompts. Short texts and poor guesses are not told."),
                _figures("Topics", ("topic", "prompts"), card.topics, f"Of {sampled:,} sampled prompts, named by their heaviest words.", "Too few words are shared."),
                _figures("Telling words", ("word", "prompts"), words, "The words of prompts that weigh most by tf-idf, in that order.", "No word stands in enough prompts."),
            ],
        ),
        (
            "What was left out",
            [
                _figures("Records left out", ("reason", "records"), _spoken(counts.left_out)),
                _figures("Examples rejected", ("reason", "examples"), _spoken(counts.rejected)),
                _figures("Personal data replaced", ("entity", "times"), list(counts.entities.items())),
            ],
        ),
    ]  # fmt: skip


def _figures(
    title: str,
    columns: tuple[str, str],
    rows: Iterable[tuple[str, int]],
    note: str = "",
    empty: str = "None.",
) -> Figures:
    listed = tuple(rows)
    return Figures(title, columns, listed, bars(title, listed) if listed else Markup(), note, empty)


def _length_figures(name: str, found: Lengths) -> Figures:
    title, unit = f"{name[0].upper()}{name[1:]}", name.rpartition(" ")[2]
    rows = tuple((one.label, one.count) for one in found.bins)
    note = f"Mean {found.mean:,.1f}, median {found.median:,}, 95th percentile {found.p95:,}, longest {found.longest:,}."
    return Figures(title, (unit, "texts"), rows, histogram(title, rows), note)


def _spoken(counts: dict[str, int]) -> list[tuple[str, int]]:
    return sorted(
        ((name.replace("_", " "), count) for name, count in counts.items()), key=lambda row: -row[1]
    )


def leakage_told(leakage: Leakage | None, shared_groups: int) -> list[str]:
    """Sentences."""
    groups = f"{shared_groups} groups stand in more than one split."
    if leakage is None:
        return [groups, "How alike prompts of test and train are was not measured."]
    if leakage.highest_similarity is None:
        return [groups, f"No test prompt is like one of train: none has a similarity above {leakage.floor}."]
    where = f" (examples {leakage.test_example or 'erased'} and {leakage.train_example or 'erased'})"
    nearest = f"The test prompt most like one of train has a similarity of {leakage.highest_similarity:.3f}"
    return [groups, f"{nearest}{where}: the Jaccard index of word 3-grams."]


def _lineage(lineage: DatasetLineage | None) -> list[tuple[str, str]]:
    if lineage is None:
        return [("Lineage", "not asked for")]
    return [
        ("Feedback records used", _count(lineage.used)),
        ("Feedback records left out", _count(lineage.left_out)),
        ("Users whose feedback is used", _count(lineage.subjects)),
        ("Model versions trained on it", _names([one.version_id for one in lineage.models])),
        ("Evaluations on it", _names(lineage.evaluations)),
        ("Drift reports on it", _names(lineage.drift_reports)),
    ]


def _recipe(card: Card) -> list[tuple[str, str]]:
    settings = flat(card.manifest.recipe.model_dump(mode="json"))
    return [(name, json.dumps(shown(name, value), ensure_ascii=False)) for name, value in settings]


def _texts(sample: Sample) -> list[tuple[str, str]]:
    named = [("prompt", sample.prompt), ("answer", sample.answer)]
    return named if sample.rejected is None else [*named, ("rejected", sample.rejected)]


def _label(sample: Sample) -> str:
    if sample.desirable is None:
        return sample.kind.value
    return f"{sample.kind.value}, {'desirable' if sample.desirable else 'not desirable'}"


def _table(columns: Sequence[str], rows: Iterable[tuple[str, Any]]) -> list[str]:
    shown = [
        f"| {cell(name)} | {f'{value:,}' if isinstance(value, int) else cell(value)} |"
        for name, value in rows
    ]
    return [f"| {' | '.join(columns)} |", "|---|---:|", *shown]  # fmt: skip


def _count(value: int | None) -> str:
    return _UNKNOWN if value is None else f"{value:,}"


def _names(ids: Sequence[str]) -> str:
    return f"{len(ids)}: {', '.join(ids)}" if ids else "0"


def _day(at: Any) -> str:
    return _UNKNOWN if at is None else f"{at:%Y-%m-%d}"


@cache
def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
