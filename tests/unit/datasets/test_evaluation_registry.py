"""Evaluation sets under name@version: immutable, listed, removed, and asked for before a build begins."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from gateway_tuning.cli.evaluation_sets import app
from gateway_tuning.datasets.evaluation_registry import check_label, listed, load, register, remove, require
from gateway_tuning.datasets.example import ExampleKind
from gateway_tuning.datasets.quality.contamination import hits
from gateway_tuning.datasets.quality.policy import QualityPolicy
from gateway_tuning.datasets.quality.sample import Rating, Sample
from gateway_tuning.errors import ConfigurationError, ConflictError, IntegrityError, NotFoundError
from gateway_tuning.storage import layout
from tests.conftest import NOW

PROMPTS = ["How do I return a lamp that came with a broken shade?", "When does the blue shop open on Sunday?"]


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setenv("GATEWAY_TUNING_HOME", str(tmp_path))

    def invoke(*arguments, lines=None):
        if lines is not None:
            text = "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines)
            (tmp_path / "set.jsonl").write_text(text, encoding="utf-8")
        return CliRunner().invoke(app, [str(argument) for argument in arguments])

    return invoke


def test_what_was_registered_is_loaded_and_listed(objects):
    made = register(
        objects, "support", "1", PROMPTS, ["Send it back to us within a month and we pay for it."]
    )
    register(objects, "support", "2", PROMPTS)

    assert listed(objects) == ["support@1", "support@2"]
    assert len(load(objects, "support@1").totals) == 3
    assert load(objects, "support@1").signatures.minima.tolist() == made.signatures.minima.tolist()


def test_a_registered_set_holds_no_text(objects):
    register(objects, "support", "1", PROMPTS)

    assert b"lamp" not in objects.read(layout.evaluation_set("support@1"))


def test_a_version_never_changes(objects):
    register(objects, "support", "1", PROMPTS)
    register(objects, "support", "1", PROMPTS)

    with pytest.raises(ConflictError, match=r"support@1 is registered with other texts.*another version"):
        register(objects, "support", "1", PROMPTS[:1])

    assert len(load(objects, "support@1").totals) == 2


def test_a_set_packed_by_another_numpy_is_the_same_set(objects):
    import io

    import numpy as np

    register(objects, "support", "1", PROMPTS)
    key = layout.evaluation_set("support@1")
    with np.load(io.BytesIO(objects.read(key))) as parts:
        loose = io.BytesIO()
        np.savez(loose, **parts)
    objects.write(key, loose.getvalue())

    assert register(objects, "support", "1", PROMPTS).label == "support@1"


@pytest.mark.parametrize(
    "label",
    ["support", "support@", "@1", "a@b@c", "../x@1", "a/b@1", "Support@1", "a b@1", ".a@1", "a@1.", "a@" + "1" * 65, "a@1\n", ""],
)  # fmt: skip
def test_a_label_that_is_no_key_everywhere_is_refused(objects, label):
    with pytest.raises(ConfigurationError, match="give name@version"):
        check_label(label)
    with pytest.raises(ConfigurationError, match="give name@version"):
        require(objects, [label])


@given(st.from_regex(r"[a-z0-9]([a-z0-9._-]{0,62}[a-z0-9])?", fullmatch=True))
def test_any_name_of_safe_characters_is_a_key_in_one_folder(name):
    check_label(f"{name}@{name}")

    assert layout.evaluation_set(f"{name}@{name}").count("/") == 1


def test_a_recipe_that_names_an_unknown_set_is_refused_with_the_remedy(objects):
    register(objects, "support", "1", PROMPTS)
    require(objects, ["support@1"])

    with pytest.raises(ConfigurationError) as refused:
        require(objects, ["support@1", "support@2", "legal@1"])

    told = str(refused.value)
    assert "support@2, legal@1" in told
    assert "registered: support@1" in told
    assert "evaluation-sets add" in told


def test_a_removed_set_is_gone_and_an_unknown_one_is_told(objects):
    register(objects, "support", "1", PROMPTS)
    remove(objects, "support@1")

    assert listed(objects) == []
    with pytest.raises(NotFoundError, match="No evaluation set support@1; registered: none"):
        remove(objects, "support@1")
    with pytest.raises(NotFoundError):
        load(objects, "support@1")


def test_a_damaged_set_is_an_error(objects):
    register(objects, "support", "1", PROMPTS)
    objects.write(layout.evaluation_set("support@1"), b"PK no more")

    with pytest.raises(IntegrityError):
        load(objects, "support@1")


def test_the_command_registers_what_contamination_then_finds(run, tmp_path):
    from gateway_tuning.settings import Settings
    from gateway_tuning.storage.object_store import ObjectStore

    lines = [
        {"fields": {"q": PROMPTS[0], "a": "Send the lamp back to us within a month and we will pay."}},
        {"fields": {"q": PROMPTS[1]}},
    ]

    added = run(
        "add", "support", "1", tmp_path / "set.jsonl", "--prompt-field", "fields.q", "--reference-field", "fields.a", lines=lines
    )  # fmt: skip
    shown = run("list")

    assert added.exit_code == 0
    assert "support@1: 3 texts" in added.output
    assert shown.output.splitlines()[1].split()[:2] == ["support@1", "3"]
    held = load(ObjectStore(Settings(_env_file=None, home=tmp_path).resolved_object_storage_url), "support@1")
    rating = Rating(corrected=False, raters=1, newest=NOW)
    sample = Sample("e1", ExampleKind.DEMONSTRATION, (), PROMPTS[1], "At ten.", None, None, rating)
    assert [hit.evaluation_set for hit in hits([sample], [held], QualityPolicy())] == ["support@1"]
    assert run("remove", "support@1", "--yes").exit_code == 0
    assert run("remove", "support@1", "--yes").exit_code == 1


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([{"prompt": "a"}, "no json"], "line 2 is not JSON"),
        (["[1]"], "line 1 is no JSON object"),
        ([{"question": "a"}], "line 1 has no text in 'prompt', but: question"),
        ([{"prompt": 7}], "line 1 has no text in 'prompt'"),
        ([], "no prompt and no reference answer"),
    ],
)
def test_a_file_that_is_no_set_is_refused_by_its_line_and_nothing_is_registered(run, tmp_path, lines, said):
    result = run("add", "support", "1", tmp_path / "set.jsonl", lines=lines)

    assert result.exit_code == 1
    assert said in result.output
    assert "support@1" not in run("list").output


def test_a_missing_file_is_told(run, tmp_path):
    result = run("add", "support", "1", tmp_path / "none.jsonl")

    assert result.exit_code == 1
    assert "cannot be read" in result.output
