"""The checks of a model over time: a plot, a table, a page of its own. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from html import escape

from gateway_tuning.drift.report import render_markdown
from gateway_tuning.drift.result import read_report
from gateway_tuning.drift.store import StoredDriftReport
from gateway_tuning.evaluation.reporting.style import report_css

_WIDTH, _HEIGHT, _LEFT, _TOP, _GAP = 720, 130, 44, 22, 44  # pixels; two panels of that height
_STYLE = """
figure { overflow-x: auto; } figure svg { width: 100%; min-width: 40rem; height: auto; }
svg text { font-size: 11px; fill: var(--soft); } .axis { stroke: var(--line); }
.bound { stroke: var(--bad); stroke-dasharray: 4 3; } .point { fill: var(--accent); } .drift { fill: var(--bad); }
.line { fill: none; stroke: var(--accent); stroke-width: 1.5; } .line.dataset { stroke-dasharray: 1 4; }
.open { fill: none; stroke: var(--soft); stroke-width: 1.5; } td:first-child { white-space: nowrap; }
"""


@dataclass(frozen=True, slots=True)
class Check:
    """`psi` is the largest beyond what chance gives, and `column` the one it is of; None where nothing was measured."""

    at: datetime
    id: str
    kind: str
    state: str
    number: int | None
    alpha: float | None
    psi: float | None
    column: str | None
    bound: float | None
    auc: float | None
    auc_bound: float | None
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Scale:
    """`bound` is the effect size that drift needs."""

    title: str
    low: float
    high: float
    bound: float | None


def checks(reports: Sequence[StoredDriftReport]) -> list[Check]:
    return [_check(report) for report in reports]


def plot(found: Sequence[Check]) -> str:
    """SVG of the PSI and of the classifier's AUC over time. An alarm is filled red, a check that decided nothing is hollow.

    A time at which nothing was measured has a mark at the foot and breaks the line.
    """
    width, height = _LEFT + _WIDTH + 12, 2 * (_TOP + _HEIGHT + _GAP)
    psi_top = max([check.psi for check in found if check.psi is not None] + [0.2]) * 1.1
    bound = next((check.bound for check in reversed(found) if check.bound is not None), None)
    auc_bound = next((check.auc_bound for check in reversed(found) if check.auc_bound is not None), None)
    psis, aucs = [check.psi for check in found], [check.auc for check in found]
    scales = (
        _Scale("largest PSI beyond chance", 0.0, psi_top, bound),
        _Scale("AUC of the domain classifier", 0.4, 1.0, auc_bound),
    )
    parts = [
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="PSI and AUC of each check over time">',
        *_panel(found, psis, scales[0], 0),
        *_panel(found, aucs, scales[1], _TOP + _HEIGHT + _GAP),
        "</svg>",
    ]
    return "".join(parts)


def history_html(model: str, reports: Sequence[StoredDriftReport]) -> str:
    """A page that needs nothing else."""
    found = checks(reports)
    alarms = sum(check.state == "drift" for check in found)
    undecided = sum(check.state in {"inconclusive", "error"} for check in found)
    rows = "".join(_row(check) for check in reversed(found))
    head = "".join(
        f'<th scope="col">{name}</th>'
        for name in ("when", "check", "state", "no.", "alpha", "PSI", "AUC", "reasons")
    )
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Drift of {escape(model)}</title><style>{report_css()}{_STYLE}</style><main>"
        f"<h1>Drift of {escape(model)}</h1>"
        f"<p>{len(found)} checks: {alarms} found drift, {undecided} could not decide.</p>"
        f"<figure>{plot(found)}</figure>"
        "<p>Red: drift. Hollow: not decided. Dotted: checks of datasets. The dashed lines are the effect sizes that drift needs besides being "
        "significant at the alpha of the check; checks against one reference share theirs.</p>"
        f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div></main></html>\n'
    )


def live_markdown(report: StoredDriftReport, reports: Sequence[StoredDriftReport], *, last: int = 14) -> str:
    """One check, and the last ones of its model."""
    lines = [
        "",
        "### Checks of the model",
        "",
        "| when | check | state | PSI | AUC |",
        "|---|---|---|---:|---:|",
    ]
    lines += [
        f"| {check.at:%Y-%m-%d %H:%M} | {check.kind} | {_spoken(check.state)} | {_figure(check.psi)} "
        f"| {_figure(check.auc)} |"
        for check in reversed(checks(reports)[-last:])
    ]
    return render_markdown(read_report(report.result)) + "\n".join(lines) + "\n"


def _check(report: StoredDriftReport) -> Check:
    result = report.result
    beyond = [(metric["psi"] - metric["psi_expected"], metric) for metric in result["metrics"]]
    psi, metric = max(beyond, key=lambda one: one[0], default=(None, None))
    classifier = result.get("classifier")
    return Check(
        at=report.created_at,
        id=report.id,
        kind=report.kind or "dataset",
        state=report.state,
        number=report.check_number,
        alpha=report.alpha,
        psi=psi,
        column=None if metric is None else metric["name"],
        bound=None if metric is None else metric["threshold"],
        auc=None if classifier is None else classifier["auc"],
        auc_bound=None if classifier is None else classifier["threshold"],
        reasons=tuple(result["reasons"]),
    )


def _panel(found: Sequence[Check], values: Sequence[float | None], scale: _Scale, offset: int) -> list[str]:
    low, high, bound = scale.low, scale.high, scale.bound
    top, foot = offset + _TOP, offset + _TOP + _HEIGHT

    def y(value: float) -> float:
        return foot - (min(max(value, low), high) - low) / (high - low) * _HEIGHT

    xs = _places(found)
    parts = [
        f'<text x="{_LEFT}" y="{top - 8}">{scale.title}</text>',
        f'<line class="axis" x1="{_LEFT}" x2="{_LEFT + _WIDTH}" y1="{foot}" y2="{foot}"/>',
        *(
            f'<text x="{_LEFT - 6}" y="{y(value) + 4:.1f}" text-anchor="end">{value:.2g}</text>'
            for value in (low, high)
        ),
    ]
    if bound is not None:
        parts.append(
            f'<line class="bound" x1="{_LEFT}" x2="{_LEFT + _WIDTH}" y1="{y(bound):.1f}" y2="{y(bound):.1f}"/>'
        )
    for kind in sorted({check.kind for check in found}):
        own = zip(xs, values, found, strict=True)
        for run in _runs([(x, value) for x, value, check in own if check.kind == kind]):
            points = " ".join(f"{x:.1f},{y(value):.1f}" for x, value in run)
            parts.append(f'<polyline class="line {kind}" points="{points}"/>')
    for x, value, check in zip(xs, values, found, strict=True):
        mark = {"drift": "drift", "no_drift": "point"}.get(check.state, "open")
        told = f"{check.at:%Y-%m-%d %H:%M} {check.kind}: {_spoken(check.state)}, {_figure(value)}"
        place = foot if value is None else y(value)
        parts.append(
            f'<circle class="{mark}" cx="{x:.1f}" cy="{place:.1f}" r="4"><title>{escape(told)}</title></circle>'
        )
    parts += [
        f'<text x="{x:.1f}" y="{foot + 16}" text-anchor="{anchor}">{check.at:%Y-%m-%d}</text>'
        for x, check, anchor in _ends(xs, found)
    ]
    return parts


def _places(found: Sequence[Check]) -> list[float]:
    if not found:
        return []
    first, last = found[0].at, found[-1].at
    whole = (last - first).total_seconds()
    return [
        _LEFT + (_WIDTH / 2 if not whole else _WIDTH * (check.at - first).total_seconds() / whole)
        for check in found
    ]


def _ends(xs: Sequence[float], found: Sequence[Check]) -> list[tuple[float, Check, str]]:
    if not found:
        return []
    if len(found) == 1:
        return [(xs[0], found[0], "middle")]
    return [(xs[0], found[0], "start"), (xs[-1], found[-1], "end")]


def _runs(points: Sequence[tuple[float, float | None]]) -> list[list[tuple[float, float]]]:
    """Stretches without a gap."""
    runs: list[list[tuple[float, float]]] = [[]]
    for x, value in points:
        if value is None:
            runs.append([])
        else:
            runs[-1].append((x, value))
    return [run for run in runs if run]


def _row(check: Check) -> str:
    state = (
        f'<td class="bad-text">{_spoken(check.state)}</td>'
        if check.state == "drift"
        else f"<td>{_spoken(check.state)}</td>"
    )
    column = f" ({escape(check.column.replace('_', ' '))})" if check.column else ""
    return (
        f"<tr><td>{check.at:%Y-%m-%d %H:%M}</td><td>{escape(check.kind)}</td>{state}"
        f'<td class="number">{"-" if check.number is None else check.number}</td>'
        f'<td class="number">{"-" if check.alpha is None else f"{check.alpha:.2g}"}</td>'
        f'<td class="number">{_figure(check.psi)}{column}</td><td class="number">{_figure(check.auc)}</td>'
        f"<td>{escape('; '.join(check.reasons))}</td></tr>"
    )


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _spoken(state: str) -> str:
    return state.replace("_", " ")
