"""Two versions of a dataset side by side: every example that came, went or moved is told, and why it moved."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway_tuning.anonymization.policy import AnonymizationPolicy
from gateway_tuning.datasets.difference import ANCHOR, JOINED, NEWCOMERS, PARTED, SHARES, difference
from gateway_tuning.datasets.recipe import DatasetRecipe
from gateway_tuning.datasets.splits import SPLITS
from gateway_tuning.errors import IntegrityError
from tests.unit.datasets.shelf import example

OTHER = DatasetRecipe(test_share=0.3)


def moves(found):
    return [(one.source, one.target, one.reason, one.count) for one in found.moves]


def test_a_dataset_and_itself_do_not_differ(shelf):
    made = shelf.put([example(1), example(2, "test")])

    found = difference(shelf.objects, made, made, engine=shelf.engine)

    assert (found.made, found.counts, found.moves) == ((), (), ())
    assert (found.added, found.removed) == (0, 0)
    assert [one.stayed for one in found.splits] == [1, 0, 1]
    assert (found.feedback.added, found.feedback.removed) == (0, 0)


def test_what_came_and_went_is_counted_by_split_and_named(shelf):
    before = shelf.put([example(1), example(2), example(3, "test")])
    after = shelf.put([example(2), example(3, "test"), example(4, "test"), example(5)], parts=2)

    found = difference(shelf.objects, before, after, engine=shelf.engine)

    assert found.added_ids == (example(4).id, example(5).id)
    assert found.removed_ids == (example(1).id,)
    assert [(one.split, one.stayed, one.added, one.removed) for one in found.splits] == [
        ("train", 1, 1, 1),
        ("validation", 0, 0, 0),
        ("test", 1, 1, 0),
    ]
    assert (found.feedback.added_ids, found.feedback.removed_ids) == (("f4", "f5"), ("f1",))
    changed = {one.name: (one.before, one.after) for one in found.counts}
    assert changed["records"] == (5, 6)
    assert changed["examples.test.demonstration"] == (1, 2)


def test_a_changed_recipe_is_told_by_the_dotted_name_of_its_field(shelf):
    before, after = shelf.put([example(1)]), shelf.put([example(1)], recipe=OTHER)

    found = difference(shelf.objects, before, after)

    assert [(one.name, one.before, one.after) for one in found.made] == [("recipe.test_share", 0.15, 0.3)]
    assert found.feedback is None


def test_another_denied_word_is_a_change_that_names_no_word(shelf):
    before, after = (
        shelf.put([example(1)], recipe=DatasetRecipe(anonymization=AnonymizationPolicy(deny=(word,))))
        for word in ("Quillfeather", "Zebulon")
    )

    (change,) = difference(shelf.objects, before, after).made

    assert (change.name, change.before) == ("recipe.anonymization.deny", "1 words, not shown")
    assert change.after == change.before


@pytest.mark.parametrize(
    ("before", "after", "recipe", "reason"),
    [
        ([example(1, group=1), example(2, "test", group=2)], [example(1, "test", group=1), example(2, "test", group=1)], None, JOINED),
        ([example(1, "test", group=1), example(2, "test", group=1)], [example(1, group=1), example(2, "test", group=2)], None, PARTED),
        ([example(1)], [example(1, "test")], OTHER, SHARES),
        ([example(1)], [example(1, "test"), example(2, "test", group=1)], None, NEWCOMERS),
        ([example(1), example(2, group=1)], [example(1, "test")], None, ANCHOR),
    ],
    ids=["joined", "parted", "shares", "newcomers", "anchor"],
)  # fmt: skip
def test_an_example_that_moved_has_its_reason(shelf, before, after, recipe, reason):
    first = shelf.put(before)
    second = shelf.put(after, **({} if recipe is None else {"recipe": recipe}))

    found = difference(shelf.objects, first, second)

    assert [move[2:] for move in moves(found)] == [(reason, 1)]
    assert {found.moves[0].source, found.moves[0].target} == {"train", "test"}
    assert found.moves[0].ids == (example(1).id,)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.dictionaries(st.integers(1, 12), st.sampled_from(SPLITS)),
    st.dictionaries(st.integers(1, 12), st.sampled_from(SPLITS)),
    st.integers(1, 3),
)
def test_the_figures_add_up_for_any_two_datasets(shelf, before, after, parts):
    a = shelf.publish(
        [example(n, split) for n, split in sorted(before.items())], parts=parts, mined=parts + 1
    )
    b = shelf.publish([example(n, split) for n, split in sorted(after.items())], mined=1)

    found = difference(shelf.objects, a, b)

    assert found.added == len(after.keys() - before.keys())
    assert found.removed == len(before.keys() - after.keys())
    moved = [n for n in before.keys() & after.keys() if before[n] != after[n]]
    assert sum(one.count for one in found.moves) == len(moved)
    for one in found.splits:
        assert one.stayed + one.removed + one.moved_out == list(before.values()).count(one.split)
        assert one.stayed + one.added + one.moved_in == list(after.values()).count(one.split)


def test_feedback_is_unknown_where_a_dataset_has_no_lineage(shelf):
    before, after = shelf.put([example(1)], fates=False), shelf.put([example(2)])

    assert difference(shelf.objects, before, after, engine=shelf.engine).feedback is None


def test_a_damaged_part_is_an_error_and_no_difference(shelf):
    before, after = shelf.put([example(1)]), shelf.put([example(2)])
    shelf.objects.write(before.parts[0].key, shelf.objects.read(before.parts[0].key)[:-1])

    with pytest.raises(IntegrityError):
        difference(shelf.objects, before, after)


def test_the_command_tells_a_person_and_gives_json_to_a_machine(shelf, run):
    before = shelf.put([example(1, group=1), example(2, "test", group=2)])
    after = shelf.put([example(1, "test", group=1), example(2, "test", group=1), example(3)])

    told, machine = (run("diff", before.dataset_id, after.dataset_id, *rest) for rest in ((), ("--json",)))

    assert told.exit_code == 0
    assert f"1 from train to test, as {JOINED}: {example(1).id}" in told.output
    assert "feedback: 1 records added, 0 removed" in told.output
    found = json.loads(machine.output)
    assert found["moves"][0]["reason"] == JOINED
    assert found["added_ids"] == [example(3).id]
