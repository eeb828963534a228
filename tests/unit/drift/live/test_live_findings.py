import pytest

from gateway_tuning.drift.live.findings import Unchecked, combined


def part(state, **fields):
    found = {"state": state, "reasons": ["why"], "metrics": [], "data_quality": [], "score": None}
    return found | {"reference": "ds-1", "current": "now"} | fields


def state(texts, traffic):
    return combined({"texts": texts, "traffic": traffic}, current="now")["state"]


@pytest.mark.parametrize(
    ("texts", "traffic", "found"),
    [
        ("no_drift", "no_drift", "no_drift"),
        ("no_drift", "drift", "drift"),
        ("error", "drift", "drift"),
        ("no_drift", "error", "error"),
        ("inconclusive", "error", "error"),
        ("no_drift", "inconclusive", "inconclusive"),
        ("not_applicable", "no_drift", "no_drift"),
        ("not_applicable", "inconclusive", "inconclusive"),
        ("not_applicable", "not_applicable", "not_applicable"),
    ],
)
def test_the_worst_part_decides_and_what_could_not_be_checked_never_passes(texts, traffic, found):
    assert state(part(texts), part(traffic)) == found
    if traffic in {"error", "inconclusive", "not_applicable"}:
        assert state(part(texts), Unchecked(traffic, "why")) == found


def test_reasons_columns_and_issues_say_which_part_they_are_of():
    column = {"name": "prompt_length", "psi": 0.1}
    texts = part("no_drift", metrics=[column], score=0.1, topics=["a"], data_quality=[{"type": "few"}])
    traffic = part("drift", metrics=[column], score=0.4, topics=[], reference="first week")

    found = combined({"texts": texts, "traffic": traffic}, current="now")

    assert found["reasons"] == ["texts: why", "traffic: why"]
    assert [metric["name"] for metric in found["metrics"]] == ["prompt_length", "traffic: prompt_length"]
    assert (found["score"], found["topics"], found["reference"]) == (0.4, ["a"], "ds-1; first week")
    assert found["data_quality"] == [{"type": "few"}]
    assert found["parts"] == {"texts": "no_drift", "traffic": "drift"}


def test_nothing_measured_has_no_score():
    parts = {"texts": Unchecked("error", "broken"), "traffic": Unchecked("inconclusive", "young")}

    found = combined(parts, current="now")

    assert (found["state"], found["score"], found["metrics"], found["reference"]) == ("error", None, [], None)
    assert found["reasons"] == ["texts: broken", "traffic: young"]


def test_what_was_not_measured_is_told_of_both_parts():
    texts, traffic = (
        part("no_drift", unmeasured=[{"name": name, "reason": "constant", "blocks": False}])
        for name in ("refusal", "error")
    )

    found = combined({"texts": texts, "traffic": traffic}, current="now")

    assert [one["name"] for one in found["unmeasured"]] == ["refusal", "traffic: error"]
