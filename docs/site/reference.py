"""The pages of docs/reference/, each made of the code that it describes."""

from collections.abc import Callable
from pathlib import Path

from docs.site import (
    api_page,
    commands_page,
    events_page,
    layout_page,
    schemas_page,
    settings_page,
    tables_page,
)

FOLDER = Path(__file__).parents[1] / "reference"
PAGES: dict[str, Callable[[], str]] = {
    "settings.md": settings_page.render,
    "commands.md": commands_page.render,
    "api.md": api_page.render,
    "schemas.md": schemas_page.render,
    "layout.md": layout_page.render,
    "tables.md": tables_page.render,
    "events.md": events_page.render,
}
_NOTE = "<!-- Written by `make reference` from the code; what you change here is lost. -->"


def rendered(name: str) -> str:
    heading, text = PAGES[name]().strip().split("\n", 1)
    return f"{heading}\n\n{_NOTE}\n{text}\n"


def write() -> None:
    FOLDER.mkdir(exist_ok=True)
    for name in PAGES:
        (FOLDER / name).write_text(rendered(name), encoding="utf-8")


def stale() -> list[str]:
    """Pages that are not as the code is, or that nothing makes any more."""
    there = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.md")}
    return [
        name for name in sorted({*there, *PAGES}) if name not in PAGES or there.get(name) != rendered(name)
    ]
