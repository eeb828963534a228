"""Bars as SVG, in per cent of the width so that text keeps its size on a phone. Pure; colours come from the page."""

from collections.abc import Sequence

from markupsafe import Markup, escape

_ROW, _BAR = 34, 8  # heights in pixels
_SHORT = 34  # characters
_NAMES = 8  # that fit below a histogram
_HEIGHT, _TICKS = 160, 24  # of a histogram, and of the line below it


def bars(title: str, rows: Sequence[tuple[str, int]]) -> Markup:
    """One horizontal bar a row, with its name and count above it: beside it they would not fit on a phone."""
    most = max([count for _, count in rows] + [1])
    parts = [_open(title, rows, _ROW * len(rows))]
    for number, (label, count) in enumerate(rows):
        top = _ROW * number
        parts.append(
            f'<text x="0" y="{top + 14}">{escape(_short(label))}</text>'
            f'<text x="100%" y="{top + 14}" text-anchor="end">{count:,}</text>'
            f'<rect x="0" y="{top + 20}" width="{100 * count / most:.2f}%" height="{_BAR}"/>'
        )
    return _closed(parts)


def histogram(title: str, rows: Sequence[tuple[str, int]]) -> Markup:
    """One column a bin, in the order given, with its name below, or every few names where they are many."""
    most = max([count for _, count in rows] + [1])
    step = 100 / max(len(rows), 1)
    each = -(-len(rows) // _NAMES)
    parts = [_open(title, rows, _HEIGHT + _TICKS)]
    for number, (label, count) in enumerate(rows):
        height = (_HEIGHT - 16) * count / most
        middle = step * (number + 0.5)
        parts.append(
            f'<rect x="{step * number + step * 0.08:.2f}%" y="{_HEIGHT - height:.2f}" '
            f'width="{step * 0.84:.2f}%" height="{height:.2f}"/>'
        )
        if number % each == 0:
            parts.append(
                f'<text class="tick" x="{middle:.2f}%" y="{_HEIGHT + 16}" text-anchor="middle">{escape(label)}</text>'
            )
    return _closed(parts)


def _open(title: str, rows: Sequence[tuple[str, int]], height: int) -> str:
    said = "; ".join(f"{label} {count}" for label, count in rows)
    return f'<svg class="chart" height="{height}" role="img" aria-label="{escape(f"{title}: {said}")}">'


def _closed(parts: list[str]) -> Markup:
    return Markup("".join([*parts, "</svg>"]))  # noqa: S704 - numbers of ours and escaped labels


def _short(label: str) -> str:
    """What fits above a bar; the table beside has the whole."""
    return label if len(label) <= _SHORT else f"{label[: _SHORT - 1]}…"
