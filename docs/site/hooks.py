"""MkDocs builds the site from docs/ as it reads on its own: these hooks bring in what differs.

The navigation is that of docs/README.md. Markdown of the project outside of docs/ that a page links to becomes a page
below `project/`; links to other files of the project keep their text alone, since the site does not have them.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

_ROOT = Path(__file__).parents[2]
_DOCS = _ROOT / "docs"
_LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\((?!https?:|mailto:)([^)#\s]*)(#[^)\s]*)?\)")
_CODE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    config.nav = [{"Home": "README.md"}, *_sections()]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    for source in _outside():
        files.append(File.generated(config, _uri(source), abs_src_path=str(source)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    del config
    source = _source(page.file.src_uri)
    pieces, end = [], 0
    for code in _CODE.finditer(markdown):
        pieces += [_relinked(markdown[end : code.start()], source, page, files), code.group()]
        end = code.end()
    return "".join([*pieces, _relinked(markdown[end:], source, page, files)])


def _relinked(text: str, source: Path, page: Page, files: Files) -> str:
    def replaced(link: re.Match[str]) -> str:
        sign, label, target, anchor = link.groups()
        if not target:
            return link.group()
        found = (source.parent / target).resolve()
        if not found.exists():
            return link.group()  # MkDocs tells
        if found.is_dir() or files.get_file_from_path(_uri(found)) is None:
            return label
        way = os.path.relpath(_uri(found), Path(page.file.src_uri).parent)
        return f"{sign}[{label}]({way}{anchor or ''})"

    return _LINK.sub(replaced, text)


def _sections() -> Iterator[dict[str, list[Any]]]:
    """Each table of docs/README.md, named by the first cell of its head. A page stands where it is named first."""
    text = (_DOCS / "README.md").read_text(encoding="utf-8")
    known: set[str] = set()
    for head, rows in re.findall(r"^\| ([^|]+) \|[^\n]*\n\|[-|]+\|\n((?:\|[^\n]*\n?)*)", text, re.MULTILINE):
        targets = [(_DOCS / target).resolve() for _, _, target, _ in _LINK.findall(rows)]
        named = [_uri(target) for target in targets if target.suffix == ".md" and target.exists()]
        pages = [page for page in dict.fromkeys(named) if page not in known]
        known.update(pages)
        yield {head[:1].upper() + head[1:]: [_with_its_folder(page) for page in pages]}


def _with_its_folder(page: str) -> Any:
    """The decisions come with their index."""
    if page != "decisions/README.md":
        return page
    return {"Decisions": [page, *sorted(_uri(path) for path in (_DOCS / "decisions").glob("[0-9]*.md"))]}


def _outside() -> list[Path]:
    """Markdown of the project outside of docs/ that its pages lead to, directly or not."""
    reached: set[Path] = set()
    waiting = sorted(_DOCS.rglob("*.md"))
    while waiting:
        page = waiting.pop()
        for link in _LINK.findall(_CODE.sub("", page.read_text(encoding="utf-8"))):
            found = (page.parent / link[2]).resolve() if link[2] else page
            if (
                found.suffix == ".md"
                and found.is_file()
                and _DOCS not in found.parents
                and found not in reached
            ):
                reached.add(found)
                waiting.append(found)
    return sorted(reached)


def _uri(path: Path) -> str:
    if path.is_relative_to(_DOCS):
        return path.relative_to(_DOCS).as_posix()
    return f"project/{path.relative_to(_ROOT).as_posix()}" if path.is_relative_to(_ROOT) else "nowhere"


def _source(uri: str) -> Path:
    return _ROOT / uri.removeprefix("project/") if uri.startswith("project/") else _DOCS / uri
