"""Texts that nobody here wrote, inside Markdown. Pure."""

from collections.abc import Iterable


def pairs(rows: Iterable[tuple[str, str]]) -> list[str]:
    return [f"- {name}: {cell(value)}" for name, value in rows]


def cell(value: str) -> str:
    """No text of the data opens a cell, a tag or a span."""
    return (
        value.replace("&", "&amp;")
        .replace("<", "&lt;")
        .replace("|", "\\|")
        .replace("`", "\\`")
        .replace("\n", " ")
    )
