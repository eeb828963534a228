"""`gateway-tuning models` on a store with two trained versions."""

import json

import pytest

from gateway_tuning.access.audit import AuditLog
from gateway_tuning.registry.model_version import ModelVersion, StoredFile
from gateway_tuning.registry.store import Registry
from tests.unit.registry.test_mirror import FILES


@pytest.fixture
def registry(shelf, now):
    made = Registry(shelf.engine)
    for id_ in ("assistant@1", "assistant@2"):
        made.register(
            ModelVersion(
                id_,
                "assistant",
                "small",
                "llama",
                now,
                tenant="default",
                job_key=id_,
                files=FILES,
                metrics={"loss": 0.5},
            )
        )
    return made


def audited(shelf):
    return [
        (one.event.action, one.event.object_id, one.event.detail)
        for one in AuditLog(shelf.engine).page("default", limit=9)
    ]


def test_versions_are_listed_with_status_and_aliases(run, registry, now):
    registry.point("assistant", "staging/stable", "assistant@1", reason="a try", now=now)

    every, one, none = run(), run("list", "assistant"), run("list", "other")

    assert every.output == one.output
    rows = [line.split() for line in every.output.splitlines()[1:]]
    assert [row[:3] for row in rows] == [
        ["assistant@1", "deployed", "staging/stable"],
        ["assistant@2", "available", "small"],
    ]
    assert len(none.output.splitlines()) == 1


def test_a_version_is_shown_whole(run, registry, now):
    registry.point("assistant", "stable", "assistant@1", reason="first", now=now, by="anna")

    shown, told = run("show", "assistant@1").output, json.loads(run("show", "assistant@1", "--json").output)

    assert "deployed, revision 2" in shown
    assert "0" * 64 in shown
    assert "stable: first" in shown
    assert told["version"]["files"]["adapter.gguf"]["sha256"] == "0" * 64
    assert (told["aliases"], told["statuses"][-1]["by"]) == (["stable"], "anna")


def test_a_version_is_archived_for_a_reason_and_brought_back(run, registry, shelf):
    archived = run("archive", "assistant@1", "--reason", "superseded")
    refused = run("alias", "assistant", "stable", "assistant@1", "--reason", "try")
    back = run("archive", "assistant@1", "--undo", "--reason", "needed after all")

    assert archived.output == "assistant@1 is archived\n"
    assert refused.exit_code == 1
    assert "assistant@1 is archived, so assistant stable cannot name it" in refused.output
    assert back.output == "assistant@1 is available\n"
    assert [one.reason for one in registry.status_changes("assistant@1")][1:] == [
        "superseded",
        "needed after all",
    ]
    assert audited(shelf)[-1] == (
        "model_version.status", "assistant@1", {"from": "available", "to": "archived"}
    )  # fmt: skip


def test_an_alias_is_moved_shown_and_taken_away(run, registry, shelf):
    first = run("alias", "assistant", "stable", "assistant@1", "--reason", "first", "--expect", "nothing")
    second = run("alias", "assistant", "production/stable", "assistant@2", "--reason", "better")
    shown = run("alias", "assistant").output
    removed = run("alias", "assistant", "stable", "--remove", "--reason", "maintenance")

    assert first.output == "assistant stable names assistant@1\n"
    assert second.output == "assistant stable names assistant@2\n"
    assert "better" in shown
    assert "cli:" in shown
    assert removed.output == "assistant stable names nothing\n"
    assert registry.aliases("assistant") == {}
    assert (
        "model.alias",
        "assistant",
        {"alias": "stable", "from": "assistant@1", "to": "assistant@2"},
    ) in audited(shelf)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["alias", "assistant", "stable", "assistant@1"], "say it with --reason"),
        (["alias", "assistant", "stable", "assistant@1", "--reason", "x", "--expect", "assistant@2"], "names nothing, not assistant@2"),
        (["alias", "assistant", "stable", "--remove", "--reason", "x"], "has no alias stable"),
        (["alias", "assistant", "--remove", "--reason", "x"], "Give an alias"),
        (["alias", "assistant", "stable", "assistant@9", "--reason", "x"], "No model version assistant@9"),
        (["archive", "assistant@1", "--undo", "--reason", "x"], "nothing to undo"),
        (["list", "--in", "elsewhere"], "No registry 'elsewhere'; there are: mlflow, store"),
        (["mirror", "assistant"], "Set GATEWAY_TUNING_MLFLOW_URL"),
        (["card", "assistant@1", "--html", "a", "--markdown"], "give one of them"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_told_with_what_to_do(run, registry, shelf, arguments, told):
    refused = run(*arguments)

    assert refused.exit_code == 1
    assert told in refused.output
    assert audited(shelf) == []


def test_a_version_that_learned_from_an_erased_person_gets_no_alias_by_hand(run, registry, now):
    marked = ModelVersion(
        "assistant@3", "assistant", "small", "llama", now, tenant="default", files={"a": StoredFile("k", "0" * 64, 1)},
        holds_erased_since=now,
    )  # fmt: skip
    registry.register(marked)

    refused = run("alias", "assistant", "stable", "assistant@3", "--reason", "roll back")

    assert "train a new version" in refused.output
    assert registry.aliases("assistant") == {}


def test_a_card_is_written_as_a_page_and_as_markdown(run, registry, tmp_path):
    written = run("card", "assistant@1", "--html", tmp_path / "card.html")

    assert written.exit_code == 0
    assert "Model version assistant@1" in (tmp_path / "card.html").read_text()
    assert run("card", "assistant@1").output.startswith("# Model version `assistant@1`")
