from datetime import timedelta

import pytest

from gateway_tuning.cycles.cycle import CycleOutcome, CycleStatus, StageResult
from gateway_tuning.cycles.store import CycleStore
from gateway_tuning.errors import ConflictError
from gateway_tuning.runs.approvals import ApprovalStore
from gateway_tuning.storage import leases


@pytest.fixture
def cycles(engine) -> CycleStore:
    return CycleStore(engine)


def begin(cycles, now, *, plan=None, watermark=7):
    return cycles.open(
        tenant="t",
        model="m",
        plan=plan or {"epochs": 1},
        watermark=watermark,
        incumbent="v0",
        started_by="anna",
        now=now,
    )


def test_a_restarted_cycle_continues_with_what_it_had_pinned(cycles, now):
    first = begin(cycles, now)

    assert begin(cycles, now, watermark=99) == first


def test_an_unfinished_cycle_with_another_plan_is_refused_with_the_way_out(cycles, now):
    begin(cycles, now)

    with pytest.raises(ConflictError, match="gateway-tuning cycles abandon"):
        begin(cycles, now, plan={"epochs": 2})


def test_a_finished_cycle_is_returned_until_there_is_new_feedback(cycles, now):
    first = begin(cycles, now)
    ended = cycles.finish(first.id, CycleOutcome.REJECTED, ("worse",), now=now)

    assert begin(cycles, now) == ended
    assert begin(cycles, now, watermark=8).id != first.id


def test_a_finished_cycle_stays_as_it_ended(cycles, now):
    first = begin(cycles, now)
    cycles.finish(first.id, CycleOutcome.REJECTED, ("worse",), now=now)
    cycles.finish(first.id, CycleOutcome.PROMOTED, (), now=now)
    cycles.enter_canary(first.id)

    ended = cycles.get(first.id)
    assert (ended.status, ended.outcome, ended.reasons) == (
        CycleStatus.FINISHED,
        CycleOutcome.REJECTED,
        ("worse",),
    )


def test_a_holder_that_lost_its_lease_records_nothing(cycles, engine, now):
    cycle = begin(cycles, now)
    old = leases.acquire(engine, cycle.lease_name, owner="a|1|1", now=now, seconds=-1)
    new = leases.acquire(engine, cycle.lease_name, owner="b|2|2", now=now, seconds=60)
    result = StageResult(id="ds-1", detail={"rows": 3})

    with pytest.raises(ConflictError, match="taken over"):
        cycles.record_stage(cycle.id, "dataset", StageResult(id="late"), seconds=1, lease=old, now=now)
    cycles.record_stage(cycle.id, "dataset", result, seconds=2, lease=new, now=now)
    cycles.record_stage(cycle.id, "dataset", StageResult(id="again"), seconds=9, lease=new, now=now)

    (stage,) = cycles.stages(cycle.id).values()
    assert (stage.result, stage.seconds) == (result, 2)


def test_the_cycle_that_waits_for_a_canary_is_found_by_it(cycles, engine, now):
    cycle = begin(cycles, now)
    lease = leases.acquire(engine, cycle.lease_name, owner="a|1|1", now=now, seconds=60)
    cycles.record_stage(cycle.id, "canary", StageResult(id="canary-1"), seconds=0, lease=lease, now=now)
    assert cycles.in_canary("canary-1") is None

    cycles.enter_canary(cycle.id)

    assert cycles.in_canary("canary-1").id == cycle.id


def test_a_cycle_that_awaits_approval_is_unfinished_and_can_be_abandoned(cycles, engine, now):
    cycle = begin(cycles, now)
    ApprovalStore(engine).await_for_cycle(cycle.id, candidate="v1", reasons=("better",), now=now)

    assert begin(cycles, now, watermark=99).status is CycleStatus.AWAITING_APPROVAL
    with pytest.raises(ConflictError, match="gateway-tuning cycles abandon"):
        begin(cycles, now, plan={"epochs": 2})
    ended = cycles.finish(cycle.id, CycleOutcome.ABANDONED, ("by hand",), now=now)

    assert (ended.status, ended.outcome) == (CycleStatus.FINISHED, CycleOutcome.ABANDONED)
    assert begin(cycles, now, plan={"epochs": 2}).id != cycle.id


def test_a_cycle_knows_the_run_that_carried_it_last_and_only_its_holder_says_so(engine, cycles, now):
    first = begin(cycles, now)
    lease = leases.acquire(engine, first.lease_name, owner="a", now=now, seconds=10)
    cycles.carried_by(first.id, "run-1", lease=lease)
    later = now + timedelta(seconds=11)
    other = leases.acquire(engine, first.lease_name, owner="b", now=later, seconds=10)
    cycles.carried_by(first.id, "run-2", lease=other)

    with pytest.raises(ConflictError):
        cycles.carried_by(first.id, "run-1", lease=lease)

    assert (first.run_id, cycles.get(first.id).run_id) == (None, "run-2")


def test_what_a_stage_left_leads_back_to_its_cycles_of_the_tenant_newest_first(engine, cycles, now):
    made = []
    for watermark in (7, 8):
        cycle = begin(cycles, now + timedelta(hours=watermark), watermark=watermark)
        lease = leases.acquire(engine, cycle.lease_name, owner="a", now=now, seconds=10)
        cycles.record_stage(cycle.id, "train", StageResult(id="m@1"), seconds=1, lease=lease, now=now)
        cycles.finish(cycle.id, CycleOutcome.REJECTED, (), now=now)
        made.append(cycle.id)

    assert cycles.that_made("t", "m@1") == made[::-1]
    assert cycles.that_made("another", "m@1") == []
