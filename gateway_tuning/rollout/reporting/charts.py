"""A canary's share and its metrics over time, as SVG. Pure; colours come from the page.

Lines lie in a stretched inner picture so that they fill any width; words stand outside of it and keep their size.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import median

from markupsafe import Markup, escape

from gateway_tuning.rollout.reporting.steps import Step
from gateway_tuning.rollout.reporting.words import Seen as Metric
from gateway_tuning.rollout.reporting.words import at, harm, limit, percent, told

_HIGH, _AXIS = 168, 22  # heights in pixels: of the picture, and of the line of times below
_SHARE_HIGH = 120
_UNIT = 1000  # the inner picture's own width and height
_WORD = 15  # lines nearer than so many pixels cannot both be named
_FARTHEST = 12  # margins: beyond it an early, wide sequence would make the rest a line


@dataclass(frozen=True, slots=True)
class Frame:
    """The time that all charts of a page share."""

    since: datetime
    until: datetime

    def x(self, moment: datetime) -> int:
        whole = (self.until - self.since).total_seconds()
        part = (moment - self.since).total_seconds() / whole if whole > 0 else 1.0
        return round(_UNIT * min(max(part, 0.0), 1.0))


@dataclass(frozen=True, slots=True)
class _Axis:
    """From `low` at the bottom to `high` at the top."""

    low: float
    high: float

    def y(self, value: float) -> int:
        part = (self.high - value) / (self.high - self.low)
        return round(_UNIT * min(max(part, -1.0), 2.0))  # what is outside is cut off by the picture


def share_svg(steps: Sequence[Step], *, approved: float | None, frame: Frame) -> Markup:
    """`approved` is the highest share that may be served, None where every one may."""
    highest = max(step.share for step in steps)
    shown = [highest, *([approved] if approved is not None and approved < 1.0 else [])]
    axis = _Axis(0.0, max(max(shown) * 1.15, 0.01))
    path: list[str] = []
    for step in steps:
        y = axis.y(step.share)
        path.append(
            f"{'L' if path else 'M'}{frame.x(step.since)},{y}L{frame.x(step.until or frame.until)},{y}"
        )
    if steps[-1].until is not None and steps[-1].left != "promoted":
        path.append(f"L{frame.x(steps[-1].until)},{_UNIT}L{_UNIT},{_UNIT}")
    inside = f'<path class="share" d="{"".join(path)}"/>'
    words = [_word(axis.y(highest), f"{percent(highest)}", anchor="start", high=_SHARE_HIGH)]
    if approved is not None and approved < 1.0:
        inside += _level(axis.y(approved), "margin")
        words.append(_word(axis.y(approved), f"approved up to {percent(approved)}", high=_SHARE_HIGH))
    said = "; ".join(
        f"{percent(step.share)} from {at(step.since)} to {at(step.until) if step.until else 'now'}"
        for step in steps
    )
    return _chart(f"Share of users over time: {said}", inside, words, frame, high=_SHARE_HIGH)


def sequence_svg(
    name: str, points: Sequence[tuple[datetime, Metric]], *, changes: Sequence[datetime], frame: Frame
) -> Markup:
    """The harm, the band around it, the margin and zero. `changes` are when the share changed."""
    last = points[-1][1]
    known = [(moment, seen) for moment, seen in points if seen.harm is not None]
    if not known:
        return Markup()
    both_ways = last.role == "integrity"
    axis = _axis([seen for _, seen in known], last.margin, both_ways=both_ways)
    inside = "".join(
        f'<path class="change" d="M{frame.x(change)},0L{frame.x(change)},{_UNIT}"/>' for change in changes
    )
    for run in _runs(points):
        inside += _band(run, axis, frame)
    zero, margin = axis.y(0.0), axis.y(last.margin)
    inside += _level(zero, "zero") + _level(margin, "margin")
    words = [_word(margin, f"margin {limit(name, last.margin)}")]
    if _apart(zero, margin):
        words.append(_word(zero, "no harm"))
    if both_ways:
        below = axis.y(-last.margin)
        inside += _level(below, "margin")
        if _apart(below, zero):
            words.append(_word(below, f"margin {harm(name, -last.margin)}"))
    if _apart(0, min(margin, zero)):
        words.append(
            _word(0, f"{harm(name, axis.high)}{'' if both_ways else ' worse'}", anchor="start", below=True)
        )
    if _apart(_UNIT, max(margin, zero)):
        words.append(_word(_UNIT, f"{harm(name, axis.low)}", anchor="start"))
    return _chart(
        f"{name.replace('_', ' ')} over time. At the last look: {told(last)}",
        inside,
        words,
        frame,
        high=_HIGH,
    )


def _axis(known: Sequence[Metric], margin: float, *, both_ways: bool) -> _Axis:
    lows, highs = [seen.low or 0.0 for seen in known], [seen.high or 0.0 for seen in known]
    last, far = known[-1], _FARTHEST * margin
    now = last.harm or 0.0
    top = max(1.5 * margin, 1.15 * highs[-1], median(highs))
    bottom = min(-0.5 * margin, 1.15 * lows[-1], median(lows))
    if both_ways:
        bottom = min(bottom, -1.5 * margin)
    return _Axis(max(bottom, min(-far, 1.3 * now)), min(top, max(far, 1.3 * now)))


def _runs(points: Sequence[tuple[datetime, Metric]]) -> list[list[tuple[datetime, float, float, float]]]:
    """Looks in a row with figures: where there were none the picture has a gap."""
    found: list[list[tuple[datetime, float, float, float]]] = [[]]
    for moment, seen in points:
        if seen.harm is None or seen.low is None or seen.high is None:
            if found[-1]:
                found.append([])
            continue
        found[-1].append((moment, seen.low, seen.harm, seen.high))
    return [run for run in found if run]


def _band(run: Sequence[tuple[datetime, float, float, float]], axis: _Axis, frame: Frame) -> str:
    if len(run) == 1:
        moment, low, value, high = run[0]
        x = frame.x(moment)
        return (
            f'<path class="band" d="M{x},{axis.y(high)}L{x},{axis.y(low)}"/>'
            f'<path class="estimate" d="M{x - 4},{axis.y(value)}L{x + 4},{axis.y(value)}"/>'
        )
    upper = [f"{frame.x(moment)},{axis.y(high)}" for moment, _, _, high in run]
    lower = [f"{frame.x(moment)},{axis.y(low)}" for moment, low, _, _ in reversed(run)]
    middle = [f"{frame.x(moment)},{axis.y(value)}" for moment, _, value, _ in run]
    return f'<path class="band" d="M{"L".join([*upper, *lower])}Z"/><path class="estimate" d="M{"L".join(middle)}"/>'


def _level(y: int, kind: str) -> str:
    return f'<path class="{kind}" d="M0,{y}L{_UNIT},{y}"/>'


def _apart(one: int, other: int, high: int = _HIGH) -> bool:
    """Whether both lines can be named: neither are they too near, nor would their words be."""
    places = abs(one - other) * high / _UNIT, abs(_baseline(one, high) - _baseline(other, high))
    return min(places) >= _WORD


def _baseline(y: int, high: int, *, below: bool = False) -> float:
    """Of the word that names a line at `y`, in pixels."""
    place = y * high / _UNIT
    return place + 13 if below or place < _WORD else place - 4


def _word(y: int, text: str, *, anchor: str = "end", high: int = _HIGH, below: bool = False) -> str:
    """Above a line, or below it where the picture ends."""
    place = _baseline(y, high, below=below)
    return f'<text x="{"100%" if anchor == "end" else "0"}" y="{place:.0f}" text-anchor="{anchor}">{escape(text)}</text>'


def _chart(said: str, inside: str, words: Sequence[str], frame: Frame, *, high: int) -> Markup:
    parts = [
        f'<svg class="time" height="{high + _AXIS}" role="img" aria-label="{escape(said)}">',
        f'<svg x="0" y="0" width="100%" height="{high}" viewBox="0 0 {_UNIT} {_UNIT}" preserveAspectRatio="none">',
        inside,
        "</svg>",
        *words,
        f'<text class="tick" x="0" y="{high + 16}">{at(frame.since)}</text>',
        f'<text class="tick" x="100%" y="{high + 16}" text-anchor="end">{at(frame.until)}</text>',
        "</svg>",
    ]
    return Markup("".join(parts))  # noqa: S704 - numbers of ours and escaped words
