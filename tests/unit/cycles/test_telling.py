"""The page of a cycle's run, without its log."""

from gateway_tuning.cycles.cycle import Cycle, CycleOutcome, CycleStatus, Stage, StageResult
from gateway_tuning.cycles.telling import markdown
from tests.conftest import NOW


def cycle(**changes):
    return Cycle(
        **{
            "id": "c-1", "tenant": "acme", "model": "bot", "plan_hash": "h", "plan": {}, "watermark": 500,
            "incumbent": "bot@0", "started_by": "user:anna", "status": CycleStatus.RUNNING, "outcome": None,
            "reasons": (), "created_at": NOW, "finished_at": None,
        }
        | changes
    )  # fmt: skip


def test_stages_and_the_end_with_its_reasons_are_told():
    ended = cycle(status=CycleStatus.FINISHED, outcome=CycleOutcome.REJECTED, reasons=("worse",))
    stages = [
        Stage("dataset", StageResult(id="ds-1"), 2.25, NOW),
        Stage("gate", StageResult(id="fail"), 0.04, NOW),
    ]

    told = markdown(ended, stages)

    assert told.splitlines()[0] == "# Cycle `c-1` of bot"
    assert "Feedback up to 500, against bot@0. Asked for by user:anna." in told
    assert [line.split(" | ")[:2] for line in told.splitlines() if "`ds-1`" in line or "`fail`" in line] == [
        ["| dataset", "`ds-1`"],
        ["| gate", "`fail`"],
    ]
    assert told.endswith("**Rejected.**\n- worse")


def test_what_waits_says_so_and_a_cycle_without_stages_shows_no_table():
    told = markdown(cycle(status=CycleStatus.AWAITING_APPROVAL), [])

    assert told.endswith("**Awaiting approval.**")
    assert "|" not in told
