import json
import random
from dataclasses import asdict, replace

import numpy as np
import pytest

from gateway_tuning.drift.check import Window, check_drift, learn_topics
from gateway_tuning.drift.result import read_report
from gateway_tuning.drift.settings import DriftSettings
from gateway_tuning.drift.spending import alpha_of
from gateway_tuning.errors import IntegrityError

WORDS = [
    f"{first}{second}"
    for first in "bdfglmnprst"
    for second in ("aro", "eki", "ilu", "omba", "unte", "asko", "ety")
]
QUICK = DriftSettings(permutations=199)
ENGLISH = {"language_of": lambda _text: "en"}


def window(
    seed: int, rows: int = 320, *, longer: float = 1.0, topic: float = 0.0, texts: float = 0.0
) -> Window:
    """Rows of users with a few messages each, who differ in length, words and mood."""
    rng = random.Random(seed)
    columns: list[tuple[str, str, str, str]] = []
    while len(columns) < rows:
        favourite, length, mood = (
            rng.randrange(len(WORDS)),
            rng.gauss(12, 3),
            rng.choice(["thumbs_up", "thumbs_down"]),
        )
        user = f"{seed} {len(columns)}"
        for _ in range(rng.randint(1, 6)):
            count = max(4, round((length + rng.gauss(0, 2)) * longer))
            words = [WORDS[(favourite + rng.randrange(20)) % len(WORDS)] for _ in range(count)]
            if rng.random() < topic:
                words[::2] = rng.choices(["invoice", "refund", "payment", "receipt"], k=len(words[::2]))
            kind = "text" if rng.random() < texts else mood
            columns.append((" ".join(words), "y" * max(1, round(rng.gauss(200, 40))), kind, user))
    prompts, answers, kinds, users = zip(*columns[:rows], strict=True)
    return Window(f"window {seed}", prompts, answers, kinds, users)


def figures(seed: int, users: int = 40, shift: float = 0.0, new: float = 0.0) -> Window:
    """Live traffic of which no text is kept."""
    rng = np.random.default_rng(seed)
    of = np.repeat(np.arange(users), 6)
    lengths = (rng.normal(5 + shift, 0.5, users)[of] + rng.normal(0, 0.5, of.size)).tolist()
    kinds = ["b" if share < 0.4 else "new" if share > 1 - new else "a" for share in rng.random(of.size)]
    return Window(
        f"traffic {seed}", None, None, None, of.tolist(), numbers={"prompt_length": lengths},
        categories={"segment": kinds},
    )  # fmt: skip


def test_windows_of_the_same_users_behaviour_raise_few_alarms():
    alarms = sum(
        check_drift(figures(2 * run), figures(2 * run + 1), QUICK).state == "drift" for run in range(100)
    )

    assert alarms <= 11  # 5 are expected at most; more than 11 have a chance below 1 %


def test_without_groups_the_same_users_would_look_like_drift():
    pairs = [
        (replace(figures(2 * run), groups=None), replace(figures(2 * run + 1), groups=None))
        for run in range(20)
    ]

    assert sum(check_drift(*pair, QUICK).state == "drift" for pair in pairs) >= 4  # 1 is expected of 20


@pytest.fixture(scope="module")
def calm():
    return check_drift(window(1), window(2), QUICK, **ENGLISH)


@pytest.fixture(scope="module")
def moved():
    return check_drift(window(1), window(2, topic=0.5, longer=1.7, texts=0.4), QUICK, **ENGLISH)


def test_nothing_found_in_enough_rows_is_no_drift_with_all_columns_told(calm):
    assert calm.state == "no_drift"
    assert calm.reasons == (
        "None of 6 features has changed by more than chance",
        "With so few rows a change of a fifth of the prompts may be missed",
    )
    assert {metric.name for metric in calm.metrics} == {
        "prompt_length", "answer_length", "feedback_type", "prompt_words", "topics"
    }  # fmt: skip
    assert not calm.classifier.drifted
    assert {one.name: one.blocks for one in calm.unmeasured} == {"refusal": False, "language": False}


def test_real_changes_are_found_and_named(moved):
    drifted = {metric.name for metric in moved.metrics if metric.drifted}

    assert moved.state == "drift"
    assert {"prompt_length", "prompt_words", "feedback_type"} <= drifted
    assert "answer_length" not in drifted
    assert moved.classifier.drifted
    assert {"invoice", "refund", "payment", "receipt"} & set(moved.classifier.words_current)
    assert any(reason.startswith("prompt_length: PSI ") for reason in moved.reasons)
    assert any("more often now: " in reason for reason in moved.reasons)


def test_a_metric_tells_the_shares_that_it_comes_from(moved):
    [kinds] = [metric for metric in moved.metrics if metric.name == "feedback_type"]

    assert kinds.bins[0].label == "text"
    assert (kinds.bins[0].reference, kinds.bins[0].current) == (0, pytest.approx(0.4, abs=0.08))
    assert sum(topic.current for topic in moved.topics) == pytest.approx(1)


def test_a_report_is_json(moved):
    stored = json.loads(json.dumps(asdict(moved)))

    assert stored["classifier"]["drifted"] is True
    assert read_report(stored) == moved
    with pytest.raises(IntegrityError, match="no drift report"):
        read_report({"state": "fine"})
    assert moved.score > 0


def test_the_same_windows_give_the_same_report(calm):
    assert check_drift(window(1), window(2), QUICK, **ENGLISH) == calm


def test_topics_kept_with_the_reference_give_the_same_report(calm):
    kept = learn_topics(window(1), QUICK)

    assert check_drift(window(1), window(2), QUICK, topics=kept, **ENGLISH) == calm


def test_a_new_category_of_a_tenth_of_the_rows_is_found():
    report = check_drift(figures(1, 200), figures(2, 200, new=0.1), QUICK)

    assert [metric.name for metric in report.metrics if metric.drifted] == ["segment"]


def test_a_tiny_change_in_very_many_rows_is_no_drift():
    report = check_drift(figures(1, 4_000), figures(2, 4_000, shift=0.08), QUICK)

    assert report.metrics[0].p_value <= 0.05
    assert report.state == "no_drift"


def test_of_many_rows_the_texts_of_some_users_are_read_and_the_figures_of_all():
    settings = DriftSettings(permutations=199, max_text_rows=500)

    report = check_drift(window(1, 700), window(2, 700, topic=0.5), settings, **ENGLISH)

    rows = {metric.name: (metric.n_reference, metric.n_current) for metric in report.metrics}
    assert rows["prompt_length"] == (700, 700)
    assert rows["prompt_words"] == (500, 500)
    assert 200 < rows["topics"][0] < 300
    assert report.classifier.drifted


def test_later_checks_against_a_reference_have_less_to_spend():
    first, tenth = (
        check_drift(figures(1), figures(2, shift=2), QUICK, check_number=number) for number in (1, 10)
    )

    assert (first.alpha, tenth.alpha) == (alpha_of(1, 0.05), alpha_of(10, 0.05))
    assert tenth.check_number == 10
    assert tenth.state == "drift"  # a large change is found all the same


@pytest.mark.parametrize(("before", "after"), [(0, 150), (150, 0), (99, 150), (0, 0)])
def test_too_few_rows_on_a_side_are_inconclusive_without_any_score(before, after):
    empty = Window("nothing", (), (), ())

    report = check_drift(window(1, before) if before else empty, window(2, after) if after else empty, QUICK)

    assert report.state == "inconclusive"
    assert "at least 100 are needed" in report.reasons[0]
    assert (report.metrics, report.score, report.classifier) == ((), None, None)


def test_few_rows_are_measured_and_nothing_found_is_inconclusive():
    report = check_drift(figures(1, 30), figures(2, 30), QUICK)

    assert report.state == "inconclusive"
    assert "below 300 even a large change is often missed" in report.reasons[0]
    assert report.metrics
    assert check_drift(figures(1, 30), figures(2, 30, shift=3), QUICK).state == "drift"


@pytest.mark.parametrize("users", [1, 9])
def test_rows_of_too_few_users_are_inconclusive(users):
    few = replace(window(1), groups=[str(row % users) for row in range(320)])

    report = check_drift(few, window(2), QUICK)

    assert (report.state, report.score) == ("inconclusive", None)
    assert f"has {users} users or conversations, at least 10 are needed" in report.reasons[0]


def test_without_a_reference_the_check_is_not_applicable():
    report = check_drift(None, window(1), QUICK)

    assert (report.state, report.score, report.reference) == ("not_applicable", None, None)


def test_a_check_that_breaks_is_an_error_with_its_reason_and_no_score():
    report = check_drift(replace(window(1), prompts=[None] * 320), window(2), QUICK)

    assert report.state == "error"
    assert "TypeError" in report.reasons[0]
    assert report.score is None


def test_an_error_does_not_quote_what_a_user_wrote():
    def broken(text):
        raise LookupError(text)

    report = check_drift(window(1), window(2), QUICK, language_of=broken)

    assert report.state == "error"
    assert report.reasons == (
        f"The check failed: LookupError in broken, line {broken.__code__.co_firstlineno + 1}",
    )


@pytest.mark.parametrize("part", ["texts.classifier.separate", "measuring._learn"])
def test_a_part_that_breaks_is_an_error_and_not_taken_for_too_little_to_measure(monkeypatch, part):
    def broken(*_, **__):
        raise ValueError("array must not contain infs or NaNs")

    monkeypatch.setattr(f"gateway_tuning.drift.{part}", broken)

    assert check_drift(window(1), window(2), QUICK, **ENGLISH).state == "error"


def test_a_check_that_only_the_classifier_could_make_counts_as_one():
    def of_length(seed):
        rng = random.Random(seed)
        return ["".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=12)) for _ in range(320)]

    sides = [Window(str(seed), of_length(seed), None, None) for seed in (1, 2)]

    report = check_drift(*sides, QUICK, **ENGLISH)

    assert (report.metrics, report.classifier is not None, report.spends) == ((), True, True)
    assert not check_drift(Window("nothing", (), None, None), sides[1], QUICK).spends


def test_columns_of_one_window_alone_are_an_error():
    report = check_drift(window(1), replace(window(2), numbers={"tokens": [1.0] * 320}), QUICK)

    assert report.state == "error"
    assert "tokens: known of one window only" in report.reasons[0]


@pytest.mark.parametrize("prompt", ["x", "", "???", "the same words in every prompt"])
def test_identical_prompts_are_inconclusive_never_no_drift(prompt):
    users = [str(row // 4) for row in range(320)]
    same = Window("same", [prompt] * 320, ["y"] * 320, ["text"] * 320, users)

    report = check_drift(same, replace(same, label="again"), QUICK)

    assert (report.state, report.score) == ("inconclusive", None)
    assert any(
        "classifier could not be measured: all prompts are the same text" in why for why in report.reasons
    )


def test_prompts_without_a_word_in_common_are_inconclusive():
    def strange(seed):
        rng = random.Random(seed)
        prompts = ["".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=12)) for _ in range(320)]
        return replace(window(seed), prompts=prompts)

    report = check_drift(strange(1), strange(2), QUICK, **ENGLISH)

    assert report.state == "inconclusive"
    assert any(why.startswith("topics could not be measured") for why in report.reasons)


def test_constant_columns_are_told_and_give_no_score():
    constant = Window("constant", None, None, ["text"] * 320, numbers={"tokens": [7.0] * 320})

    report = check_drift(constant, replace(constant, label="again"), QUICK)

    assert (report.state, report.metrics, report.score) == ("inconclusive", (), None)
    assert {one.name for one in report.unmeasured} == {"feedback_type", "tokens"}


def test_unknown_numbers_have_a_bin_and_numbers_known_of_no_row_are_told():
    def known(share, seed):
        tokens = [5.0 + row % 9 if row % 100 < share else None for row in range(320)]
        return replace(figures(seed), numbers={"tokens": tokens, "cost": [float("nan")] * 320}, groups=None,
                       categories={})  # fmt: skip

    report = check_drift(known(90, 1), known(30, 2), QUICK)

    assert [metric.name for metric in report.metrics if metric.drifted] == ["tokens"]
    assert report.metrics[0].bins[0].label == "unknown"
    assert [one.name for one in report.unmeasured] == ["cost"]


def test_columns_of_different_length_are_refused():
    with pytest.raises(ValueError, match="window x"):
        Window("window x", ["a"], [], ["text"])


def test_a_window_without_any_column_is_refused():
    with pytest.raises(ValueError, match="Window w has no column"):
        Window("w", None, None, None)
