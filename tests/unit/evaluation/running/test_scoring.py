"""Every answer by every scorer, of which some misbehave."""

from dataclasses import dataclass

import pytest

from gateway_tuning.datasets.example import ToolCall, Turn
from gateway_tuning.evaluation.running.scoring import BATCH, item_of, score_all
from gateway_tuning.evaluation.scored import Answer, Role
from gateway_tuning.evaluation.scoring.protocol import Score, ScorerCard


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
