"""An evaluation as its task makes it: once, found again, with everything on object storage and nothing left in between."""

import io
from datetime import timedelta

import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa

pytest.importorskip("openai", reason="the openai extra is not installed")

from gateway_tuning.drift.store import StoredDriftReport
from gateway_tuning.errors import ErasedError
from gateway_tuning.evaluation.result import read_result
from gateway_tuning.evaluation.running.asking import Prediction
from gateway_tuning.evaluation.running.store import Kept, PredictionStore
from gateway_tuning.evaluation.scored import Role
from gateway_tuning.evaluation.scoring.factuality.scorer import FactualityScorer
from gateway_tuning.evaluation.settings import EvaluationSettings
from gateway_tuning.registry.endpoint import Endpoint
from gateway_tuning.registry.model_version import ModelVersion
from gateway_tuning.rollout.gate import GatePolicy
from gateway_tuning.settings import Settings
from gateway_tuning.storage import layout
from gateway_tuning.storage.tables import datasets, predictions
from tasks import evaluation, rollout
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


@pytest.fixture
def decide(rt, monkeypatch):
    """The gate's stage on an evaluation, after a drift check that found nothing."""
    monkeypatch.setattr(rollout, "runtime", lambda: rt)
    monkeypatch.setattr(rollout, "create_markdown_artifact", lambda *_, **__: None)
    drift = {"state": "no_drift", "reasons": []}
    rt.drift.add(StoredDriftReport("drift-1", "default", "ds-2", "ds-1", drift, NOW))

    def decided(stage, **policy):
        hard = dict.fromkeys(("min_json_validity", "max_personal_data", "max_more_refusals"))
        return rollout.decide_gate.fn(stage.id, "drift-1", GatePolicy(**hard | policy))

    return decided


def page_of(rt, stage):
    return rt.objects.read(layout.evaluation_file(stage.id, "report.html")).decode()


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
    first, again = artifacts
    assert again == first
    assert run(dataset, SETTINGS.model_copy(update={"seed": 1})).id != stage.id


def test_everything_lies_on_object_storage_and_nothing_in_between(rt, dataset):
    stage = run(dataset)

    table = pq.read_table(
        io.BytesIO(rt.objects.read(layout.evaluation_file(stage.id, "predictions.parquet")))
    )
    page = page_of(rt, stage)
    assert table.num_rows == 12
    assert set(table["role"].to_pylist()) == {"candidate", "stable"}
    assert table["score_similarity"].null_count == 0
    assert f"{CANDIDATE} against {STABLE}" in page
    assert page.count('<svg class="spread"') == 3  # similarity, latency, tokens
    assert rows(rt) == 0


def test_the_stored_page_tells_what_the_gate_decided_with_its_reasons_and_all_that_it_told_before(
    rt, dataset, decide
):
    stage = run(dataset)
    before = page_of(rt, stage)

    found = decide(stage, min_examples=7)
    page = page_of(rt, stage)

    assert "Gate:" not in before
    assert "<h2>Gate: inconclusive</h2>\n<ul>\n<li>6 held-out examples, 7 needed</li>" in page
    assert found.id == "inconclusive"
    assert "Undecided: " in page
    assert page.partition('<h2 id="unknown">')[2] == before.partition('<h2 id="unknown">')[2] != ""


def test_a_gate_that_is_decided_again_leaves_the_same_page_whatever_was_evaluated_since(rt, dataset, decide):
    stage = run(dataset)
    decide(stage)
    page = page_of(rt, stage)
    later = run(dataset, SETTINGS.model_copy(update={"seed": 1}))

    decide(stage)

    assert page_of(rt, stage) == page
    assert stage.id in page_of(rt, later)


def test_the_gate_brings_no_page_of_an_erased_dataset_back(rt, dataset, decide):
    stage = run(dataset)
    for name in ("report.html", "predictions.parquet"):
        rt.objects.delete(layout.evaluation_file(stage.id, name))

    decide(stage)

    assert list(rt.objects.list_keys(layout.EVALUATIONS)) == []


def test_a_page_that_the_gate_writes_while_its_dataset_is_erased_goes(rt, dataset, decide):
    stage = run(dataset)
    with rt.engine.begin() as connection:
        connection.execute(sa.update(datasets).where(datasets.c.id == dataset).values(retired_at=NOW))

    decide(stage)

    assert not rt.objects.exists(layout.evaluation_file(stage.id, "report.html"))


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


def test_a_comparison_in_which_a_scorer_broke_can_be_made_again_and_is_found_once_it_is_whole(
    rt, dataset, monkeypatch
):
    def breaks(_items):
        raise OSError("no such model file")

    settings = SETTINGS.model_copy(update={"metrics": ("similarity", "factuality")})
    with monkeypatch.context() as broken:
        broken.setattr(FactualityScorer, "score", lambda _self, items: breaks(items))
        first = run(dataset, settings)
    second = run(dataset, settings)

    assert result_of(rt, first).comparison("factuality") is None
    assert result_of(rt, second).comparison("factuality") is not None
    assert second.id == f"{first.id}-2"
    assert run(dataset, settings) == second


def test_a_comparison_whose_probes_cannot_be_made_is_found_again(rt, dataset, chat):
    settings = SETTINGS.model_copy(update={"probes": 2})
    stage = run(dataset, settings)
    asked = len(chat.asked)

    assert "sycophancy" in result_of(rt, stage).cards
    assert run(dataset, settings) == stage
    assert len(chat.asked) == asked


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
