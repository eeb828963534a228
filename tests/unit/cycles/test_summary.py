from gateway_tuning.cycles.cycle import Cycle, CycleOutcome, CycleStatus, Stage, StageResult
from gateway_tuning.cycles.report import render_html
from gateway_tuning.cycles.summary import summarize
from tests.conftest import NOW


def cycle(outcome=CycleOutcome.TOO_FEW_EXAMPLES, reasons=("3 demonstrations, 10 needed",)):
    return Cycle(
        "c1",
        "default",
        "assistant",
        "h",
        {},
        3,
        "v0",
        "anna",
        CycleStatus.FINISHED,
        outcome,
        reasons,
        NOW,
        NOW,
    )


def scores(similarity):
    return {
        "similarity": similarity,
        "accuracy": None,
        "latency_ms_median": None,
        "completion_tokens_mean": None,
        "errors": 2,
        "n": 2,
    }


def test_a_cycle_that_ended_early_says_why_and_leaves_the_rest_unknown():
    summary = summarize(cycle(), {})

    assert summary["outcome"] == "too_few_examples"
    assert {summary[part] for part in ("feedback", "dataset", "evaluation", "gate", "canary")} == {None}
    page = render_html(summary, title="Cycle")
    assert "Not trained: the dataset is too small." in page
    assert "3 demonstrations, 10 needed" in page


def test_an_unknown_figure_is_called_unknown_and_never_zero():
    detail = {
        "state": "scored",
        "baseline": scores(0.5),
        "candidate": scores(None),
        "similarity": {"mean": None, "low": None, "high": None, "level": 0.95, "n": 2},
    }
    stage = Stage("evaluate", StageResult(id="eval-1", detail=detail), 1.0, NOW)

    summary = summarize(cycle(CycleOutcome.REJECTED), {"evaluate": stage})

    assert summary["evaluation"]["candidate"]["similarity"] is None
    assert "unknown" in render_html(summary, title="Cycle")


def test_text_of_users_cannot_break_out_of_the_page():
    summary = summarize(cycle(reasons=("<script>alert(1)</script>",)), {})

    assert "<script>" not in render_html(summary, title="Cycle")
