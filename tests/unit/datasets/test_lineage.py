"""From a word of feedback to the model that learned it, and back."""

import json
from dataclasses import replace
from datetime import timedelta

import pytest
import sqlalchemy as sa

from gateway_tuning.datasets.lineage import State, of_dataset, of_feedback, of_model, traces
from gateway_tuning.datasets.retention import delete
from gateway_tuning.erasure.begin import begin
from gateway_tuning.erasure.rewrite import rewrite
from gateway_tuning.errors import NotFoundError
from gateway_tuning.feedback.store import FeedbackStore
from gateway_tuning.feedback.subjects import subject_id
from gateway_tuning.storage.tables import dataset_feedback
from gateway_tuning.storage.tenants import subject_key
from tests.conftest import NOW
from tests.unit.datasets.shelf import Shelf, example

EXAMPLES = [example(n) for n in range(4)] + [example(9, "test")]


@pytest.fixture
def on_both(engine, objects, tmp_path):
    """The same shelf on each database."""
    return Shelf(engine, objects, tmp_path)


def say(shelf, make_record, *numbers):
    FeedbackStore(shelf.engine).add([make_record(f"f{n}", user_id=f"u{n}") for n in numbers], NOW)


def test_a_dataset_tells_both_ways(on_both):
    made = on_both.put(EXAMPLES)
    on_both.train(made.dataset_id)
    on_both.evaluate(made.dataset_id)

    found = of_dataset(on_both.engine, made.dataset_id)

    assert found.state is State.LIVING
    assert (found.used, found.left_out, found.subjects) == (5, 1, 5)
    assert [one.version_id for one in found.models] == ["assistant@tuned"]
    assert (found.evaluations, found.drift_reports, found.predecessors) == (("eval-1",), (), ())
    assert found.created_at == NOW


def test_a_model_leads_to_every_feedback_record_that_it_learned_from(shelf):
    made = shelf.put(EXAMPLES, parts=2)
    shelf.train(made.dataset_id)

    found = of_model(shelf.engine, "assistant@tuned")

    assert found.dataset.dataset_id == made.dataset_id
    every = list(traces(shelf.objects, shelf.catalog.manifest(found.dataset.dataset_id)))
    assert sorted((trace.example_id, trace.split, trace.feedback_ids) for trace in every) == sorted(
        (one.id, one.split, one.feedback_ids) for one in EXAMPLES
    )


def test_feedback_leads_to_its_examples_datasets_and_models(shelf, make_record):
    say(shelf, make_record, 1, 9)
    first, second = shelf.put(EXAMPLES), shelf.put([example(1), example(5)])
    shelf.train(first.dataset_id)

    found = {
        one.dataset.dataset_id: one
        for one in of_feedback(shelf.engine, shelf.objects, "f1", tenant="default").datasets
    }

    assert found.keys() == {first.dataset_id, second.dataset_id}
    assert [trace.example_id for trace in found[first.dataset_id].examples] == [example(1).id]
    assert [one.version_id for one in found[first.dataset_id].models] == ["assistant@tuned"]
    assert found[second.dataset_id].models == ()


def test_what_was_left_out_has_its_reason_and_taught_nobody(shelf, make_record):
    say(shelf, make_record, 1)
    made = shelf.put([example(2)], left_out=("f1",))
    shelf.train(made.dataset_id)

    (found,) = of_feedback(shelf.engine, shelf.objects, "f1", tenant="default").datasets

    assert (found.used, found.reason) == (False, "over its user's cap")
    assert (found.examples, found.models) == ((), ())


def test_a_deleted_dataset_is_shown_as_deleted_and_its_examples_as_gone(shelf, make_record):
    say(shelf, make_record, 1)
    made = shelf.put(EXAMPLES)
    shelf.train(made.dataset_id)
    delete(
        shelf.engine, shelf.objects, made.dataset_id, tenant="default", actor="cli:ann", now=NOW, force=True
    )

    (found,) = of_feedback(shelf.engine, shelf.objects, "f1", tenant="default").datasets

    assert found.dataset.state is State.DELETED
    assert "deleted by cli:ann on 2026-11-01 12:00 UTC" in found.dataset.told
    assert found.examples is None
    assert [one.version_id for one in found.models] == ["assistant@tuned"]  # it learned it all the same


def test_an_erased_dataset_names_what_is_left_of_it_and_its_models_are_marked(on_both, make_record):
    say(on_both, make_record, 1, 2)
    key = subject_key(on_both.engine, "default", now=NOW)
    person = subject_id(key, "u1")
    made = on_both.put([replace(example(n), subject_ids=(subject_id(key, f"u{n}"),)) for n in (1, 2)])
    on_both.train(made.dataset_id)
    erasure = begin(on_both.engine, "default", "u1", requested_by="cli:ann", now=NOW + timedelta(hours=1))
    rewrite(
        on_both.engine, on_both.objects, erasure, made.dataset_id,
        holds=lambda one: person in one.subject_ids, now=NOW + timedelta(hours=2),
    )  # fmt: skip

    found = of_model(on_both.engine, "assistant@tuned")

    assert found.holds_erased_since == erasure.erased_at
    assert found.dataset.state is State.ERASED
    assert "held data of a person who was erased" in found.dataset.told
    left = of_dataset(on_both.engine, found.dataset.successor)
    assert (left.state, left.predecessors, left.used) == (State.LIVING, (made.dataset_id,), 1)


def test_lineage_names_no_subject(shelf, run):
    made = shelf.put(EXAMPLES)
    shelf.train(made.dataset_id)

    told = run("lineage", "--model", "assistant@tuned", "--json").output + run("show", made.dataset_id).output

    with shelf.engine.connect() as connection:
        subjects = connection.execute(sa.select(dataset_feedback.c.subject_id)).scalars().all()
    assert "s1" in subjects
    assert not any(f'"{subject}"' in told or f" {subject} " in told for subject in subjects if subject)


def test_before_lineage_was_kept_its_figures_are_unknown_and_not_zero(shelf, run):
    made = shelf.put(EXAMPLES, fates=False)

    found = of_dataset(shelf.engine, made.dataset_id)

    assert (found.used, found.left_out, found.subjects) == (None, None, None)
    assert run("show", made.dataset_id).output.count("unknown") == 3


@pytest.mark.parametrize(
    "ask",
    [
        lambda shelf, made: of_dataset(shelf.engine, "ds-never"),
        lambda shelf, made: of_dataset(shelf.engine, made.dataset_id, tenant="another"),
        lambda shelf, made: of_model(shelf.engine, "assistant@never"),
        lambda shelf, made: of_model(shelf.engine, "assistant@tuned", tenant="another"),
        lambda shelf, made: of_feedback(shelf.engine, shelf.objects, "f1", tenant="another"),
    ],
    ids=["dataset", "dataset of another", "model", "model of another", "feedback of another"],
)
def test_what_is_not_there_or_of_another_tenant_is_not_found(shelf, make_record, ask):
    say(shelf, make_record, 1)
    made = shelf.put(EXAMPLES)
    shelf.train(made.dataset_id)

    with pytest.raises(NotFoundError):
        ask(shelf, made)


def test_the_command_follows_each_way(shelf, make_record, run):
    say(shelf, make_record, 1)
    made = shelf.put(EXAMPLES)
    shelf.train(made.dataset_id)

    forward = run("lineage", "--feedback", "f1")
    back = run("lineage", "--model", "assistant@tuned", "--json")
    both = run("lineage", "--dataset", made.dataset_id)

    assert f"train:{example(1).id}" in forward.output
    assert "assistant@tuned" in forward.output
    head, *every = map(json.loads, back.output.splitlines())
    assert head["dataset"]["dataset_id"] == made.dataset_id
    assert {id_ for trace in every for id_ in trace["feedback_ids"]} == {"f0", "f1", "f2", "f3", "f9"}
    assert "assistant@tuned" in both.output
    assert example(9).id in both.output


@pytest.mark.parametrize("arguments", [(), ("--feedback", "f1", "--dataset", "ds-1")])
def test_the_command_wants_one_thing_to_follow(run, arguments):
    result = run("lineage", *arguments)

    assert result.exit_code == 1
    assert "give --feedback, --model or --dataset" in result.output
