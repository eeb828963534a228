"""An evaluation as its task makes it: once, found again, with everything on object storage and nothing left in between."""

import io
from datetime import timedelta

import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa

pytest.importorskip("openai", reason="the openai extra is not installed")

from gateway_tuning.errors import ErasedError
from gateway_tuning.evaluation.result import read_result
from gateway_tuning.evaluation.running.asking import Prediction
from gateway_tuning.evaluation.running.store import Kept, PredictionStore
from gateway_tuning.evaluation.scored import Role
from gateway_tuning.evaluation.settings import EvaluationSettings
from gateway_tuning.registry.endpoint import Endpoint
from gateway_tuning.registry.model_version import ModelVersion
from gateway_tuning.settings import Settings
from gateway_tuning.storage import layout
from gateway_tuning.storage.tables import datasets, predictions
from tasks import evaluation
from tasks.runtime import Runtime, now
from tests.conftest import NOW
from tests.unit.datasets.shelf import Shelf, example
from tests.wire.chat import Chat
from tests.wire.server import running

SETTINGS = EvaluationSettings(metrics=("similarity",), resamples=1_000, slices=("length",))
CANDIDATE, STABLE, BASE = "assistant@tuned", "assistant@before", "assistant@far-1"

pytestmark = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)


@pytest.fixture
def chat():
    return Chat()


@pytest.fixture
def server(chat):
    with running(chat) as url:
        yield f"{url}/v1"


@pytest.fixture
def artifacts():
    return []


@pytest.fixture
def rt(tmp_path, engine, monkeypatch, server, artifacts):
    found = Runtime(Settings(home=tmp_path, database_url=engine.url.render_as_string(hide_password=False)))
    monkeypatch.setattr(evaluation, "runtime", lambda: found)
    # There is no Prefect here to show it.
    monkeypatch.setattr(evaluation, "create_markdown_artifact", lambda text, **_: artifacts.append(text))
    for version in (CANDIDATE, STABLE, BASE):
        found.registry.register(
            ModelVersion(
                id=version, tenant="default", model="assistant", base_model="far-1", provider="custom",
                created_at=NOW, served_model=version,
            )
        )  # fmt: skip
    for version in (CANDIDATE, STABLE):
        found.registry.set_endpoint(version, Endpoint(server, version), now=NOW)
    yield found
    found.engine.dispose()


@pytest.fixture
def dataset(rt, tmp_path):
    tests = [example(number, split="test", prompt=f"What of {number} is it?") for number in range(6)]
    return Shelf(rt.engine, rt.objects, tmp_path).put([example(99), *tests]).dataset_id


def run(dataset, settings=SETTINGS):
    return evaluation.evaluate_model.fn(CANDIDATE, STABLE, dataset, settings)


def rows(rt):
    with rt.engine.connect() as connection:
        return connection.execute(sa.select(sa.func.count()).select_from(predictions)).scalar_one()


def result_of(rt, stage):
    return read_result(rt.evaluations.get(stage.id).result)


def test_a_comparison_is_made_once_and_found_again(rt, dataset, chat, artifacts):
    stage = run(dataset)
    asked = len(chat.asked)

    assert run(dataset) == stage
    assert asked == len(chat.asked) == 12
    assert (stage.detail["state"], stage.detail["primary"]) == ("scored", "similarity")
    assert stage.detail["candidate"]["version"] == CANDIDATE
    assert stage.detail["difference"]["n"] == 6
    assert len(artifacts) == 1
    assert run(dataset, SETTINGS.model_copy(update={"seed": 1})).id != stage.id


def test_everything_lies_on_object_storage_and_nothing_in_between(rt, dataset):
    stage = run(dataset)

    table = pq.read_table(
        io.BytesIO(rt.objects.read(layout.evaluation_file(stage.id, "predictions.parquet")))
    )
    page = rt.objects.read(layout.evaluation_file(stage.id, "report.html")).decode()
    assert table.num_rows == 12
    assert set(table["role"].to_pylist()) == {"candidate", "stable"}
    assert table["score_similarity"].null_count == 0
    assert f"{CANDIDATE} against {STABLE}" in page
    assert rows(rt) == 0


def test_a_run_that_follows_a_killed_one_asks_for_the_rest(rt, dataset, chat, monkeypatch):
    def full_disk(*_args, **_options):
        raise OSError("no space left")

    with monkeypatch.context() as broken:
        broken.setattr(type(rt.objects), "write", full_disk)
        with pytest.raises(OSError, match="no space left"):
            run(dataset)
    with rt.engine.begin() as connection:
        lost = sa.select(predictions.c.example_id).limit(1).scalar_subquery()
        connection.execute(predictions.delete().where(predictions.c.example_id == lost))
    chat.asked.clear()

    stage = run(dataset)

    assert len(chat.asked) == 2
    assert result_of(rt, stage).system(Role.CANDIDATE).asked == 6
    assert rows(rt) == 0


def test_rows_that_a_run_left_that_was_killed_after_its_record_go_with_the_next(rt, dataset):
    stage = run(dataset)
    said = Prediction("late", None, 1.0, None, None)
    PredictionStore(rt.engine, stage.id, "default", dataset).write(
        [Kept("e", "stable", STABLE, said)], now=now()
    )

    run(dataset)

    assert rows(rt) == 0


def test_answers_that_nobody_went_on_with_go_after_a_month(rt, dataset):
    said = Prediction("text", None, 1.0, None, None)
    for name, age in (("eval-old", 31), ("eval-new", 1)):
        store = PredictionStore(rt.engine, name, "default", dataset)
        store.write([Kept("e", "stable", STABLE, said)], now=now() - timedelta(days=age))

    run(dataset)

    assert PredictionStore(rt.engine, "eval-old", "default", dataset).read() == {}
    assert len(PredictionStore(rt.engine, "eval-new", "default", dataset).read()) == 1


def test_a_comparison_without_a_stable_model_to_compare_with_can_be_made_again(rt, dataset, chat):
    chat.says = lambda model, prompt: None if model == STABLE else prompt
    broken = run(dataset)
    chat.says = lambda _model, prompt: prompt

    mended = run(dataset)

    assert (broken.detail["state"], mended.detail["state"]) == ("invalid", "scored")
    assert mended.id == f"{broken.id}-2"
    assert run(dataset) == mended


def test_the_base_model_is_asked_where_it_is_served(rt, dataset, server):
    settings = SETTINGS.model_copy(update={"include_base": True})
    without = result_of(rt, run(dataset, settings))
    assert without.system(Role.BASE) is None
    assert any("The base model far-1 was not asked" in reason for reason in without.reasons)

    rt.registry.set_endpoint(BASE, Endpoint(server, BASE), now=NOW)
    served = result_of(rt, run(dataset, settings.model_copy(update={"seed": 1})))

    assert served.system(Role.BASE).version == BASE


def test_a_stable_version_that_is_the_base_model_is_asked_once(rt, dataset, chat, server):
    rt.registry.set_endpoint(BASE, Endpoint(server, BASE), now=NOW)
    settings = SETTINGS.model_copy(update={"include_base": True})

    stage = evaluation.evaluate_model.fn(CANDIDATE, BASE, dataset, settings)

    assert len(chat.asked) == 12
    assert "The stable version is the base model far-1 itself" in result_of(rt, stage).reasons


def test_nothing_of_a_dataset_stays_that_is_erased_while_it_is_evaluated(rt, dataset, chat):
    def erase_at_the_end(_model, prompt):
        if len(chat.asked) == 12:
            with rt.engine.begin() as connection:
                connection.execute(sa.update(datasets).where(datasets.c.id == dataset).values(retired_at=NOW))
        return prompt

    chat.says = erase_at_the_end

    with pytest.raises(ErasedError, match=dataset):
        run(dataset)

    assert list(rt.objects.list_keys(layout.EVALUATIONS)) == []
    assert rt.evaluations.all() == []


def test_nothing_stays_of_a_dataset_that_is_erased_just_before_the_record(rt, dataset, monkeypatch):
    seen = []

    def erase(*_args, **_options):
        seen.extend(rt.objects.list_keys(layout.EVALUATIONS))
        with rt.engine.begin() as connection:
            connection.execute(sa.update(datasets).where(datasets.c.id == dataset).values(retired_at=NOW))

    monkeypatch.setattr(evaluation, "create_markdown_artifact", erase)

    with pytest.raises(ErasedError, match=dataset):
        run(dataset)

    assert len(seen) == 2
    assert list(rt.objects.list_keys(layout.EVALUATIONS)) == []


@pytest.mark.slow
def test_topics_are_learned_on_what_was_trained_on_and_name_slices(rt, tmp_path):
    kinds = [f"courier{letter} parcel{letter} address{letter} depot{letter}" for letter in "abcdefgh"]
    examples = [
        example(25 * kind + n, split="train" if n < 15 else "test", prompt=f"{words} {n}")
        for kind, words in enumerate(kinds)
        for n in range(25 if kind < 2 else 15)
    ]
    dataset = Shelf(rt.engine, rt.objects, tmp_path).put(examples).dataset_id

    slices = result_of(rt, run(dataset, SETTINGS.model_copy(update={"slices": ("topic",)}))).slices

    named = {"".join(sorted({word[-1] for word in one.value.split(", ")})) for one in slices}
    assert named == {"a", "b"}


def test_why_there_are_no_topics_is_told(rt, dataset):
    result = result_of(rt, run(dataset, SETTINGS.model_copy(update={"slices": ("topic",)})))

    assert any(
        reason.startswith("Topics are not told apart: 1 prompts share only") for reason in result.reasons
    )
