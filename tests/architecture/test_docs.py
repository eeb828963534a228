"""What the documentation says exists: pages, commands, settings, rooms, tables."""

import ast
import importlib.util
import re
import shlex
import subprocess
from pathlib import Path

import pytest
import typer

from gateway_tuning.cli import app
from gateway_tuning.settings import PREFIX, Settings
from gateway_tuning.storage.tables import metadata

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PACKAGE = ROOT / "gateway_tuning"
LINK = re.compile(r"\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)")
COMMANDS = typer.main.get_command(app)


def pages() -> list[Path]:
    # New files too: a page counts before it is committed.
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"]
    output = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stdout
    return [ROOT / name for name in sorted(output.splitlines()) if (ROOT / name).is_file()]


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def links(page: Path) -> list[tuple[Path, str | None]]:
    found = LINK.findall(page.read_text(encoding="utf-8"))
    return [
        ((page.parent / target).resolve() if target else page, anchor or None) for target, anchor in found
    ]


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", pages(), ids=name_of)
def test_every_link_leads_somewhere(page):
    lost = [str(target) for target, _ in links(page) if not target.exists()]
    lost += [
        f"{target}#{anchor}" for target, anchor in links(page) if anchor and anchor not in anchors(target)
    ]

    assert lost == []


def test_every_page_is_reached_from_the_readme():
    reached: set[Path] = set()
    open_pages = [ROOT / "README.md"]
    while open_pages:
        page = open_pages.pop()
        if page not in reached:
            reached.add(page)
            open_pages += [target for target, _ in links(page) if target.suffix == ".md"]

    assert [name_of(page) for page in pages() if page not in reached] == []


@pytest.mark.parametrize("page", pages(), ids=name_of)
def test_every_source_file_named_exists(page):
    code = re.findall(r"`([\w./-]+/[\w-]+\.(?:py|yaml|toml|md))`", page.read_text(encoding="utf-8"))
    places = (ROOT, PACKAGE, page.parent)

    assert [name for name in code if not any((place / name).exists() for place in places)] == []


@pytest.mark.parametrize("page", pages(), ids=name_of)
def test_what_examples_in_python_import_exists(page):
    blocks = re.findall(r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    imports = [
        node for block in blocks for node in ast.walk(ast.parse(block)) if isinstance(node, ast.ImportFrom)
    ]
    ours = [
        (node.module, alias.name)
        for node in imports
        for alias in node.names
        if node.module.startswith("gateway")
    ]

    for module, name in ours:
        loaded = importlib.import_module(module)
        assert hasattr(loaded, name) or importlib.util.find_spec(f"{module}.{name}"), (
            f"{module} has no {name}"
        )


def commands_in(page: Path) -> list[list[str]]:
    """The words after `gateway-tuning`, up to a comment, a redirection or the end of the code."""
    text = page.read_text(encoding="utf-8")
    code = re.findall(r"^```[a-z]*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    code += re.findall(r"`(gateway-tuning [^`\n]+)`", text)
    found = re.findall(r"\bgateway-tuning ([a-z][^\n#>|;]*)", "\n".join(code))
    return [shlex.split(words) for words in found]


def fault(words: list[str]) -> str | None:
    command, left = COMMANDS, list(words)
    while left and hasattr(command, "commands"):
        if left[0] not in command.commands:
            return None if command.invoke_without_command and left[0].startswith("-") else f"no {left[0]}"
        command = command.commands[left.pop(0)]
    options = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    unknown = [word for word in left if word.startswith("--") and word.partition("=")[0] not in options]
    return f"no {unknown}" if unknown else None


@pytest.mark.parametrize("page", [page for page in pages() if commands_in(page)], ids=name_of)
def test_every_command_and_option_exists(page):
    assert [(words, fault(words)) for words in commands_in(page) if fault(words)] == []


@pytest.mark.parametrize("words", ["datsets show x", "datasets shown x", "datasets card x --htm y"])
def test_a_command_that_does_not_exist_is_noticed(words):
    assert fault(words.split())


def rows(page: Path) -> list[list[str]]:
    lines = page.read_text(encoding="utf-8").splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| `")]


def variables(field: str) -> set[str]:
    alias = Settings.model_fields[field].validation_alias
    return {PREFIX + field.upper()} if alias is None else {str(choice) for choice in alias.choices}


def test_every_setting_stands_once_in_the_tables_and_nothing_else_does():
    s3 = next(
        part
        for part in (DOCS / "how-to/object-storage.md").read_text(encoding="utf-8").split("## ")
        if part.startswith("All settings")
    )
    first_cells = re.findall(r"^\| (`S3_[^|]*)", s3, re.MULTILINE)
    listed = [PREFIX + name for cell in first_cells for name in re.findall(r"`(\w+)`", cell)]
    listed += [name for row in rows(DOCS / "settings.md") for name in re.findall(r"`(\w+)`", row[0])]

    assert sorted(listed) == sorted(name for field in Settings.model_fields for name in variables(field))


def test_the_defaults_of_settings_are_those_of_the_table():
    stated = {row[0].partition(",")[0].strip("`"): row[1].strip("`") for row in rows(DOCS / "settings.md")}
    fields = {
        field: (PREFIX + field.upper()) for field in Settings.model_fields if not field.startswith("s3_")
    }

    def shown(default):
        return "-" if default is None else str(default).lower() if isinstance(default, bool) else str(default)

    assert stated == {name: shown(Settings.model_fields[field].default) for field, name in fields.items()}


def test_every_room_is_in_the_architecture():
    text = (DOCS / "architecture.md").read_text(encoding="utf-8")
    inside = text.partition("Inside the package:")[2]
    told = dict(re.findall(r"^\| `(\w+)/` \| (.*) \|$", inside, re.MULTILINE))
    rooms = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    inner = [path.parent for path in PACKAGE.glob("*/*/__init__.py")]

    assert set(told) == rooms
    assert [name_of(room) for room in inner if f"`{room.name}/`" not in told[room.parent.name]] == []


def test_every_table_is_in_the_data_layout():
    text = (DOCS / "data-layout.md").read_text(encoding="utf-8").partition("## Metadata store")[2]
    listed = [
        name
        for cell in re.findall(r"^\| (`[^|]*)", text, re.MULTILINE)
        for name in re.findall(r"`(\w+)`", cell)
    ]

    assert sorted(listed) == sorted(metadata.tables)
