from dataclasses import replace
from decimal import Decimal

import pytest

from gateway_tuning.errors import BudgetError, ConfigurationError
from gateway_tuning.training.cost.budgets import BudgetStore
from gateway_tuning.training.cost.entries import CostStore
from gateway_tuning.training.cost.limits import Budget
from gateway_tuning.training.cost.reservations import ReservationStore, State
from gateway_tuning.training.job import JobStatus, ProviderJob, TuningSpec
from gateway_tuning.training.jobs import JobStore
from tests.conftest import NOW


@pytest.fixture
def spec(manifest):
    return TuningSpec("acme", "m-1", manifest.dataset_id, hyperparameters={"n_epochs": 2})


@pytest.fixture
def check(counter, manifest):
    def checked(spec, max_cost=None):
        return counter.check_affordable(
            spec, manifest, max_hours=6.0, max_cost=max_cost, currency="USD", now=NOW
        )

    return checked


@pytest.fixture
def end(counter, spec):
    """Declare the job and let it end so."""

    def ended(status=JobStatus.SUCCEEDED, job_id="p1", chosen=spec, **metrics):
        jobs = JobStore(counter.engine)
        key = jobs.intend(chosen, tenant="default", now=NOW).key
        if job_id is None:
            jobs.refuse(key, "no", now=NOW)
        else:
            jobs.record(key, ProviderJob(job_id, status, metrics=metrics), now=NOW)
        return jobs.get(key)

    return ended


def test_the_tokens_of_what_is_trained_on_are_counted_by_epochs_and_priced(counter, manifest, spec):
    once = counter.estimate(replace(spec, hyperparameters={"n_epochs": 1}), manifest, max_hours=6, now=NOW)
    twice = counter.estimate(spec, manifest, max_hours=6, now=NOW)

    assert once.tokens > 12 * 10
    assert twice.tokens == 2 * once.tokens
    assert twice.expected == Decimal(twice.tokens) / 1000


def test_a_method_whose_examples_the_dataset_lacks_has_nothing_to_train_on(counter, manifest, spec):
    assert counter.estimate(replace(spec, method="dpo"), manifest, max_hours=6, now=NOW).tokens == 0


def test_money_is_set_aside_once_before_any_job_is_known(counter, check, spec):
    first, again = check(spec), check(spec, max_cost=Decimal(0))

    assert first == again
    assert first.state is State.RESERVED
    assert JobStore(counter.engine).all() == []


def test_a_run_over_its_cap_is_refused_and_goes_through_once_the_cap_is_raised(check, spec):
    with pytest.raises(BudgetError, match=r"max_cost of 0\.01 USD"):
        check(spec, max_cost=Decimal("0.01"))

    assert check(spec, max_cost=Decimal(100)).ceiling < 100


def test_a_capped_run_of_unknown_price_is_refused_until_the_price_is_given(check, spec, price_file):
    other = replace(spec, base_model="x-1")

    with pytest.raises(
        BudgetError, match=r"million training tokens of x-1 \(supervised\) at acme is not known"
    ):
        check(other, max_cost=Decimal(100))
    price_file.write_text(price_file.read_text().replace("m-*", "*"))
    assert check(other, max_cost=Decimal(100)).ceiling is not None


def test_an_uncapped_run_of_unknown_price_goes_on_and_is_remembered_as_unknown(check, spec):
    assert check(replace(spec, base_model="x-1")).ceiling is None


def test_a_job_that_its_provider_has_already_is_not_stopped_by_a_cap(check, end, spec):
    end(JobStatus.RUNNING)

    assert check(spec, max_cost=Decimal(0)) is None


def test_an_unknown_provider_is_told_before_anything_is_counted(check, spec):
    with pytest.raises(ConfigurationError, match="No training provider 'nobody'"):
        check(replace(spec, provider="nobody"))


def test_what_a_job_did_cost_is_recorded_once_and_shown_beside_the_estimate(counter, check, end, spec):
    reserved = check(spec)
    job = end(tokens=500.0)
    for _ in range(2):
        counter.record_actual(job, now=NOW)

    (entry,) = CostStore(counter.engine).page("default", limit=9)
    assert (entry.amount, entry.expected) == (Decimal("0.5"), reserved.expected)
    assert ReservationStore(counter.engine).get(job.key).ratio == Decimal("0.5") / reserved.expected


def test_a_failed_job_without_figures_goes_on_counting_with_what_was_set_aside(counter, check, end, spec):
    reserved = check(spec)
    counter.record_actual(end(JobStatus.FAILED), now=NOW)

    assert ReservationStore(counter.engine).spending("default", "2026-11").amounts == {
        "USD": reserved.ceiling
    }


def test_a_job_that_its_provider_refused_costs_nothing_and_can_be_paid_for_later(counter, check, end, spec):
    check(spec)

    assert counter.record_actual(end(job_id=None), now=NOW) is None
    assert ReservationStore(counter.engine).spending("default", "2026-11").amounts == {"USD": 0}

    check(spec)
    counter.record_actual(end(tokens=1000.0), now=NOW)
    assert [entry.amount for entry in CostStore(counter.engine).page("default", limit=9)] == [1]


def test_once_the_price_is_given_what_was_unknown_is_priced_whether_it_has_ended_or_not(
    counter, check, end, spec, price_file
):
    ended, running = replace(spec, base_model="x-1"), replace(spec, base_model="x-2")
    for one in (ended, running):
        check(one)
    counter.record_actual(end(chosen=ended, tokens=1000.0), now=NOW)
    job = end(JobStatus.RUNNING, chosen=running)
    assert len(ReservationStore(counter.engine).spending("default", "2026-11").unknown) == 2
    assert counter.reprice("default", now=NOW) == ()

    price_file.write_text(price_file.read_text().replace("m-*", "*"))

    assert len(counter.reprice("default", now=NOW)) == 2
    assert counter.reprice("default", now=NOW) == ()
    spending = ReservationStore(counter.engine).spending("default", "2026-11")
    assert spending.unknown == ()
    assert spending.amounts == {"USD": 1 + ReservationStore(counter.engine).get(job.key).ceiling}


def test_hours_are_those_of_earlier_jobs_of_the_model(counter, manifest, end, spec, price_file):
    price_file.write_text(
        '[[tariff]]\nprovider = "acme"\ncharges = ["training_hour"]\n'
        '[[price]]\nprovider = "acme"\nunit = "training_hour"\namount = "10"\nvalid_from = 2026-01-01\n'
    )
    before = counter.estimate(spec, manifest, max_hours=6, now=NOW)
    counter.record_actual(
        end(chosen=replace(spec, seed=1), tokens=float(before.tokens), train_seconds=360.0), now=NOW
    )
    after = counter.estimate(spec, manifest, max_hours=6, now=NOW)

    assert (before.expected, after.expected) == (60, 1)
    assert "1 earlier job took" in after.why


def test_a_tenants_budget_is_asked_as_well(counter, check, spec):
    BudgetStore(counter.engine).set("default", Budget(per_month=Decimal("0.01")), by="test", now=NOW)

    with pytest.raises(BudgetError, match="for 2026-11"):
        check(spec)


def test_a_tokenizer_of_ones_own_is_asked_and_one_that_cannot_be_read_is_told(
    counter, manifest, spec, price_file, home
):
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = Tokenizer(models.BPE())
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    path = home / "words.json"
    words.save(str(path))
    text = price_file.read_text()
    price_file.write_text(f'{text}\n[[tokenizer]]\nmodel = "m-*"\npath = "{path}"\n')
    found = counter.estimate(spec, manifest, max_hours=6, now=NOW)
    assert "words.json" in found.why

    path.write_text("{}")
    price_file.write_text(f'{text}\n[[tokenizer]]\nmodel = "m-*"\npath = "{home / "other.json"}"\n')
    with pytest.raises(ConfigurationError, match=r"is no tokenizer\.json that can be read"):
        counter.estimate(spec, manifest, max_hours=6, now=NOW)
