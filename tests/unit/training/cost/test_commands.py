"""`gateway-tuning costs`, `budgets` and `providers` as a person types them."""

import json
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from gateway_tuning.registry.model_version import ModelVersion
from gateway_tuning.registry.store import Registry
from gateway_tuning.training.cost.estimate import Confidence, Estimate
from gateway_tuning.training.cost.reservations import ReservationStore
from gateway_tuning.training.job import JobStatus, ProviderJob, TuningSpec
from gateway_tuning.training.jobs import JobStore, job_key
from tests.conftest import NOW


@pytest.fixture
def spec(manifest):
    return TuningSpec("acme", "m-1", manifest.dataset_id, hyperparameters={"n_epochs": 2})


@pytest.fixture
def reserved(counter, manifest, spec):
    return counter.check_affordable(spec, manifest, max_hours=6, max_cost=None, currency="USD", now=NOW)


def test_an_estimate_is_shown_with_its_parts_and_its_confidence(run, manifest):
    shown = run(
        "costs", "estimate", manifest.dataset_id, "--provider", "acme", "--model", "m-1", "--epochs", 1
    )

    assert shown.exit_code == 0
    assert "at 1000 USD a million" in shown.output
    assert "USD expected" in shown.output
    assert "medium confidence: tokens are counted by characters" in shown.output


def test_an_estimate_that_nobody_knows_ends_with_1_and_says_what_is_missing(run, manifest):
    shown = run("costs", "estimate", manifest.dataset_id, "--provider", "acme", "--model", "x", "--epochs", 1)

    assert shown.exit_code == 1
    assert "of x (supervised) at acme is not known" in shown.output


def test_a_report_has_the_estimate_beside_the_cost_and_what_is_left(run, counter, spec, reserved):
    jobs = JobStore(counter.engine)
    key = jobs.intend(spec, tenant="default", now=NOW).key
    jobs.record(key, ProviderJob("p1", JobStatus.SUCCEEDED, metrics={"tokens": 500.0}), now=NOW)
    counter.record_actual(jobs.get(key), now=NOW)
    run("budgets", "set", "--per-month", "20")

    shown = run("costs", "report", "--month", "2026-11")
    listed = run("costs", "list")

    assert f"{key[:12]}  acme      m-1         settled  {reserved.expected}" in shown.output
    assert "2026-11: 0.50 USD spent or set aside" in shown.output
    assert "19.50 USD of 20.00 USD are left" in shown.output
    assert "1 earlier job cost" in shown.output
    assert "500 tokens at 1000 USD" in listed.output


def test_limits_are_set_kept_and_lifted(run):
    run("budgets", "set", "--per-run", "5", "--per-month", "50", "--currency", "EUR")
    run("budgets", "set", "--per-run", "none")

    shown = run("budgets", "show")

    assert shown.output.splitlines()[1].split()[:4] == ["default", "-", "50", "EUR"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--per-run", "much"], "a decimal such as 250"),
        (["--per-run", "inf"], "for none say none"),
        (["--per-month", "-1"], "give 0 or more"),
        (["--currency", "dollars"], "three capital letters"),
    ],
)
def test_a_limit_that_cannot_be_is_refused(run, arguments, told):
    refused = run("budgets", "set", *arguments)

    assert refused.exit_code == 1
    assert told in refused.output


def test_what_a_run_that_was_given_up_set_aside_is_freed_by_hand(run, counter, reserved):
    freed = run("costs", "release", reserved.job_key[:12])

    assert freed.exit_code == 0
    assert ReservationStore(counter.engine).get(reserved.job_key).counts == 0


def test_what_a_job_at_its_provider_set_aside_is_not_freed(run, counter, spec, reserved):
    jobs = JobStore(counter.engine)
    jobs.record(
        jobs.intend(spec, tenant="default", now=NOW).key, ProviderJob("p1", JobStatus.RUNNING), now=NOW
    )

    refused = run("costs", "release", reserved.job_key)

    assert refused.exit_code == 1
    assert "is running at acme" in refused.output


def test_prices_are_listed_with_their_sources_and_ones_own_as_yours(run):
    every, own = run("costs", "prices").output, run("costs", "prices", "--provider", "acme").output

    assert "https://fireworks.ai/pricing" in every
    assert own.splitlines()[1].split()[-1] == "yours"


def test_the_providers_are_listed_and_so_is_what_is_known_of_their_models(run):
    listed = run("providers", "list", "--date", "2026-11-26", "--json")

    models = {(row["provider"], row["model"]): row for row in json.loads(listed.output)}
    assert "llama" in run("providers").output
    assert models["bedrock", "anthropic.claude-3-haiku-20240307*"]["state"] == "closed"
    assert models["openai", "*"]["no_new_jobs_from"] == "2027-01-06"


def test_nothing_in_use_is_nothing_to_warn_of(run):
    checked = run("providers", "check")

    assert checked.exit_code == 0
    assert "No base model is in use" in checked.output


@pytest.mark.parametrize(("day", "state", "code"), [("2027-01-13", "ending", 0), ("2027-01-14", "closed", 1)])
def test_a_version_that_serves_users_is_checked_by_when_serving_ends(run, counter, day, state, code):
    registry = Registry(counter.engine)
    registry.register(
        ModelVersion(
            id="v1",
            tenant="default",
            model="assistant",
            base_model="gpt-4o-mini-2024-07-18",
            provider="openai",
            created_at=NOW,
            job_key="j1",
            served_model="ft:1",
        )
    )
    registry.point("assistant", "stable", "v1", reason="test", now=NOW)

    checked = run("providers", "check", "--date", day)
    as_json = run("providers", "check", "--date", day, "--json")

    assert checked.exit_code == as_json.exit_code == code
    assert "datasets export" in checked.output
    assert [(use["found"]["state"], use["what"]) for use in json.loads(as_json.output)] == [
        (state, "v1 (stable)")
    ]


def test_a_model_that_is_not_in_use_can_be_asked_for(run):
    closed = run("providers", "check", "--provider", "cohere", "--model", "command-r", "--date", "2026-11-26")
    half = run("providers", "check", "--provider", "cohere")

    assert (closed.exit_code, half.exit_code) == (1, 1)
    assert "takes no more tuning jobs for command-r since 2025-09-15" in closed.output
    assert "--model together" in half.output


def test_a_provider_stands_for_its_format_of_demonstrations(run, manifest):
    exported = run("datasets", "export", manifest.dataset_id, "--for", "together")

    assert exported.exit_code == 0
    assert "12 of 12 examples written as together-sft" in exported.stderr


def test_costs_that_have_no_amount_are_priced_when_the_price_is_known(run, counter, spec, price_file):
    jobs, other = JobStore(counter.engine), TuningSpec("acme", "x-1", spec.dataset_id)
    key = jobs.intend(other, tenant="default", now=NOW).key
    jobs.record(key, ProviderJob("p1", JobStatus.SUCCEEDED, metrics={"tokens": 500.0}), now=NOW)
    assert counter.record_actual(jobs.get(key), now=NOW).amount is None
    price_file.write_text(price_file.read_text().replace("m-*", "*"))

    assert run("costs", "reprice").output == f"1 priced: {job_key(other)[:12]}\n"
    assert Decimal("0.5") == counter.record_actual(jobs.get(key), now=NOW).amount


def test_a_month_that_is_none_is_refused_and_not_reported_as_empty(run):
    refused = run("costs", "report", "--month", "november")

    assert refused.exit_code == 1
    assert "such as 2026-11, not 'november'" in refused.output


def test_what_was_spent_in_another_currency_than_the_budgets_is_shown_and_not_as_nothing(
    run, counter, reserved
):
    at = datetime.now(UTC)
    spec = TuningSpec("acme", "m-1", "ds-1")
    found = Estimate("EUR", (), Confidence.HIGH, (), 1, None, Decimal(3), Decimal(4))
    ReservationStore(counter.engine).reserve("k", spec, found, tenant="default", now=at)
    run("budgets", "set", "--per-month", "50")

    assert "4.00 EUR" in run("budgets", "show").output
