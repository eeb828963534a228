"""Differences with their intervals around a zero line, as SVG. Pure; colours come from the page."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from markupsafe import Markup, escape

from gateway_tuning.evaluation.reporting.figures import signed, told
from gateway_tuning.evaluation.statistics import Difference

Tone = Literal["", "good", "bad"]

_BAR, _TICKS = 28, 24  # heights in pixels: of a bar, and of the line of numbers below all
_LEAST_REACH = 0.02


@dataclass(frozen=True, slots=True)
class Row:
    """`low`, `mean` and `high` are in the plot's unit; `said` has the figures in the metric's own."""

    label: str
    said: str
    low: float | None
    mean: float | None
    high: float | None
    tone: Tone = ""


_Ends = Callable[[float], list[tuple[float, str]]]  # of the reach: places on the axis and what is said there


def interval_svg(rows: Sequence[tuple[str, Difference]]) -> Markup:
    """Differences of metrics that share a scale, in its unit."""
    return plain_plot([Row(label, told(row), row.low, row.mean, row.high) for label, row in rows])


def plain_plot(rows: Sequence[Row]) -> Markup:
    """Rows in the metric's own unit."""
    return _plot(rows, _ends_plain)


def relative_plot(rows: Sequence[Row]) -> Markup:
    """Rows whose unit is a share: the ends of the axis are told in per cent."""
    return _plot(rows, _ends_percent)


def _plot(rows: Sequence[Row], ends: _Ends) -> Markup:
    """Names and figures are text of the page, so that they wrap on a phone; below each its bar, in per cent of the width."""
    known = [value for row in rows for value in (row.low, row.mean, row.high) if value is not None]
    reach = max([abs(value) for value in known] + [_LEAST_REACH])

    def x(value: float) -> str:
        return f"{50 + 46 * value / reach:.2f}%"

    said = "; ".join(f"{row.label} {row.said}" for row in rows)
    parts = [f'<div class="intervals" role="img" aria-label="{escape(said)}">']
    for row in rows:
        parts.append(
            f'<div class="names"><span>{escape(row.label)}</span> <span>{escape(row.said)}</span></div>'
            f'<svg aria-hidden="true" height="{_BAR}"><line class="zero" x1="50%" x2="50%" y1="0" y2="{_BAR}"/>'
        )
        if row.low is not None and row.high is not None:
            parts.append(
                f'<line class="bar {row.tone}" x1="{x(row.low)}" x2="{x(row.high)}" y1="{_BAR // 2}" y2="{_BAR // 2}"/>'
            )
        if row.mean is not None:
            parts.append(f'<circle class="point {row.tone}" cx="{x(row.mean)}" cy="{_BAR // 2}" r="5"/>')
        parts.append("</svg>")
    parts.append(f'<svg aria-hidden="true" height="{_TICKS}">')
    for (place, label), anchor in zip(ends(reach), ("start", "middle", "end"), strict=True):
        parts.append(f'<text class="tick" x="{x(place)}" y="16" text-anchor="{anchor}">{label}</text>')
    return Markup("".join([*parts, "</svg></div>"]))  # noqa: S704 - numbers of ours and escaped labels


def _ends_plain(reach: float) -> list[tuple[float, str]]:
    return [(-reach, signed(-reach, 2)), (0.0, "0"), (reach, signed(reach, 2))]


def _ends_percent(reach: float) -> list[tuple[float, str]]:
    shown = 100 * reach
    digits = 0 if shown >= 10 else 1  # noqa: PLR2004 - two figures are enough
    return [(-reach, f"{shown:.{digits}f} % worse"), (0.0, "0"), (reach, f"{shown:.{digits}f} % better")]
