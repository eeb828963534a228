"""Curves over training steps as SVG, in per cent of the width so that text keeps its size on a phone. Pure."""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise

from markupsafe import Markup, escape

Points = Sequence[tuple[int, float]]

_PLOT, _TICKS, _NAME = 160, 24, 18  # heights in pixels: of the plot, of the line below it, of names above it


def curves(title: str, series: Mapping[str, Points]) -> Markup:
    """A line a series. What is not a number is left out, and the line has a gap there.

    Empty where no series has a number.
    """
    finite = [point for points in series.values() for point in points if math.isfinite(point[1])]
    if not finite:
        return Markup()
    steps, values = [step for step, _ in finite], [value for _, value in finite]
    left, right, low, high = min(steps), max(steps), min(values), max(values)
    top = _NAME * -(-len(series) // 2) + 6
    bottom = top + _PLOT

    def x(step: int) -> str:
        return f"{2 + 96 * (step - left) / max(right - left, 1):.2f}%"

    def y(value: float) -> str:
        share = (value - low) / (high - low) if high > low else 0.5
        return f"{bottom - 4 - (_PLOT - 8) * share:.2f}"

    said = "; ".join(f"{name} {_told(points)}" for name, points in series.items())
    parts = [
        f'<svg class="chart curves" height="{bottom + _TICKS}" role="img" aria-label="{escape(f"{title}: {said}")}">',
        f'<text class="tick" x="2%" y="{bottom + 16}">step {left:,}</text>',
        f'<text class="tick" x="98%" y="{bottom + 16}" text-anchor="end">step {right:,}</text>',
    ]
    for number, (name, points) in enumerate(series.items()):
        mark = f"series-{number % 2}"
        place = "98%" if number % 2 else "2%"
        anchor = ' text-anchor="end"' if number % 2 else ""
        parts.append(
            f'<text class="{mark}" x="{place}" y="{_NAME * (number // 2) + 14}"{anchor}>{escape(name)}</text>'
        )
        for (one, before), (other, after) in pairwise(points):
            if math.isfinite(before) and math.isfinite(after):
                parts.append(
                    f'<line class="{mark}" x1="{x(one)}" y1="{y(before)}" x2="{x(other)}" y2="{y(after)}"/>'
                )
        parts += [
            f'<circle class="{mark}" cx="{x(step)}" cy="{y(value)}" r="3"/>'
            for step, value in points
            if math.isfinite(value)
        ]
    return Markup("".join([*parts, "</svg>"]))  # noqa: S704 - numbers of ours and escaped names


def _told(points: Points) -> str:
    known = [value for _, value in points if math.isfinite(value)]
    return f"from {known[0]:.4g} to {known[-1]:.4g}" if known else "not a number"
