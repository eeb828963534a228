"""Small charts as SVG. Positions in per cent, so that text keeps its size on a phone; colours come from the style sheet."""

from collections.abc import Mapping, Sequence

from markupsafe import Markup, escape

_HEIGHT = 120  # of the drawing, in pixels
_FOOT = 18  # for the labels below it
_COLOURS = 6
_MOST_LABELS = 5


def meter(value: float, of: float, *, said: str, tone: str = "") -> Markup:
    """A bar that fills up: `value` of `of`, both in one unit. `said` is its meaning in words."""
    filled = 100 * min(1.0, max(0.0, value / of)) if of > 0 else 0.0
    return _svg(
        14,
        said,
        '<rect class="track" width="100%" height="10" y="2" rx="3"/>'
        f'<rect class="bar {escape(tone)}" width="{filled:.2f}%" height="10" y="2" rx="3"/>',
    )


def stacks(title: str, labels: Sequence[str], series: Mapping[str, Sequence[float]]) -> Markup:
    """One stacked bar a label; `series` has a value a label. Its legend is `legend(series)`."""
    totals = [sum(values[place] for values in series.values()) for place in range(len(labels))]
    most = max([*totals, 1e-9])
    width = 100 / max(1, len(labels))
    parts = [f'<line class="axis" x1="0" x2="100%" y1="{_HEIGHT + 0.5}" y2="{_HEIGHT + 0.5}"/>']
    for place, label in enumerate(labels):
        bottom = float(_HEIGHT)
        told = ", ".join(f"{values[place]:,.0f} {name}" for name, values in series.items() if values[place])
        parts.append(f"<g><title>{escape(label)}: {escape(told or 'none')}</title>")
        for number, values in enumerate(series.values()):
            if not values[place]:
                continue
            height = (_HEIGHT - 16) * values[place] / most
            bottom -= height
            parts.append(
                f'<rect class="s{number % _COLOURS + 1}" x="{width * (place + 0.12):.2f}%" y="{bottom:.1f}" '
                f'width="{width * 0.76:.2f}%" height="{height:.1f}"/>'
            )
        parts.append("</g>")
        if totals[place] == most and place == totals.index(most):
            parts.append(
                f'<text class="strong" x="{width * (place + 0.5):.2f}%" y="{bottom - 4:.1f}" '
                f'text-anchor="middle">{totals[place]:,.0f}</text>'
            )
    parts.extend(_labels(labels))
    said = "; ".join(f"{label} {total:,.0f}" for label, total in zip(labels, totals, strict=True))
    return _svg(_HEIGHT + _FOOT, f"{title}: {said}", "".join(parts))


def legend(names: Sequence[str]) -> Markup:
    """The colours of `stacks`, in their order."""
    items = "".join(
        f'<li><svg aria-hidden="true"><rect class="s{number % _COLOURS + 1}" width="10" height="10" rx="2"/></svg>'
        f"{escape(name)}</li>"
        for number, name in enumerate(names)
    )
    return Markup('<ul class="legend">' + items + "</ul>")  # noqa: S704 - names are escaped


def _labels(labels: Sequence[str]) -> list[str]:
    """As many as fit, always the first and the last."""
    if not labels:
        return []
    width = 100 / len(labels)
    step = max(1, -(-(len(labels) - 1) // (_MOST_LABELS - 1)))
    shown = {*range(0, len(labels) - step, step), len(labels) - 1}
    return [
        f'<text x="{width * (place + 0.5):.2f}%" y="{_HEIGHT + 14}" text-anchor="middle">{escape(labels[place])}</text>'
        for place in sorted(shown)
    ]


def _svg(height: float, said: str, body: str) -> Markup:
    return Markup(  # noqa: S704 - numbers of ours and escaped words
        f'<svg height="{height:g}" role="img" aria-label="{escape(said)}">{body}</svg>'
    )
