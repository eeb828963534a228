import threading

import pytest

from gateway_tuning.cycles.cycle import CycleOutcome, CycleStatus
from gateway_tuning.cycles.store import CycleStore
from gateway_tuning.errors import ConflictError, NotFoundError
from gateway_tuning.runs.approvals import ApprovalState, ApprovalStore
from gateway_tuning.runs.orchestrator import RunStatus
from gateway_tuning.runs.run import Intent, RunKind
from gateway_tuning.runs.store import RunStore
from gateway_tuning.storage.tables import api_keys

PLAN = {"model": "m", "gate": {"requires_approval": True}}


@pytest.fixture
def approvals(engine):
    return ApprovalStore(engine)


@pytest.fixture
def cycles(engine):
    return CycleStore(engine)


@pytest.fixture
def cycle(cycles, now):
    return cycles.open(
        tenant="acme", model="m", plan=PLAN, watermark=7, incumbent="m@0", started_by="user:anna", now=now
    )


@pytest.fixture
def decide(approvals, now):
    def decide(decision="approve", by="user:ben", comment=None, **options):
        approval = approvals.page("acme", limit=1)[0]
        return approvals.decide(
            approval.id, decision, tenant="acme", by=by, comment=comment, now=now, **options
        )

    return decide


@pytest.fixture
def ask(approvals, cycle, now):
    def ask():
        return approvals.await_for_cycle(cycle.id, candidate="m@1", reasons=("better",), now=now)

    return ask


@pytest.fixture
def canary_run(approvals, now):
    intent = Intent("run-1", "acme", RunKind.CANARY, {"canary_id": "c1"}, "user:anna", "0" * 64)
    return approvals.request_run(intent, model="m", candidate="m@1", reasons=("better",), now=now)


def test_a_cycle_awaits_its_approval_and_asks_once(ask, approvals, cycles, cycle):
    assert ask() is False
    assert ask() is False

    (pending,) = approvals.page("acme", limit=9)
    assert cycles.get(cycle.id).status is CycleStatus.AWAITING_APPROVAL
    assert (pending.state, pending.requested_by, pending.candidate, pending.reasons) == (
        ApprovalState.PENDING,
        "user:anna",
        "m@1",
        ("better",),
    )


def test_an_approved_cycle_goes_on_with_its_own_plan(ask, decide, cycles, cycle, engine):
    ask()

    approval, run = decide()

    assert approval.state is ApprovalState.APPROVED
    assert (run.kind, run.status, run.parameters) == (RunKind.TUNING_CYCLE, RunStatus.QUEUED, {"plan": PLAN})
    assert run.started_by == "user:ben"
    assert cycles.get(cycle.id).status is CycleStatus.RUNNING
    assert ask() is True
    assert RunStore(engine).get(run.id) == run


def test_a_rejected_cycle_ends_with_who_rejected_it_and_why(ask, decide, cycles, cycle):
    ask()

    _, run = decide("reject", comment="too terse")

    ended = cycles.get(cycle.id)
    assert run is None
    assert (ended.status, ended.outcome) == (CycleStatus.FINISHED, CycleOutcome.REJECTED)
    assert ended.reasons == ("rejected by user:ben: too terse", "better")


def test_a_scheduled_run_meanwhile_changes_nothing(ask, cycles, cycle, now):
    ask()

    again = cycles.open(
        tenant="acme", model="m", plan=PLAN, watermark=99, incumbent="m@9", started_by="prefect", now=now
    )
    cycles.enter_canary(cycle.id)

    assert again.id == cycle.id
    assert again.started_by == "user:anna"
    assert cycles.get(cycle.id).status is CycleStatus.AWAITING_APPROVAL


def test_an_abandoned_cycle_takes_its_approval_along(ask, decide, approvals, cycles, now):
    ask()
    (cycle,) = cycles.all()
    cycles.finish(cycle.id, CycleOutcome.ABANDONED, ("by hand",), now=now)

    (withdrawn,) = approvals.page("acme", limit=9)
    assert withdrawn.state is ApprovalState.WITHDRAWN
    with pytest.raises(ConflictError, match="withdrawn already"):
        decide()


def test_a_cycle_that_was_given_up_meanwhile_asks_for_nothing(ask, approvals, cycles, cycle, now):
    cycles.finish(cycle.id, CycleOutcome.ABANDONED, ("by hand",), now=now)

    assert ask() is False
    assert approvals.page("acme", limit=9) == []


def test_whoever_asked_cannot_approve_and_may_reject(canary_run, decide, engine):
    with pytest.raises(ConflictError, match="another administrator must"):
        decide(by="user:anna")

    _, run = decide("reject", by="user:anna")

    assert run.id == canary_run.id
    assert (run.status, run.message) == (RunStatus.CANCELLED, "rejected by user:anna")


def test_a_key_that_one_of_them_made_does_not_count_as_another_person(canary_run, approvals, engine, now):
    with engine.begin() as connection:
        for id_, made_by in [("k1", "user:anna"), ("k2", "key:k1"), ("k3", "cli:root"), ("k4", "cli:root")]:
            row = {"id": id_, "tenant": "acme", "name": id_, "role": "ModelAdmin", "secret_sha256": "0"}
            connection.execute(api_keys.insert().values(**row, created_by=made_by, created_at=now))
    (approval,) = approvals.page("acme", limit=1)

    assert not approvals.may_approve(approval, "key:k1")
    assert not approvals.may_approve(approval, "key:k2")
    assert approvals.may_approve(approval, "key:k3")
    assert approvals.may_approve(approval, "user:ben")


def test_an_approved_run_is_queued_and_the_same_decision_again_changes_nothing(canary_run, decide):
    heard = []

    first = decide(also=heard.append)
    again = decide(also=heard.append)

    assert first == again
    assert first[1].status is RunStatus.QUEUED
    assert len(heard) == 1
    with pytest.raises(ConflictError, match="approved by user:ben already"):
        decide(by="user:cleo")


def test_of_two_approvers_at_once_one_counts(canary_run, decide):
    outcomes, barrier = [], threading.Barrier(2)

    def vote(decision, by):
        barrier.wait()
        try:
            outcomes.append(decide(decision, by=by)[0].decided_by)
        except ConflictError as error:
            outcomes.append(str(error))

    votes = [("approve", "user:ben"), ("reject", "user:cleo")]
    threads = [threading.Thread(target=vote, args=args) for args in votes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sum("already" in outcome for outcome in outcomes) == 1
    assert sum(outcome in {"user:ben", "user:cleo"} for outcome in outcomes) == 1


def test_another_tenants_approval_is_not_found(canary_run, approvals):
    (approval,) = approvals.page("acme", limit=1)

    assert approvals.page("globex", limit=9) == []
    with pytest.raises(NotFoundError):
        approvals.get(approval.id, tenant="globex")
