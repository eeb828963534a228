import json
from dataclasses import asdict

import pytest

from gateway_tuning.errors import IntegrityError
from gateway_tuning.evaluation.result import read_result
from gateway_tuning.evaluation.scored import Role
from gateway_tuning.evaluation.settings import EvaluationSettings
from gateway_tuning.evaluation.summary import summarize
from tests.unit.evaluation.answers import VERSIONS, cards, pairs
from tests.unit.evaluation.earlier import stored
from tests.unit.evaluation.reporting.results import judge


def test_a_result_is_read_as_it_was_written():
    settings = EvaluationSettings(resamples=1_000)
    examples = pairs([0.5, 0.7, 0.9] * 5, [0.4, None, 0.2] * 5, facets={"language": "en"})
    result = summarize(examples, cards("similarity"), settings, versions=VERSIONS)

    assert read_result(json.loads(json.dumps(asdict(result)))) == result


def test_a_result_from_before_a_field_was_added_is_read_without_it():
    settings = EvaluationSettings(resamples=1_000)
    result = summarize(
        pairs([0.5, 0.7], [0.4, 0.2]), cards("similarity"), settings, versions=VERSIONS, judge=judge()
    )
    earlier = json.loads(json.dumps(asdict(result)))
    for card in earlier["cards"].values():
        del card["applies_by_question"]
    for end in ("first_low", "first_high"):
        del earlier["judge"][end]

    read = read_result(earlier)

    assert not read.cards["similarity"].applies_by_question
    assert (read.judge.first_share, read.judge.first_low, read.judge.first_high) == (0.61, None, None)


def test_what_the_version_before_stored_is_read_and_nothing_of_it_is_lost():
    result = read_result(stored())
    candidate, stable = result.system(Role.CANDIDATE), result.system(Role.STABLE)

    assert (result.state, result.reasons, result.primary) == ("scored", ("a reason",), "similarity")
    assert (candidate.version, candidate.asked, candidate.failed) == ("tuned", 40, 1)
    assert (stable.version, stable.means) == ("small", {"similarity": 0.5, "accuracy": 0.2})
    assert (candidate.latency_ms_p95, candidate.prompt_tokens_mean) == (30.0, 7.0)
    assert asdict(result.comparison("similarity").difference) == stored()["similarity"]
    assert asdict(result.comparison("accuracy").difference) == stored()["accuracy"]
    assert result.settings == {"seed": 3}
    (sample,) = result.best
    assert sample.answers == {"candidate": "At noon.", "stable": None}
    assert sample.errors == {"candidate": None, "stable": "Timeout"}
    assert sample.scores["candidate"] == {"similarity": 0.6}
    assert (sample.prompt, sample.preferred) == ("When?", "At noon, on Monday.")


def test_tests_that_were_not_made_then_are_unknown_now():
    compared = read_result(stored()).comparison("similarity")

    assert (compared.test, compared.p_value, compared.p_adjusted) == ("none", None, None)
    assert compared.detectable is None


@pytest.mark.parametrize("broken", [{}, {"state": "scored"}, {"systems": []}, stored() | {"state": "fine"}])
def test_what_is_no_result_is_refused_by_name(broken):
    with pytest.raises(IntegrityError, match="no evaluation's result"):
        read_result(broken)
