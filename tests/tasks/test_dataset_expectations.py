"""The task that builds datasets, on real stores: what fails a critical expectation is never published."""

import pytest

from gateway_tuning.datasets.build import Request, build_key
from gateway_tuning.datasets.inspection.inspection import Inspection
from gateway_tuning.datasets.recipe import DatasetRecipe
from gateway_tuning.errors import ExpectationError
from gateway_tuning.expectations.page import render_markdown
from gateway_tuning.storage import layout
from tasks import datasets
from tasks.runtime import runtime
from tests.conftest import NOW

RECIPE = DatasetRecipe()
THINGS = ["lamp", "stove", "boots", "jacket", "map", "rope", "bottle", "tent", "kite", "drum"]


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("GATEWAY_TUNING_HOME", str(tmp_path / "home"))
    runtime.cache_clear()
    yield tmp_path / "home"
    runtime.cache_clear()


@pytest.fixture
def feedback(make_record):
    """Of `long` of ten records the prompt is longer than what is anonymized."""

    def feedback(long):
        return [
            make_record(
                f"f{number}",
                "correction",
                user_id=f"user-{number}",
                prompt=f"Clara Oswald's {thing} is broken, what now?" + " please" * 20_000 * (number < long),
                corrected_response=f"Dear Clara Oswald, send the {thing} back.",
            )
            for number, thing in enumerate(THINGS)
        ]

    return feedback


def request():
    rt = runtime()
    watermark = rt.feedback.watermark("default")
    key = build_key(tenant="default", watermark=watermark, recipe=RECIPE, anonymizer="a")
    return Request(key, "default", RECIPE, watermark, "a", NOW)


def build(asked):
    inspection = Inspection(runtime().objects, asked.key, asked.now)
    return datasets._build(asked, inspection), inspection


def test_a_dataset_that_meets_what_is_expected_is_catalogued_and_its_page_stays(home, feedback):
    runtime().feedback.add(feedback(long=0), NOW)
    asked = request()

    dataset_id, inspection = build(asked)

    objects = runtime().objects
    assert runtime().datasets.manifest(dataset_id).counts.used == 10
    assert [stage["stage"] for stage in inspection.found] == ["statements", "examples", "dataset"]
    assert objects.list_keys("builds") == []
    assert objects.list_keys("builds-docs") == [layout.build_page(asked.key)]


def test_a_build_with_records_that_cannot_be_anonymized_ends_with_nothing_published(home, feedback):
    runtime().feedback.add(feedback(long=2), NOW)
    asked = request()

    with pytest.raises(
        ExpectationError,
        match=r"\(observed 0\.2\): most often prompt has \d+ characters.*record f\d, and 1 like it",
    ):
        build(asked)

    objects = runtime().objects
    assert runtime().datasets.all() == []
    assert runtime().datasets.find(asked.key) is None
    assert objects.list_keys("datasets") == objects.list_keys("builds") == []
    assert b"could not be anonymized" in objects.read(layout.build_page(asked.key))
    assert b"please" not in objects.read(layout.build_page(asked.key))


def test_building_again_what_was_published_and_not_catalogued_shows_all_stages(home, feedback):
    runtime().feedback.add(feedback(long=0), NOW)
    asked = request()
    first, _ = build(asked)
    again = Request("0" * 64, *(getattr(asked, name) for name in Request.__slots__[1:]))

    dataset_id, inspection = build(again)

    assert dataset_id == first
    assert [stage["stage"] for stage in inspection.found] == ["statements", "examples", "dataset"]


def test_the_artifact_names_what_is_not_met_and_links_the_page(home, feedback):
    runtime().feedback.add(feedback(long=0)[:1], NOW)
    _, inspection = build(request())

    told = render_markdown(inspection.found, title="Expectations", link=inspection.page)

    assert f"]({inspection.page})" in told
    assert "| examples | there are " in told
    assert "no id comes twice" not in told


@pytest.mark.slow
def test_the_run_shows_the_page_of_a_stopped_build_and_is_not_tried_again(home, feedback, caplog):
    from prefect import flow
    from prefect.artifacts import Artifact
    from prefect.testing.utilities import prefect_test_harness

    runtime().feedback.add(feedback(long=2), NOW)
    watermark = runtime().feedback.watermark("default")

    @flow(name="build")
    def run():
        return datasets.build_dataset("default", RECIPE, watermark)

    with prefect_test_harness():
        state = run(return_state=True)
        shown = Artifact.get("dataset-expectations")
        page = Artifact.get("dataset-expectations-page")

    assert isinstance(state.result(raise_on_failure=False), ExpectationError)
    assert "stopped after the statements" in shown.data
    assert "builds-docs/" in page.data
    assert sum("blocks assessed" in record.getMessage() for record in caplog.records) == 1
