"""A search from its plan to its verdict, on both databases, with jobs that a test writes down."""

import os
import signal
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from pydantic import ValidationError

from gateway_tuning.errors import ConflictError, NotFoundError, ProviderUnavailableError
from gateway_tuning.storage.database import open_database
from gateway_tuning.training.search.budget import Price
from gateway_tuning.training.search.conducting import conduct
from gateway_tuning.training.search.store import SearchStore
from gateway_tuning.training.search.trial import Role, TrialState
from tests.conftest import NOW
from tests.unit.training.search.conftest import Scripted, make_plan

RATES = ({"type": "categorical", "name": "rate", "options": [0.1, 0.2, 0.3, 0.4]},)
HALVING = {"kind": "successive_halving", "min_steps": 2, "reduction_factor": 2}
STATES = ("running", "complete", "pruned", "stopped", "failed")


def states(trials):
    return [trial.state.value for trial in trials]


def by_rate(**curves):
    """Losses by a job's rate, those of the defaults under `default`."""

    def losses(spec):
        rate = spec.hyperparameters.get("rate")
        return curves["default" if rate is None else f"r{round(10 * rate)}"]

    return losses


def test_the_defaults_are_trial_0_and_the_budget_of_trials_counts_them(scripted):
    search, trials = scripted.search(make_plan(budget={"trials": 4}))

    assert [trial.role for trial in trials] == [Role.DEFAULT, *[Role.SEARCH] * 3]
    assert trials[0].hyperparameters == {}
    assert search.ended_by == "trials: all 4 were begun"
    assert len(scripted.creates) == 4


def test_the_best_is_told_against_the_defaults_and_its_plan_is_the_one_to_train_by(scripted):
    scripted.losses = by_rate(default=[0.5], r1=[0.7], r2=[0.25], r3=[0.6], r4=[0.55])

    search, trials = scripted.search(make_plan(*RATES, training={"hyperparameters": {"rank": 4}}))

    result = search.result
    assert result["verdict"] == "beaten once"
    assert result["gain"] == pytest.approx(0.25)
    assert result["training"]["hyperparameters"] == {"rank": 4, "rate": 0.2}
    assert "0.2500" in result["told"]
    assert "noise is not known" in result["told"]
    assert search.ended_by.startswith("space:")
    assert states(trials) == ["complete"] * 5


def test_a_search_that_finds_nothing_better_says_so_and_keeps_the_defaults(scripted):
    scripted.losses = by_rate(default=[0.1], r1=[0.7], r2=[0.25], r3=[0.6], r4=[0.1])

    search, _ = scripted.search(make_plan(*RATES))

    assert search.result["verdict"] == "not beaten"
    assert search.result["told"] == (
        "The default is not beaten: none of 4 other trials is better than its validation loss of 0.1000"
    )
    assert search.result["training"]["hyperparameters"] == {}


@pytest.mark.parametrize(
    ("gains", "verdict"),
    [
        ([0.30, 0.31, 0.29], "beaten"),
        ([0.3, -0.3, 0.05], "within noise"),
        ([-0.3, -0.31, -0.29], "not beaten"),
    ],
)
def test_with_more_seeds_a_gain_is_held_against_its_noise(scripted, gains, verdict):
    def losses(spec):
        if spec.seed == 0:
            return [{None: 0.5, 0.2: 0.2}.get(spec.hyperparameters.get("rate"), 0.9)]
        return [0.5 if not spec.hyperparameters else 0.5 - gains[spec.seed - 1]]

    scripted.losses = losses
    search, trials = scripted.search(make_plan(*RATES, confirm=3, parallel=3))

    assert search.result["verdict"] == verdict
    assert search.result["gain"] == pytest.approx(sum(gains) / 3)
    assert [trial.role for trial in trials[5:]] == [Role.CONFIRM_DEFAULT, Role.CONFIRM_BEST] * 3
    assert search.result["training"]["hyperparameters"] == ({"rate": 0.2} if verdict == "beaten" else {})


def test_a_space_that_is_used_up_is_confirmed_too(scripted):
    scripted.losses = by_rate(default=[0.5], r1=[0.7], r2=[0.25], r3=[0.6], r4=[0.55])

    _, trials = scripted.search(make_plan(*RATES, confirm=2))

    assert [trial.seed for trial in trials[5:]] == [1, 1, 2, 2]


def test_without_the_defaults_value_the_verdict_is_unknown_and_never_a_gain(scripted):
    scripted.losses = by_rate(default="too few examples", r1=[0.7], r2=[0.2], r3=[0.6], r4=[0.5])

    search, trials = scripted.search(make_plan(*RATES))

    assert states(trials)[0] == "failed"
    assert trials[0].message == "too few examples"
    assert search.result["verdict"] == "unknown"
    assert search.result["training"]["hyperparameters"] == {}


def test_the_defaults_alone_are_no_comparison(scripted):
    search, _ = scripted.search(make_plan(budget={"trials": 1}))

    assert (search.result["verdict"], search.result["gain"]) == ("unknown", None)
    assert "stands alone" in search.result["told"]


def test_a_metric_that_is_better_when_higher_is_maximized(scripted):
    scripted.losses = by_rate(default=[0.5], r1=[0.1], r2=[0.9], r3=[0.6], r4=[0.55])
    objective = {"metric": "validation_loss", "direction": "maximize"}

    search, _ = scripted.search(make_plan(*RATES, objective=objective))

    assert search.result["training"]["hyperparameters"] == {"rate": 0.2}


def test_a_job_that_tells_no_value_or_one_that_is_no_number_is_a_failed_trial_and_never_zero(scripted):
    scripted.losses = by_rate(default=[0.5], r1=[float("nan")], r2=[0.4], r3=[float("inf")], r4=[0.6])

    search, trials = scripted.search(make_plan(*RATES))

    told = {trial.hyperparameters.get("rate"): (trial.state.value, trial.value) for trial in trials}
    assert told[0.1] == told[0.3] == ("failed", None)
    assert search.result["best"]["value"] == 0.4


def test_three_failures_in_a_row_end_a_search_with_the_reason(scripted):
    scripted.losses = lambda spec: "quota exceeded"

    search, trials = scripted.search(make_plan())

    assert len(trials) == 3
    assert search.ended_by == "failures: 3 trials in a row failed, the last because: quota exceeded"


def test_a_trial_that_is_worse_on_the_way_is_stopped_at_its_provider(scripted):
    bad, good = [3.0] * 8, [1.0] * 8
    scripted.losses = by_rate(default=good, r1=bad, r2=good, r3=bad, r4=bad)

    search, trials = scripted.search(make_plan(*RATES, pruning=HALVING))

    pruned = [trial for trial in trials if trial.state is TrialState.PRUNED]
    assert {trial.hyperparameters["rate"] for trial in pruned} == {0.1, 0.3, 0.4}
    assert set(scripted.stops) == {trial.job_key for trial in pruned}
    assert all(len(trial.reports) < 8 for trial in pruned)
    assert pruned[0].message == "worse than others at step 2"
    assert pruned[0].value == 3.0
    assert search.result["verdict"] == "not beaten"


@pytest.mark.parametrize("parallel", [1, 2, 5])
def test_no_more_trials_run_at_a_time_than_the_plan_allows(scripted, parallel):
    scripted.losses = lambda spec: [1.0, 0.9, 0.8]

    scripted.search(make_plan(parallel=parallel, budget={"trials": 9}))

    assert scripted.most_at_once == parallel


def test_when_the_time_is_over_running_trials_are_stopped_and_what_ended_before_counts(scripted):
    scripted.losses = lambda spec: [0.5] * (1 if not spec.hyperparameters else 100)
    scripted.tick_hours = 0.25

    search, trials = scripted.search(make_plan(budget={"hours": 1.0}, confirm=2))

    assert states(trials) == ["complete", "stopped"]
    assert search.ended_by == "time: 1 hours are over"
    assert len(scripted.stops) == 1


def test_money_is_set_aside_before_a_job_and_the_bill_takes_its_place(scripted):
    def spent_after(bill):
        one = replace(scripted, creates=[], known={}, bills=bill)
        return one.search(make_plan(budget={"money": Decimal(3)}, seed=len(bill)))

    search, trials = spent_after({})

    assert len(trials) == 3
    assert search.ended_by == ("money: 3 of 3 USD are spent or set aside, and the next job may cost 1")


def test_a_bill_below_the_estimate_leaves_money_for_more_trials(scripted):
    class Half(dict):
        def get(self, key, default=None):
            return Decimal("0.5")

    scripted.bills = Half()

    _, trials = scripted.search(make_plan(budget={"money": Decimal(3), "trials": 20}))

    assert len(trials) == 5  # 4 bills of 0.5 and 1 set aside are 3; a sixth might have cost more
    assert trials[0].cost == Decimal("0.5")


def test_a_job_of_unknown_price_does_not_begin_under_a_budget_of_money(scripted):
    scripted.prices = lambda spec: Price(None, told="no price list")

    search, trials = scripted.search(make_plan(budget={"money": Decimal(3)}))

    assert (trials, scripted.creates) == ([], [])
    assert search.ended_by.startswith("money: what the next job costs is not known (no price list)")
    assert search.result["verdict"] == "unknown"


def test_a_price_in_another_currency_is_not_added_up(scripted):
    scripted.prices = lambda spec: Price(Decimal(1), "EUR")

    search, trials = scripted.search(make_plan(budget={"money": Decimal(3)}))

    assert trials == []
    assert "priced in EUR, and the budget is in USD" in search.ended_by


def test_a_larger_budget_is_a_new_search_of_the_same_jobs_that_costs_for_the_new_ones_alone(scripted):
    scripted.search(make_plan(budget={"trials": 3, "money": Decimal(3)}))
    begun = list(scripted.creates)

    _, trials = scripted.search(make_plan(budget={"trials": 5, "money": Decimal(2)}))

    assert scripted.creates[:3] == begun
    assert len(scripted.creates) == 5
    assert [trial.price for trial in trials] == [Decimal(0)] * 3 + [Decimal(1)] * 2


def run_later(scripted, plan):
    """A day after whatever ran before."""
    later = replace(scripted.desk().time, now=lambda: NOW + timedelta(days=1))
    search = conduct(replace(scripted.desk(), time=later), scripted.open(plan).id)
    return search, SearchStore(scripted.engine).trials(search.id)


@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_trials_that_were_pruned_are_pruned_in_a_larger_search_too_and_do_not_end_it(scripted, sampler):
    rate = {"type": "discrete", "name": "rate", "min": 1, "max": 1000}
    scripted.losses = lambda spec: [float(spec.hyperparameters.get("rate", 0))] * 8  # the defaults are best
    fields = {"pruning": HALVING, "sampler": sampler, "startup_trials": 2}
    _, first = scripted.search(make_plan(rate, budget={"trials": 5}, **fields))

    search, trials = run_later(scripted, make_plan(rate, budget={"trials": 7}, **fields))

    assert states(first) == ["complete", *["pruned"] * 4]
    assert states(trials)[:5] == states(first)
    assert [trial.job_key for trial in trials[:5]] == [trial.job_key for trial in first]
    assert search.ended_by == "trials: all 7 were begun"


def test_trials_that_ran_out_of_time_do_not_count_as_failures_of_a_longer_search(scripted):
    scripted.losses = lambda spec: [0.5] * (1 if not spec.hyperparameters else 100)
    scripted.tick_hours = 0.25
    _, first = scripted.search(make_plan(budget={"hours": 1.0, "trials": 9}, parallel=4))
    scripted.losses, scripted.tick_hours = (lambda spec: [0.25]), 0.0

    search, trials = run_later(scripted, make_plan(budget={"hours": 9.0, "trials": 9}, parallel=4))

    assert states(first).count("stopped") == 4
    assert states(trials) == ["complete", *["stopped"] * 4, *["complete"] * 4]
    assert trials[1].message == (
        f"its job had been stopped before: stopped in search {first[0].search_id}: the time of the search was over"
    )
    assert search.ended_by == "trials: all 9 were begun"


def test_a_job_that_somebody_cancels_meanwhile_is_a_failed_trial(scripted):
    scripted.losses = lambda spec: [0.5] * 3

    def cancels(spec):
        if spec.hyperparameters and (jobs := scripted.jobs.unfinished()):
            scripted.jobs.request_stop(jobs[0].key, "by hand", now=NOW)

    scripted.fails = cancels
    _, trials = scripted.search(make_plan(budget={"trials": 2}))

    assert (states(trials), trials[1].message) == (["complete", "failed"], "by hand")


def test_nothing_more_is_confirmed_once_the_time_is_over(scripted):
    scripted.losses = lambda spec: [{None: 0.5}.get(spec.hyperparameters.get("rate"), 0.2)] * 2
    scripted.tick_hours = 0.25
    plan = make_plan(budget={"hours": 1.5, "trials": 2}, confirm=9)

    search, trials = scripted.search(plan)

    assert states(trials) == ["complete"] * 3
    assert search.ended_by == "time: 1.5 hours are over"
    assert scripted.stops == []


def test_runs_with_other_seeds_that_fail_are_told_as_such(scripted):
    scripted.losses = lambda spec: "quota exceeded" if spec.seed else [0.2 if spec.hyperparameters else 0.5]

    search, _ = scripted.search(make_plan(budget={"trials": 2}, confirm=2))

    assert "of the runs with other seeds 0 of each came to a value to compare" in search.result["told"]


def test_what_a_job_did_cost_is_told_without_a_budget_of_money_too(scripted):
    scripted.prices = lambda spec: Price(None, told="the search has no budget of money")
    scripted.bills = type("Bills", (), {"get": lambda _self, _key: Decimal("0.5")})()

    _, trials = scripted.search(make_plan(budget={"trials": 2}))

    assert [trial.committed for trial in trials] == [Decimal("0.5")] * 2


def test_a_provider_that_does_not_answer_ends_the_run_and_not_the_search(scripted):
    down = [True]

    def fails(spec):
        if down[0] and spec.hyperparameters:
            raise ProviderUnavailableError("no answer; run it again")

    scripted.fails = fails
    plan = make_plan(budget={"trials": 3}, parallel=2)
    with pytest.raises(ProviderUnavailableError, match="no answer"):
        scripted.search(plan)
    store = SearchStore(scripted.engine)
    search_id = scripted.open(plan).id
    assert store.get(search_id).ended_by is None
    assert "running" in states(store.trials(search_id))

    down[0] = False
    _, trials = scripted.search(plan)

    assert states(trials) == ["complete"] * 3
    assert len(scripted.creates) == len(set(scripted.creates)) == 3


def test_a_search_that_has_ended_is_not_begun_again(scripted):
    plan = make_plan(budget={"trials": 2})
    first, _ = scripted.search(plan)

    again, _ = scripted.search(plan)

    assert again == first
    assert len(scripted.creates) == 2


def test_one_at_a_time_works_on_a_search(scripted, lease):
    plan = make_plan()
    search = scripted.open(plan)
    lease(search)

    with pytest.raises(ConflictError, match=f"search {search.id} is held by"):
        conduct(scripted.desk(), search.id)


def test_who_lost_the_lease_writes_nothing_more(scripted, lease):
    search = scripted.open(make_plan())
    old = lease(search)
    with scripted.engine.begin() as connection:
        from gateway_tuning.storage.tables import leases as table

        connection.execute(table.update().values(owner="", fence=old.fence + 1))

    with pytest.raises(ConflictError, match="taken over"):
        SearchStore(scripted.engine).finish(search.id, "x", {}, now=NOW, lease=old)


def test_a_search_that_is_not_there_is_not_found(scripted):
    with pytest.raises(NotFoundError, match="No search s9"):
        SearchStore(scripted.engine).get("s9")


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"confirm": 1}, "confirm 2 or more"),
        ({"pruning": HALVING, "objective": {"metric": "similarity"}}, "or no pruning"),
        ({"pruning": HALVING, "objective": {"direction": "maximize"}}, "minimize the objective"),
        ({"pruning": {"kind": "hyperband"}}, "Hyperband needs max_steps"),
        ({"objective": {"split": "test"}}, "Extra inputs"),
    ],
)
def test_a_plan_that_cannot_work_says_what_to_change(fields, told):
    with pytest.raises(ValidationError, match=told):
        make_plan(**fields)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_killed_at_any_commit_and_run_again_no_trial_is_done_twice_and_the_end_is_the_same(engine, tmp_path):
    """SIGKILL in a child before each of its commits in turn, and a second process that goes on."""
    bad, good = [3.0] * 4, [1.0] * 4
    losses = by_rate(default=good, r1=bad, r2=[0.5] * 4, r3=bad, r4=good)
    plan = make_plan(*RATES, pruning=HALVING, parallel=2, sampler="tpe", startup_trials=2, confirm=2)
    empty = (tmp_path / "store.db").read_bytes()
    engine.dispose()

    def run(path, commits=-1):
        child = os.fork()
        if child == 0:
            os._exit(_conduct(path, losses, plan, commits))
        _, ending = os.waitpid(child, 0)
        assert os.WIFSIGNALED(ending) or os.WEXITSTATUS(ending) == 0
        return os.WIFSIGNALED(ending)

    undisturbed = tmp_path / "undisturbed.db"
    undisturbed.write_bytes(empty)
    assert not run(undisturbed)
    expected = _end_of(undisturbed, plan)
    assert expected[0]["verdict"] in {"beaten", "within noise"}

    commits, killed = 0, True
    while killed:
        path = tmp_path / f"killed-{commits}.db"
        path.write_bytes(empty)
        killed = run(path, commits)
        assert not run(path)
        result, jobs = _end_of(path, plan)
        created = (path.with_suffix(".creates")).read_text().split()
        assert sorted(created) == sorted(set(created)) == sorted(jobs), f"killed before commit {commits}"
        assert result["verdict"] == expected[0]["verdict"], f"killed before commit {commits}"
        assert result["best"] == expected[0]["best"], f"killed before commit {commits}"
        commits += 1 if commits < 8 else 11
    assert commits > 60


def _conduct(path, losses, plan, commits):
    from sqlalchemy import event

    left = [commits]

    def count(_connection):
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left[0] -= 1

    engine = open_database(f"sqlite:///{path}")
    # A killed process loses nothing that it wrote; only a power cut would, and syncing takes most of the time.
    event.listen(engine, "connect", lambda opened, _: opened.execute("PRAGMA synchronous=OFF"))
    engine.dispose()
    event.listen(engine, "commit", count)

    class Noted:
        """The provider's own jobs, which outlive the process."""

        def __contains__(self, key):
            return path.with_suffix(".creates").exists() and key in path.with_suffix(".creates").read_text()

        def append(self, key):
            with path.with_suffix(".creates").open("a") as stream:
                stream.write(f"{key}\n")

    try:
        Scripted(engine, losses=losses, creates=Noted()).search(plan)
    except BaseException:  # noqa: BLE001 - this process must not go on as a second pytest
        import traceback

        traceback.print_exc()
        return 1
    return 0


def _end_of(path, plan):
    engine = open_database(f"sqlite:///{path}")
    store = SearchStore(engine)
    search_id = plan.search_id("ds-1")
    found = store.get(search_id).result, [trial.job_key for trial in store.trials(search_id)]
    engine.dispose()
    return found
