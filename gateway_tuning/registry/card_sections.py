"""What stands on the card of a model version, in order: sentences, facts, tables and plots."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from markupsafe import Markup

from gateway_tuning.datasets.lineage import State
from gateway_tuning.evaluation.result import SystemSummary, read_result
from gateway_tuning.evaluation.scored import Role
from gateway_tuning.evaluation.statistics import Difference
from gateway_tuning.registry.card import ModelCard
from gateway_tuning.registry.curves import curves
from gateway_tuning.training.jobs import TuningJob

_UNKNOWN = "unknown"
_LOSSES = 40  # rows of a table of losses; the plot shows all


@dataclass(frozen=True, slots=True)
class Table:
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Section:
    title: str
    sentences: tuple[str, ...] = ()
    facts: tuple[tuple[str, str], ...] = ()
    plot: Markup = field(default_factory=Markup)
    tables: tuple[Table, ...] = ()


def lead(card: ModelCard) -> str:
    version = card.version
    named = f", {version.model}'s {' and '.join(card.aliases)}" if card.aliases else ""
    if version.job_key is None:
        return f"{version.base_model} as it is, not trained here. It is {version.status}{named}."
    return (
        f"{version.base_model}, tuned by {version.provider} on {version.dataset_id or 'an unknown dataset'}. "
        f"It is {version.status}{named}."
    )


def warning(card: ModelCard) -> str | None:
    """What must be read first."""
    since = card.version.holds_erased_since
    if since is None:
        return None
    return (
        f"A person was erased on {_day(since)} on whose feedback this version was trained. "
        "It may be the candidate of nothing any more: train a new version."
    )


def sections(card: ModelCard) -> list[Section]:
    made = [_what(card), _data(card), _training(card), _evaluation(card), _trials(card), _lineage(card)]
    return [*made, _cost(card), _files(card), _limitations(card), _history(card)]


def _what(card: ModelCard) -> Section:
    version = card.version
    facts = (
        ("Model", version.model),
        ("Tenant", version.tenant),
        ("Status", f"{version.status}, revision {version.revision}"),
        ("Aliases", ", ".join(card.aliases) or "none"),
        ("Base model", version.base_model),
        ("Provider", version.provider),
        ("Served as", version.served_model or ("its files" if version.files else version.base_model)),
        ("Created", f"{version.created_at:%Y-%m-%d %H:%M} UTC"),
        ("Code", _UNKNOWN if version.code is None else str(version.code)),
        ("Licence of the base model", "unknown here; whoever published it says"),
    )
    return Section("Model", facts=facts)


def _data(card: ModelCard) -> Section:
    dataset = card.lineage.dataset
    if dataset is None:
        nothing = "It was not trained here, so no feedback is known to be in it."
        lost = "Which dataset it was trained on is unknown."
        return Section("Data", (nothing if card.version.job_key is None else lost,))
    facts = [
        ("Dataset", dataset.dataset_id),
        ("State", dataset.state.value if dataset.told is None else f"{dataset.state.value}: {dataset.told}"),
        ("Feedback records used", _count(dataset.used)),
        ("Users behind them", _count(dataset.subjects)),
        ("Licence", "unknown: whether the texts may be passed on is for the terms of those who wrote them"),
    ]
    if dataset.state is not State.LIVING or card.manifest is None:
        return Section("Data", ("What was in it can no longer be told.",), tuple(facts))
    facts.append(("Anonymizer", card.manifest.anonymizer))
    rows = [
        (split, kind, f"{count:,}")
        for split, kinds in card.manifest.counts.examples.items()
        for kind, count in kinds.items()
        if count
    ]
    told = f"Its own card: gateway-tuning datasets card {dataset.dataset_id}."
    table = Table(("split", "kind", "examples"), tuple(rows))
    return Section("Data", (told,), tuple(facts), tables=(table,))


def _training(card: ModelCard) -> Section:
    version, job = card.version, card.job
    if version.job_key is None:
        return Section("Training", ("None here.",))
    facts = [("Job", version.job_key)]
    if job is None:
        sentences: tuple[str, ...] = ("The store knows its job no more.",)
    else:
        sentences = () if not job.message else (f"The provider's last word: {job.message}",)
        facts += [("Method", job.spec.method), ("Seed", str(job.spec.seed)), ("Took", _took(job))]
    settings = [(name, json.dumps(value)) for name, value in sorted(version.hyperparameters.items())]
    figures = [(name.replace("_", " "), _figure(value)) for name, value in sorted(version.metrics.items())]
    tables = [Table(("hyperparameter", "value"), tuple(settings))] if settings else []
    tables += [Table(("figure", "value"), tuple(figures))] if figures else []
    if not settings:
        sentences += ("No hyperparameter was chosen: the provider's defaults.",)
    losses = _losses(job)
    if not losses:
        sentences += ("How its loss went was not kept.",)
    names = sorted({name for _, found in losses for name in found})
    series = {name.replace("_", " "): [(step, m[name]) for step, m in losses if name in m] for name in names}
    if losses:
        step_rows = tuple(
            (f"{step:,}", *(_figure(found[name]) if name in found else "-" for name in names))
            for step, found in _spread(losses)
        )
        tables.append(Table(("step", *series), step_rows))
    return Section("Training", sentences, tuple(facts), curves("Loss by step", series), tuple(tables))


def _evaluation(card: ModelCard) -> Section:
    if not card.evaluations:
        return Section("Evaluation", ("It was not evaluated: nothing is known of how well it answers.",))
    rows = []
    for one in card.evaluations:
        result = read_result(one.result)
        ours, theirs = result.system(Role.CANDIDATE), result.system(Role.STABLE)
        metric, compared = result.cards.get(result.primary), result.comparison(result.primary)
        rows.append((
            one.id, result.state, one.baseline, one.dataset_id, _count(ours.asked if ours else None),
            metric.label if metric else result.primary, _mean(ours, result.primary), _mean(theirs, result.primary),
            _interval(compared.difference) if compared else _UNKNOWN,
        ))  # fmt: skip
    columns = (
        *("evaluation", "state", "against", "dataset", "examples"),
        *("metric that decides", "candidate", "other", "difference"),
    )
    told = "On held-out feedback; the difference is candidate minus the other version, with its interval."
    return Section("Evaluation", (told,), tables=(Table(columns, tuple(rows)),))


def _trials(card: ModelCard) -> Section:
    if not card.trials:
        return Section("Trials with users", ("None.",))
    rows = tuple(
        (one.canary_id, one.state, one.control, _day(one.started_at), "; ".join(one.reasons) or "-")
        for one in card.trials
    )
    return Section(
        "Trials with users", tables=(Table(("canary", "state", "against", "began", "reasons"), rows),)
    )


def _lineage(card: ModelCard) -> Section:
    dataset = card.lineage.dataset
    facts = [("Trained from", ", ".join(card.version.parents) or card.version.base_model)]
    if dataset is not None:
        others = [one.version_id for one in dataset.models if one.version_id != card.version.id]
        facts += [
            ("Dataset", dataset.dataset_id),
            ("It replaces", ", ".join(dataset.predecessors) or "none"),
            ("Other versions trained on it", ", ".join(others) or "none"),
        ]
    told = f"Down to the feedback: gateway-tuning datasets lineage --model {card.version.id}."
    return Section("Lineage", (told,), tuple(facts))


def _cost(card: ModelCard) -> Section:
    if card.version.job_key is None:
        return Section("Cost of training", ("None: it was not trained here.",))
    cost = card.cost
    if cost is None:
        return Section("Cost of training", ("Unknown: nothing was recorded.",))
    amount = _UNKNOWN if cost.amount is None else f"{cost.amount} {cost.currency}"
    facts = [("Paid", amount), ("Estimated", _UNKNOWN if cost.expected is None else str(cost.expected))]
    facts += [(name.replace("_", " ").capitalize(), _figure(value)) for name, value in cost.usage.items()]
    return Section("Cost of training", (cost.note,) if cost.note else (), tuple(facts))


def _files(card: ModelCard) -> Section:
    files = card.version.files
    if not files:
        return Section("Files", ("None: it is served by its provider.",))
    rows = tuple((name, f"{file.bytes:,}", file.sha256, file.key) for name, file in sorted(files.items()))
    return Section("Files", tables=(Table(("file", "bytes", "SHA-256", "object"), rows),))


def _limitations(card: ModelCard) -> Section:
    """True of every version that is made here, and of this one."""
    told = [
        "It was made for the users of one application behind a gateway; elsewhere nothing is known of it.",
        "Harm, bias and resistance to attacks were not measured here.",
    ]
    if card.version.job_key is not None:
        told.append(
            "It learned from what users said, with personal data replaced by software, which finds most and not "
            "all: it may repeat texts that it was trained on."
        )
    if not card.evaluations:
        told.append("No evaluation compares it with another version.")
    elif all(one.result["state"] != "scored" for one in card.evaluations):
        told.append("None of its evaluations is valid.")
    if card.version.code is None:
        told.append("Which code trained it is unknown, so its training may not be repeatable.")
    return Section("Limitations", tuple(told))


def _history(card: ModelCard) -> Section:
    statuses = tuple(
        (_minute(one.at), one.before or "-", one.status.value, one.by or _UNKNOWN, one.reason)
        for one in card.statuses
    )
    moves = tuple((_minute(one.at), one.alias, one.by or _UNKNOWN, one.reason) for one in card.moves)
    tables = [Table(("at", "from", "to", "by", "reason"), statuses)]
    if moves:
        tables.append(Table(("at", "alias that came to it", "by", "reason"), moves))
    return Section("History", tables=tuple(tables))


def _losses(job: TuningJob | None) -> list[tuple[int, dict[str, float]]]:
    if job is None:
        return []
    found = [
        (point.step, {name: value for name, value in point.metrics.items() if "loss" in name})
        for point in job.checkpoints
    ]
    return [(step, metrics) for step, metrics in found if metrics]


def _spread(losses: Sequence[tuple[int, dict[str, float]]]) -> list[tuple[int, dict[str, float]]]:
    """At most so many, evenly over all, the last one among them."""
    if len(losses) <= _LOSSES:
        return list(losses)
    last = len(losses) - 1
    return [losses[round(number * last / (_LOSSES - 1))] for number in range(_LOSSES)]


def _took(job: TuningJob) -> str:
    if job.started_at is None or not job.status.is_terminal:
        return _UNKNOWN
    return f"{(job.updated_at - job.started_at).total_seconds() / 60:,.1f} minutes, as seen from here"


def _mean(system: SystemSummary | None, metric: str) -> str:
    return _UNKNOWN if system is None else _figure(system.means.get(metric))


def _interval(difference: Difference) -> str:
    if difference.mean is None:
        return _UNKNOWN
    if difference.low is None or difference.high is None:
        return f"{difference.mean:+.3f} (interval unknown)"
    return f"{difference.mean:+.3f} ({difference.low:+.3f} to {difference.high:+.3f})"


def _figure(value: float | None) -> str:
    if value is None:
        return _UNKNOWN
    if not math.isfinite(value):
        return "not a number"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"  # noqa: PLR2004 - where digits need grouping


def _count(value: int | None) -> str:
    return _UNKNOWN if value is None else f"{value:,}"


def _day(at: datetime) -> str:
    return f"{at:%Y-%m-%d}"


def _minute(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M}"
