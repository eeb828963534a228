"""What the train stage asks before a job, and writes down after it."""

from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from gateway_tuning.cycles.plan import TrainingPlan
from gateway_tuning.errors import BudgetError, ClosedError
from gateway_tuning.settings import Settings
from gateway_tuning.storage.object_store import ObjectStore
from gateway_tuning.training import catalog
from gateway_tuning.training.cost.reservations import ReservationStore
from gateway_tuning.training.job import JobStatus, ProviderJob, TuningSpec
from gateway_tuning.training.provider import Capabilities
from tasks import costs as tasks
from tasks.runtime import Runtime, now
from tests.unit.datasets.shelf import Shelf, example

PRICES = """
[[tariff]]
provider = "acme"
charges = ["million_training_tokens"]
[[price]]
provider = "acme"
unit = "million_training_tokens"
amount = "1000"
valid_from = 2026-01-01
"""


@pytest.fixture
def shown():
    return []


@pytest.fixture
def rt(tmp_path, engine, monkeypatch, shown):
    (tmp_path / "prices.toml").write_text(PRICES)
    url = engine.url.render_as_string(hide_password=False)
    found = Runtime(
        Settings(_env_file=None, home=tmp_path, database_url=url, price_file=tmp_path / "prices.toml")
    )
    offered = Capabilities({"supervised": "chat"}, None, 1)
    # There is no Prefect here to show anything.
    monkeypatch.setattr(tasks, "create_markdown_artifact", lambda text, **_: shown.append(text))
    for name in ("acme", "mistral", "cohere"):
        monkeypatch.setitem(catalog._BUILT_IN, name, lambda _settings: SimpleNamespace(capabilities=offered))
    yield found
    found.engine.dispose()


@pytest.fixture
def spec(rt, engine, tmp_path):
    shelf = Shelf(engine, ObjectStore.from_settings(rt.settings), tmp_path)
    manifest = shelf.put([example(number) for number in range(12)])
    return TuningSpec("acme", "m", manifest.dataset_id, hyperparameters={"epochs": 1})


def plan(**changes):
    return TrainingPlan(provider="acme", base_model="m", **changes)


def test_the_estimate_is_shown_and_set_aside_before_the_job_is_declared(rt, spec, shown):
    tasks.check_job(rt, spec, plan())

    (reserved,) = ReservationStore(rt.engine).of("default")
    assert reserved.ceiling is not None
    assert f"# What job `{reserved.job_key[:12]}` may cost" in shown[0]
    assert "tokens (1 epochs) at 1000 USD a million" in shown[0]
    assert rt.jobs.all() == []


def test_a_job_over_its_cap_is_refused_and_nothing_is_shown(rt, spec, shown):
    with pytest.raises(BudgetError, match="max_cost of 0"):
        tasks.check_job(rt, spec, plan(max_cost="0.0001"))

    assert shown == []


def test_a_job_for_a_base_model_that_has_ended_is_refused_before_its_cost_is_asked(rt, spec, shown):
    closed = TuningSpec("cohere", "command-r", spec.dataset_id)

    with pytest.raises(ClosedError, match=f"export {spec.dataset_id} --for trl-sft"):
        tasks.check_job(rt, closed, plan())

    assert (shown, ReservationStore(rt.engine).of("default")) == ([], [])


def test_a_base_model_that_is_ending_is_told_in_an_artifact_and_the_job_goes_on(rt, spec, shown):
    tasks.check_job(rt, TuningSpec("mistral", "open-mistral-7b", spec.dataset_id), plan())

    assert shown[0].startswith("# A base model ends")
    assert "Nobody knows what it costs" in shown[1]


def test_what_an_ended_job_did_cost_takes_the_place_of_what_was_set_aside(rt, spec):
    tasks.check_job(rt, spec, plan())
    key = rt.jobs.intend(spec, tenant="default", now=now()).key
    rt.jobs.record(key, ProviderJob("p1", JobStatus.SUCCEEDED, metrics={"tokens": 500.0}), now=now())
    for _ in range(2):
        tasks.record_cost(rt, rt.jobs.get(key))

    (entry,) = rt.costs.page("default", limit=9)
    assert str(entry.amount) == "0.5000"
    assert ReservationStore(rt.engine).get(key).actual == entry.amount


def test_a_plan_with_a_cap_is_the_same_after_a_trip_through_json():
    made = plan(max_cost="12.50", max_cost_currency="EUR")

    assert TrainingPlan.model_validate(made.model_dump(mode="json")) == made


def test_what_a_provider_ends_does_not_end_at_another_server_with_its_api(rt, spec, shown, monkeypatch):
    at_openai = TuningSpec("openai", "gpt-4.1-mini-2025-04-14", spec.dataset_id)
    settings = rt.settings.model_copy(update={"openai_base_url": "http://127.0.0.1:8090/v1"})
    monkeypatch.setattr(tasks, "now", lambda: datetime(2027, 2, 1, tzinfo=UTC))

    with pytest.raises(ClosedError):
        tasks.check_job(rt, at_openai, plan())
    elsewhere = Runtime(settings)
    tasks.check_job(elsewhere, at_openai, plan())
    elsewhere.engine.dispose()

    assert [text for text in shown if "A base model ends" in text] == []


def test_a_job_that_its_provider_has_goes_on_after_the_base_model_was_closed(rt, spec):
    closed = TuningSpec("cohere", "command-r", spec.dataset_id)
    key = rt.jobs.intend(closed, tenant="default", now=now()).key
    rt.jobs.record(key, ProviderJob("p1", JobStatus.RUNNING), now=now())

    tasks.check_job(rt, closed, plan())

    assert rt.jobs.get(key).status is JobStatus.RUNNING


def test_jobs_that_ended_without_their_run_are_told_until_their_cost_is_written_down(rt, spec):
    refused, ended, running = (replace(spec, seed=seed) for seed in (1, 2, 3))
    keys = []
    for one in (refused, ended, running):
        tasks.check_job(rt, one, plan())
        keys.append(rt.jobs.intend(one, tenant="default", now=now()).key)
    rt.jobs.refuse(keys[0], "no", now=now())
    rt.jobs.record(keys[1], ProviderJob("p1", JobStatus.CANCELLED, metrics={"tokens": 500.0}), now=now())
    rt.jobs.record(keys[2], ProviderJob("p2", JobStatus.RUNNING), now=now())

    assert rt.costs.uncounted() == keys[:2]
    for key in keys[:2]:
        tasks.record_cost(rt, rt.jobs.get(key))

    assert rt.costs.uncounted() == []
    set_aside = ReservationStore(rt.engine).get
    assert [str(set_aside(key).counts) for key in keys[:2]] == ["0", "0.5000"]


def test_what_is_set_aside_for_the_next_beginning_of_a_refused_job_is_left_alone(rt, spec):
    tasks.check_job(rt, spec, plan())
    key = rt.jobs.intend(spec, tenant="default", now=now()).key
    rt.jobs.refuse(key, "no", now=now())
    tasks.record_cost(rt, rt.jobs.get(key))

    tasks.check_job(rt, spec, plan())  # and its run is just about to declare it

    assert rt.costs.uncounted() == []
