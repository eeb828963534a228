"""docs/reference is made of the code, and the pages beside it say what the code says."""

import re

import pytest
import typer
import yaml

from docs.site.reference import FOLDER, PAGES, rendered, stale
from gateway_tuning.access.permissions import GRANTS, Permission, Role
from gateway_tuning.cli import app
from gateway_tuning.settings import Settings
from gateway_tuning.storage import layout
from tests.docs.blocks import ROOT

DOCS = ROOT / "docs"


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_as_the_code_is(name):
    written = (FOLDER / name).read_text(encoding="utf-8") if (FOLDER / name).exists() else ""

    assert written == rendered(name), f"docs/reference/{name} is not as the code is; run `make reference`"


def test_a_page_that_nothing_makes_or_that_was_changed_by_hand_is_stale(tmp_path, monkeypatch):
    monkeypatch.setattr("docs.site.reference.FOLDER", tmp_path)
    monkeypatch.setattr("docs.site.reference.PAGES", {"events.md": PAGES["events.md"]})
    (tmp_path / "events.md").write_text(rendered("events.md"), encoding="utf-8")
    assert stale() == []

    (tmp_path / "events.md").write_text(rendered("events.md") + "more", encoding="utf-8")
    (tmp_path / "left-over.md").write_text("of a page that was", encoding="utf-8")

    assert stale() == ["events.md", "left-over.md"]


def commands(command, words=()):
    children = getattr(command, "commands", {})
    if not children:
        yield " ".join(words)
    for name, child in children.items():
        if not child.hidden:
            yield from commands(child, (*words, name))


def test_every_command_has_a_heading_and_every_option_a_row():
    text = rendered("commands.md")
    root = typer.main.get_command(app)

    assert [name for name in commands(root) if f"# gateway-tuning {name}\n" not in text] == []
    assert "| `--role` | FeedbackWriter ModelViewer ModelManager ModelAdmin | must be given |" in text


def test_every_setting_has_a_row():
    rows = re.findall(r"^\| `GATEWAY_TUNING_", rendered("settings.md"), re.MULTILINE)

    assert len(rows) == len(Settings.model_fields)


def test_the_keys_of_the_layout_are_those_that_its_functions_build():
    text = rendered("layout.md")

    assert "| `datasets/{dataset_id}/parts/{split}-{sha256[:16]}.parquet` | `dataset_part` |" in text
    assert "| `datasets/{dataset_id}/rejected/{sha256[:16]}.parquet` | `dataset_rejected` |" in text
    assert f"Version {layout.LAYOUT_VERSION}," in text


def test_routes_stand_with_their_permission():
    text = rendered("api.md")

    assert "| `POST /api/model-training/feedback` | submit |" in text
    assert "| `GET /healthz` | anybody |" in text


def test_events_that_automations_wait_for_are_among_those_that_are_told():
    text = rendered("events.md")
    files = [ROOT / "prefect.yaml", *sorted((ROOT / "deployments" / "automations").glob("*.yaml"))]
    awaited = {name for file in files for name in expected(yaml.safe_load(file.read_text(encoding="utf-8")))}

    assert awaited
    assert [name for name in awaited if not name.startswith("prefect.") and f"| `{name}` |" not in text] == []


def expected(part):
    """What stands under any `expect` of a YAML file."""
    if isinstance(part, list):
        for one in part:
            yield from expected(one)
    if isinstance(part, dict):
        yield from part.get("expect", ())
        yield from expected(list(part.values()))


def test_the_roles_of_the_security_page_are_those_of_the_code():
    rows = re.findall(r"^\| `(\w+)`[^|]*\|(.*)\|$", roles(), re.MULTILINE)
    head = [cell.strip() for cell in roles().splitlines()[0].strip("|").split("|")[1:]]
    stated = {
        Permission(name): {
            Role(role) for role, cell in zip(head, cells.split("|"), strict=True) if cell.strip() == "yes"
        }
        for name, cells in rows
    }

    assert stated == GRANTS


def roles():
    text = (DOCS / "security.md").read_text(encoding="utf-8")
    return text.partition("## Roles\n\n")[2].partition("\n\n")[0]


def test_tests_that_the_security_page_names_exist():
    text = (DOCS / "security.md").read_text(encoding="utf-8")

    assert [name for name in re.findall(r"`(tests/[\w/.]+)`", text) if not (ROOT / name).exists()] == []


def test_what_is_said_of_another_project_has_a_source_and_the_page_a_date():
    text = (DOCS / "comparison.md").read_text(encoding="utf-8")
    rows = text.partition("## When to take something else")[2].partition("## The closest ones")[0]
    parts = text.partition("## The closest ones")[2].partition("## Parts")[0].split("\n### ")[1:]
    source = re.compile(r"`[\w./-]*@[0-9a-f]{7}: [\w./-]+`|\b[\w-]+\.(?:com|ai|org)/\S+|docs\.statsig\.com")

    sourced = [row for row in rows.splitlines() if row.startswith("| ") and not row.startswith("| you want")]
    assert re.search(r"As of \*\*\d+ \w+ 20\d\d\*\*", text)
    assert len(sourced) > 5
    assert [row for row in sourced if not source.search(row)] == []
    assert [part.splitlines()[0] for part in parts if not source.search(part)] == []
