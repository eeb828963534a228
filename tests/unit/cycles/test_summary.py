import json
from dataclasses import replace

from gateway_tuning.cycles.cycle import Cycle, CycleOutcome, CycleStatus, Stage, StageResult
from gateway_tuning.cycles.report import render_html
from gateway_tuning.cycles.summary import summarize
from gateway_tuning.evaluation.result import read_result
from tests.conftest import NOW
from tests.unit.evaluation.earlier import stored


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


def test_a_cycle_that_ended_early_says_why_and_leaves_the_rest_unknown():
    summary = summarize(cycle(), {})

    assert summary["outcome"] == "too_few_examples"
    assert {summary[part] for part in ("feedback", "dataset", "evaluation", "gate", "canary")} == {None}
    page = render_html(summary, title="Cycle")
    assert "Not trained: the dataset is too small." in page
    assert "3 demonstrations, 10 needed" in page


EVALUATED = Stage("evaluate", StageResult(id="eval-1", detail={}), 1.0, NOW)


def evaluated(**changed):
    ended = cycle(CycleOutcome.REJECTED)
    return summarize(ended, {"evaluate": EVALUATED}, evaluation=read_result(stored(**changed)))


def test_the_figures_of_both_models_and_the_difference_come_from_the_evaluation():
    summary = evaluated()
    page = render_html(summary, title="Cycle", evaluation=read_result(stored()))

    assert (summary["evaluation"]["id"], summary["evaluation"]["primary"]) == ("eval-1", "similarity")
    assert summary["evaluation"]["candidate"]["means"] == {"similarity": 0.61, "accuracy": 0.3}
    assert summary["evaluation"]["stable"]["failed"] == 0
    assert summary["evaluation"]["difference"]["low"] == 0.04
    assert json.loads(json.dumps(summary)) == summary
    for told in ("Similarity", "0.61", "+0.110 (+0.040 to +0.180)", "At noon, on Monday."):
        assert told in page


def test_an_unknown_figure_is_called_unknown_and_never_zero():
    unknown = {"mean": None, "low": None, "high": None, "level": 0.95, "n": 0}
    nobody = stored()["candidate"] | {"similarity": None}

    summary = evaluated(similarity=unknown, candidate=nobody)

    assert summary["evaluation"]["candidate"]["means"]["similarity"] is None
    assert "unknown" in render_html(summary, title="Cycle")


def test_a_metric_that_decides_and_was_not_compared_is_told():
    result = replace(read_result(stored()), primary="judge_preference")
    summary = summarize(cycle(CycleOutcome.REJECTED), {"evaluate": EVALUATED}, evaluation=result)

    assert summary["evaluation"]["difference"] is None
    assert "judge_preference, which decides, was not measured" in render_html(summary, title="Cycle")


def test_text_of_users_cannot_break_out_of_the_page():
    summary = summarize(cycle(reasons=("<script>alert(1)</script>",)), {})

    assert "<script>" not in render_html(summary, title="Cycle")
