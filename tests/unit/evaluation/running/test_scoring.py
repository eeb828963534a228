"""Every answer by every scorer, of which some misbehave."""

from dataclasses import dataclass

import pytest

from gateway_tuning.datasets.example import ToolCall, Turn
from gateway_tuning.evaluation.running.scoring import BATCH, item_of, score_all
from gateway_tuning.evaluation.scored import Answer, Role, ScoredExample
from gateway_tuning.evaluation.scoring import catalog
from gateway_tuning.evaluation.scoring.protocol import Score, ScorerCard
from gateway_tuning.evaluation.settings import EvaluationSettings
from gateway_tuning.evaluation.summary import summarize
from gateway_tuning.rollout.evidence import evidence_of
from gateway_tuning.rollout.gate import GatePolicy, decide


@dataclass
class Words:
    """Counts them; what it was given is written down."""

    name: str = "words"
    failed: float | None = 0.0

    def __post_init__(self):
        self.items = []

    @property
    def card(self):
        return ScorerCard(self.name, "Words", "words / 100", "ours", 0.0, 1.0, True, self.failed)

    def score(self, items):
        self.items.append(list(items))
        return [Score(len(item.answer.split()) / 100, (item.answer,)) for item in items]


class Broken(Words):
    def score(self, items):
        raise ZeroDivisionError("no such model file")


class Forgetful(Words):
    def score(self, items):
        return super().score(items)[:-1]


class Boundless(Words):
    value = 1.5

    def score(self, items):
        return [Score(self.value) for _ in items]


def answers(candidate: str | None, stable: str | None = "a stable answer"):
    def one(role, text):
        return Answer(role, "v", text, None if text is not None else "APITimeoutError", 1.0)

    return {Role.CANDIDATE: one(Role.CANDIDATE, candidate), Role.STABLE: one(Role.STABLE, stable)}


def test_each_answer_has_the_score_of_its_own_text(make_example):
    answered = [(make_example(number), answers("word " * number)) for number in range(4)]

    found = score_all(answered, [Words()])

    assert [one[Role.CANDIDATE]["words"].value for one in found.values] == [0, 0.01, 0.02, 0.03]
    assert {one[Role.STABLE]["words"] for one in found.values} == {Score(0.03, ("a stable answer",))}
    assert found.unmeasured == {}


def test_equal_answers_are_scored_once_and_in_batches(make_example):
    example, scorer = make_example(1), Words()
    answered = [(example, answers(f"answer {number}", f"answer {number}")) for number in range(BATCH + 1)]

    score_all(answered, [scorer])

    assert [len(batch) for batch in scorer.items] == [BATCH, 1]


def test_an_item_holds_what_the_answer_may_rely_on_and_nothing_of_who_gave_it(make_example):
    turns = (
        Turn("system", "Be kind"),
        Turn("user", "Where is 7?"),
        Turn("assistant", "", (ToolCall("c1", "orders", "{}"),)),
        Turn("tool", "on its way", (), "c1"),
    )

    item = item_of(make_example(1, messages=turns, answer="Soon there."), "No idea.")

    assert (item.prompt, item.answer, item.reference) == ("Where is 7?", "No idea.", "Soon there.")
    assert item.context == "Be kind\n\non its way"
    assert item.messages == turns


@pytest.mark.parametrize("failed", [0.0, None])
def test_an_answer_that_did_not_come_has_the_value_of_failures_and_its_reason(make_example, failed):
    found = score_all([(make_example(1), answers(None))], [Words(failed=failed)])

    assert found.values[0][Role.CANDIDATE]["words"] == Score(failed, ("no answer came: APITimeoutError",))


class OnlyOfLongAnswers(Words):
    def score(self, items):
        return [Score(1.0) if len(item.answer) > 20 else Score(None, ("too short",)) for item in items]


def candidates(metric, *answered):
    """The candidate's scores by one of our scorers."""
    found = score_all(answered, [catalog.scorer(metric)])
    return [one[Role.CANDIDATE][metric] for one in found.values]


def nobody_answered(example):
    return example, answers(None, None)


@pytest.mark.parametrize("metric", ["json_validity", "json_schema"])
def test_a_failed_answer_is_no_broken_json_where_nobody_asked_for_json(make_example, metric):
    plain, as_json = make_example(1), make_example(2, answer='{"a": 1}')

    unasked, asked = candidates(metric, nobody_answered(plain), nobody_answered(as_json))

    assert unasked == Score(None, ("no answer came: APITimeoutError", "The preferred answer is no JSON"))
    assert asked.value == 0.0


def test_one_failed_answer_does_not_fail_the_gates_check_of_json_where_nobody_asked_for_json(make_example):
    """Both systems failed on it, so no other answer tells that JSON is nothing to it."""
    settings = EvaluationSettings(resamples=1_000)
    scorers = [catalog.scorer(name) for name in ("similarity", "json_validity")]
    answered = [(make_example(number), answers("one two three four", "one two")) for number in range(29)]
    answered.append(nobody_answered(make_example(29)))
    scores = score_all(answered, scorers).values
    scored = [ScoredExample(*pair, found, {}) for pair, found in zip(answered, scores, strict=True)]
    result = summarize(
        scored,
        {scorer.card.name: scorer.card for scorer in scorers},
        settings,
        versions={Role.CANDIDATE: "new", Role.STABLE: "old"},
    )

    policy = GatePolicy(max_personal_data=None, max_more_refusals=None, max_failed_share=0.05)
    decision = decide(evidence_of(result, "no_drift"), policy)

    assert "no example asks for JSON" in decision.reasons
    assert decision.outcome == "pass"


def test_a_failed_answer_has_no_facts_in_it_and_counts_though_an_empty_one_would_not(make_example):
    unsaid = make_example(1, answer="Hold the button for ten seconds.")

    nobody, empty = candidates("factuality", nobody_answered(unsaid), (unsaid, answers("", "Hold it.")))

    assert (nobody.value, empty.value) == (0.0, None)


def test_a_failed_answer_counts_only_beside_one_that_has_a_value(make_example):
    """For metrics that the question does not tell: all answers that came have none."""
    scorer = OnlyOfLongAnswers()

    short = score_all([(make_example(1), answers(None, "short"))], [scorer])
    long = score_all([(make_example(1), answers(None, "an answer that is long enough"))], [scorer])

    assert short.values[0][Role.CANDIDATE]["words"].value is None
    assert long.values[0][Role.CANDIDATE]["words"].value == 0.0


def test_a_scorer_that_breaks_leaves_failed_answers_unknown_too(make_example):
    found = score_all([(make_example(1), answers(None))], [Broken("bad")])

    assert found.values[0][Role.CANDIDATE]["bad"].value is None


@pytest.mark.parametrize(
    ("scorer", "reason"),
    [
        (Broken("bad"), "ZeroDivisionError: no such model file"),
        (Forgetful("bad"), "ValueError: it gave 1 scores for 2 answers"),
        (Boundless("bad"), "ValueError: its value 1.5 is outside of 0.0 to 1.0"),
    ],
)
def test_a_scorer_that_breaks_leaves_its_metric_unknown_and_the_others_stand(make_example, scorer, reason):
    found = score_all([(make_example(1), answers("an answer"))], [scorer, Words()])

    assert found.unmeasured == {"bad": reason}
    assert found.values[0][Role.CANDIDATE]["bad"] == Score(None, (reason,))
    assert found.values[0][Role.CANDIDATE]["words"].value == 0.02


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -0.1])
def test_a_value_that_is_no_number_of_the_cards_range_is_none(make_example, value):
    scorer = Boundless()
    scorer.value = value

    assert "words" in score_all([(make_example(1), answers("an answer"))], [scorer]).unmeasured
