"""How the scores of two systems lie, as SVG: one above the line, the other below it. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from markupsafe import Markup, escape

from gateway_tuning.evaluation.reporting.figures import digits_of, figure
from gateway_tuning.evaluation.scoring.protocol import ScorerCard

_BINS = 20
_FEW = 5  # distinct values that each get a column of their own
_HALF, _TICKS = 84, 24  # heights in pixels: of each half, and of the line below
_FAR = 0.98  # quantile where the last bin of an unbounded metric begins


@dataclass(frozen=True, slots=True)
class _Bins:
    """`labels`: per cent of the width, which end of the text stands there, and the text."""

    counts: tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]
    labels: tuple[tuple[float, str, str], ...]


def distributions_svg(card: ScorerCard, candidate: Sequence[float], stable: Sequence[float]) -> Markup:
    """Shares of the answers by value, both halves on one scale. Empty where a system has no values."""
    ours, theirs = _finite(candidate), _finite(stable)
    if not ours.size or not theirs.size:
        return Markup()
    bins = _bins(card, ours, theirs)
    most = max(float(shares.max()) for shares in bins.counts)
    digits = digits_of(card, float(np.abs(np.concatenate([ours, theirs])).max()))
    said = (
        f"{card.label}: candidate mean {figure(float(ours.mean()), digits)}, median "
        f"{figure(float(np.median(ours)), digits)}, {ours.size} answers; stable mean "
        f"{figure(float(theirs.mean()), digits)}, median {figure(float(np.median(theirs)), digits)}, "
        f"{theirs.size} answers"
    )
    parts = [
        f'<svg class="spread" height="{2 * _HALF + _TICKS}" role="img" aria-label="{escape(said)}">',
        f'<line class="axis" x1="0" x2="100%" y1="{_HALF}" y2="{_HALF}"/>',
    ]
    step = 100 / bins.counts[0].size
    for shares, name in zip(bins.counts, ("candidate", "stable"), strict=True):
        for number, share in enumerate(shares):
            tall = (_HALF - 18) * float(share) / most
            top = _HALF - tall if name == "candidate" else _HALF
            if tall:
                parts.append(
                    f'<rect class="{name}" x="{step * (number + 0.06):.2f}%" y="{top:.2f}" '
                    f'width="{step * 0.88:.2f}%" height="{tall:.2f}"/>'
                )
    parts += [
        f'<text class="candidate" x="0" y="12">candidate, mean {figure(float(ours.mean()), digits)}</text>',
        f'<text class="stable" x="0" y="{2 * _HALF - 4}">stable, mean {figure(float(theirs.mean()), digits)}</text>',
        *(_tick(*label) for label in bins.labels),
        "</svg>",
    ]
    return Markup("".join(parts))  # noqa: S704 - numbers of ours and escaped labels


def _tick(place: float, anchor: str, label: str) -> str:
    y = 2 * _HALF + 17
    return f'<text class="tick" x="{place:.2f}%" y="{y}" text-anchor="{anchor}">{escape(label)}</text>'


def _bins(card: ScorerCard, ours: npt.NDArray[np.float64], theirs: npt.NDArray[np.float64]) -> _Bins:
    both = np.concatenate([ours, theirs])
    values = np.unique(both)
    digits = digits_of(card, float(np.abs(both).max()))
    if values.size <= _FEW:
        places = [np.searchsorted(values, side) for side in (ours, theirs)]
        first, second = (np.bincount(place, minlength=values.size) / place.size for place in places)
        middles = 100 * (np.arange(values.size) + 0.5) / values.size
        named = zip(middles, values, strict=True)
        return _Bins((first, second), tuple((float(at), "middle", f"{value:.4g}") for at, value in named))
    low = float(values[0]) if card.low is None else min(card.low, float(values[0]))
    high = float(np.quantile(both, _FAR)) if card.high is None else max(card.high, float(values[-1]))
    if high <= low:
        high = float(values[-1])
    beyond = high < values[-1]
    edges = np.linspace(low, high, _BINS + 1)
    first, second = (
        np.histogram(np.clip(side, low, high), bins=edges)[0] / side.size for side in (ours, theirs)
    )
    last = f"{figure(high, digits)}{' and more' if beyond else ''}"
    middle = figure((low + high) / 2, digits)
    labels = ((0.0, "start", figure(low, digits)), (50.0, "middle", middle), (100.0, "end", last))
    return _Bins((first, second), labels)


def _finite(values: Sequence[float]) -> npt.NDArray[np.float64]:
    found = np.asarray(values, dtype=np.float64)
    return found[np.isfinite(found)]
