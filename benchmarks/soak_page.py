"""The page of a soak: one file that loads nothing. Every value is escaped."""

import re
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

_SHORT = 32  # characters of a cell that stay on one line
_TIME = re.compile(r"^\d{4}-\d\d-\d\d (\d\d:\d\d:\d\d)\.?\d*\+00:00$")
STYLE = """
:root{color-scheme:light dark}body{font:15px/1.5 system-ui,sans-serif;max-width:1100px;margin:2rem auto;padding:0 1rem}
h1{font-size:1.6rem}h2{font-size:1.15rem;margin-top:2rem}table{border-collapse:collapse;width:100%;font-size:.9rem}
td,th{text-align:left;padding:.3rem .6rem;border-bottom:1px solid #8884;vertical-align:top;overflow-wrap:break-word}
th,.short{white-space:nowrap}ul{margin:.3rem 0;padding-left:1.2rem}summary{cursor:pointer}
.good{color:#187a3c}.bad{color:#c62828;font-weight:600}small,.dim{opacity:.7}svg{width:100%;height:120px}
polyline{fill:none;stroke:currentColor;stroke-width:1.5;vector-effect:non-scaling-stroke}
@media(prefers-color-scheme:dark){.good{color:#6fcf97}.bad{color:#ff8a80}}
"""


def render(found: Mapping[str, Any]) -> str:
    """`found` is what soak.json holds."""
    broken = [check for check in found["checks"] if check["named"]]
    failed = [event for event in found["events"] if event["failed"]]
    verdict = (
        "<p class=good>Nothing was lost, nothing came twice, and every day went as it was meant to.</p>"
        if not broken and not failed
        else f"<p class=bad>{len(broken)} checks do not hold, {len(failed)} events did not go as meant.</p>"
    )
    body = [
        f"<h1>Soak of {escape(found['began'])}</h1>",
        f"<p>{found['minutes']:.1f} minutes on {escape(found['machine'])}</p>",
        verdict,
        "<h2>What was held against what users were told</h2>",
        _table(
            ("check", "of", "", "against it"),
            (
                (
                    check["what"],
                    check["counted"],
                    "does not hold" if check["named"] else "holds",
                    "; ".join(check["named"]) or check["remark"],
                )
                for check in found["checks"]
            ),
        ),
        "<h2>The week</h2>",
        _table(
            ("second", "event", "took", "failed"),
            (
                (f"{event['at']:.0f}", event["what"], _seconds(event["seconds"]), event["failed"] or "")
                for event in found["events"]
            ),
        ),
        "<h2>Users</h2>",
        _table(("", ""), found["users"].items()),
        "<h2>Processes</h2>",
        _table(
            ("part", "starts", "killed or crashed", "seconds to health", "peak MiB",
             "with children", "MiB an hour"),
            (
                (
                    part,
                    life["starts"],
                    life["killed_or_crashed"],
                    ", ".join(f"{one:.1f}" for one in life["seconds_to_health"]),
                    found["memory"][part]["peak"],
                    found["memory"][part]["peak_with_children"],
                    _or_unknown(found["memory"][part]["slope_an_hour"]),
                )
                for part, life in found["lives"].items()
            ),
        ),
        *_curves(found["samples"]),
        *(_section(name, rows) for name, rows in found["tables"].items()),
        "<h2>What is compressed or left out</h2>",
        "<ul>" + "".join(f"<li>{escape(one)}</li>" for one in found["compressed"]) + "</ul>",
    ]  # fmt: skip
    return (
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
        f"<title>Soak of {escape(found['began'])}</title><style>{STYLE}</style><body>{''.join(body)}</body></html>\n"
    )


def _section(name: str, rows: Sequence[Mapping[str, Any]]) -> str:
    if not rows:
        return f"<h2>{escape(name.capitalize())}</h2><p class=dim>none</p>"
    head = (column.removesuffix("_at").replace("_", " ") for column in rows[0])
    return f"<h2>{escape(name.capitalize())}</h2>" + _table(head, (row.values() for row in rows))


def _curves(samples: Mapping[str, Sequence[Sequence[float]]]) -> Iterable[str]:
    yield "<h2>Memory with children, MiB over time</h2>"
    for part, seen in samples.items():
        if len(seen) > 1:
            yield f"<div>{escape(part)}, 0 to {max(point[2] for point in seen):.0f} MiB{_curve(seen)}</div>"


def _curve(seen: Sequence[Sequence[float]]) -> str:
    last, top = seen[-1][0] or 1, max(point[2] for point in seen) or 1
    points = " ".join(f"{1000 * at / last:.1f},{100 - 100 * tree / top:.1f}" for at, _, tree in seen)
    return (
        f"<svg viewBox='0 0 1000 100' preserveAspectRatio=none role=img><polyline points='{points}'/></svg>"
    )


def _table(head: Iterable[str], rows: Iterable[Iterable[Any]]) -> str:
    top = "".join(f"<th>{escape(str(name))}</th>" for name in head)
    body = "".join("<tr>" + "".join(_cell(value) for value in row) + "</tr>" for row in rows)
    return f"<table><tr>{top}</tr>{body}</table>"


def _cell(value: Any) -> str:
    if isinstance(value, list):
        return f"<td>{_folded([str(one) for one in value])}</td>"
    text = _TIME.sub(r"\1", f"{value:.1f}" if isinstance(value, float) else str(_or_unknown(value)))
    style = {"holds": "good", "does not hold": "bad"}.get(text, "short" if len(text) <= _SHORT else "")
    return f"<td{f' class={style}' if style else ''}>{escape(text)}</td>"


def _folded(reasons: Sequence[str]) -> str:
    """The first says what it came to."""
    if len(reasons) <= 1:
        return escape("".join(reasons))
    rest = "".join(f"<li>{escape(one)}</li>" for one in reasons[1:])
    return f"<details><summary>{escape(reasons[0])}</summary><ul>{rest}</ul></details>"


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value:.1f} s"


def _or_unknown(value: Any) -> Any:
    return "not known" if value is None else value
