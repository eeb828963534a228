import numpy as np
import pytest

from gateway_tuning.evaluation.scored import Role
from gateway_tuning.evaluation.settings import EvaluationSettings
from gateway_tuning.evaluation.summary import summarize
from tests.unit.evaluation.answers import BASE, CANDIDATE, STABLE, VERSIONS, cards, pairs, scored

SETTINGS = EvaluationSettings(resamples=1_000, slices=("language",))


def summary(examples, metrics=None, settings=SETTINGS, versions=VERSIONS, **options):
    return summarize(examples, metrics or cards("similarity"), settings, versions=versions, **options)


def better(n=40, by=0.2):
    rng = np.random.default_rng(1)
    theirs = rng.uniform(0.2, 0.5, n)
    return pairs(theirs + by + rng.normal(0, 0.05, n), theirs)


def test_means_differences_and_costs_of_both_systems_are_told():
    result = summary(better())
    candidate, stable = result.system(CANDIDATE), result.system(STABLE)
    compared = result.comparison("similarity")

    assert (candidate.version, candidate.asked, candidate.failed) == ("assistant@2", 40, 0)
    assert candidate.means["similarity"] - stable.means["similarity"] == pytest.approx(
        compared.difference.mean
    )
    assert 0.15 < compared.difference.low < 0.2 < compared.difference.high < 0.25
    assert (candidate.latency_ms_median, candidate.completion_tokens_mean) == (100.0, 10.0)
    assert 0 < compared.detectable < 0.05
    assert compared.test == "paired permutation"
    assert result.state == "scored"


def test_a_failed_answer_counts_with_its_score_and_is_never_left_out():
    examples = pairs([0.5] * 9, [0.5] * 9)
    examples.append(scored(9, {CANDIDATE: 0.0, STABLE: 0.5}, failed=(CANDIDATE,)))

    result = summary(examples)

    assert result.system(CANDIDATE).failed == 1
    assert result.system(CANDIDATE).means["similarity"] == pytest.approx(0.45)
    assert result.comparison("similarity").difference.mean == pytest.approx(-0.05)
    assert result.comparison("latency_ms").missing == 1


def test_a_failed_answer_without_a_score_is_missing():
    examples = pairs([0.5, 0.7], [0.5, 0.5])
    examples.append(scored(2, {CANDIDATE: None, STABLE: 0.5}, failed=(CANDIDATE,)))

    result = summary(examples)

    assert result.system(CANDIDATE).means["similarity"] == pytest.approx(0.6)
    assert result.comparison("similarity").missing == 1


def test_answers_that_came_and_have_no_value_are_counted_by_metric():
    examples = [
        *pairs([0.5, None, None], [0.5, 0.5, 0.5]),
        scored(3, {CANDIDATE: None, STABLE: 0.5}, failed=(CANDIDATE,)),
    ]

    result = summary(examples)

    assert result.system(CANDIDATE).without_value == {"similarity": 2}
    assert result.system(STABLE).without_value == {}


def test_scores_of_zero_and_one_are_held_to_mcnemars_test():
    result = summary(pairs([1.0] * 20, [0.0] * 10 + [1.0] * 10))

    compared = result.comparison("similarity")
    assert compared.test == "McNemar"
    assert compared.p_value == pytest.approx(2 / 2**10)


def test_p_values_are_adjusted_over_all_metrics_against_one_system():
    rng = np.random.default_rng(2)
    values = rng.normal(0.03, 0.1, (30, 3))
    names = ("a", "b", "c")
    examples = [
        scored(n, {CANDIDATE: dict(zip(names, row, strict=True)), STABLE: dict.fromkeys(names, 0.0)})
        for n, row in enumerate(values)
    ]

    result = summary(examples, cards(*names, low=None, high=None))

    found = {name: result.comparison(name) for name in (*names, "latency_ms", "completion_tokens")}
    smallest = min(found.values(), key=lambda one: one.p_value)
    assert smallest.p_adjusted == pytest.approx(min(1.0, 5 * smallest.p_value))
    assert all(one.p_adjusted >= one.p_value for one in found.values())


def test_the_base_model_is_compared_too_and_not_where_it_hardly_answers():
    roles = (CANDIDATE, STABLE, BASE)
    versions = VERSIONS | {BASE: "assistant@base"}
    fine = [scored(n, dict.fromkeys(roles, 0.5)) for n in range(10)]
    broken = [scored(n, dict.fromkeys(roles, 0.5), failed=(BASE,)) for n in range(10)]

    assert summary(fine, versions=versions).comparison("similarity", Role.BASE) is not None
    result = summary(broken, versions=versions)
    assert result.comparison("similarity", Role.BASE) is None
    assert result.state == "scored"
    assert "Nothing is compared with base: 10 of 10 of its answers failed" in result.reasons


def test_a_stable_model_that_hardly_answers_makes_the_comparison_invalid():
    examples = [scored(n, {CANDIDATE: 0.5, STABLE: 0.5}, failed=(STABLE,)) for n in range(10)]

    result = summary(examples)

    assert result.state == "invalid"
    assert "10 of 10 answers of the stable model failed" in result.reasons[0]


@pytest.mark.parametrize(("failures", "state"), [(2, "scored"), (3, "invalid")])
def test_a_twentieth_of_the_stable_answers_may_fail_and_no_more(failures, state):
    examples = [
        scored(n, {CANDIDATE: 0.5, STABLE: 0.5}, failed=(STABLE,) if n < failures else ()) for n in range(40)
    ]

    assert summary(examples).state == state


def test_the_examples_of_one_user_count_together():
    rng = np.random.default_rng(3)
    gains = np.repeat(rng.normal(0.1, 0.1, 6), 10)
    examples = [
        scored(n, {CANDIDATE: 0.5 + gain, STABLE: 0.5}, group=f"u{n // 10}") for n, gain in enumerate(gains)
    ]
    alone = [scored(n, {CANDIDATE: 0.5 + gain, STABLE: 0.5}) for n, gain in enumerate(gains)]

    together, apart = (summary(each).comparison("similarity") for each in (examples, alone))

    assert together.difference.high - together.difference.low > 2 * (
        apart.difference.high - apart.difference.low
    )
    assert together.p_value >= 2 / 2**6 > apart.p_value
    assert together.detectable > 2 * apart.detectable


def test_of_a_bounded_metric_that_never_changed_a_change_may_have_been_missed():
    unchanged, unbounded = pairs([1.0] * 20, [1.0] * 20), cards("similarity", high=None)

    found = summary(unchanged).comparison("similarity").difference

    assert found.low < -0.1 < 0.1 < found.high
    assert summary(unchanged, unbounded).comparison("similarity").difference.low is None


def test_without_examples_nothing_is_known_and_nothing_is_zero():
    result = summary([])

    assert result.state == "no_data"
    assert result.system(CANDIDATE).means["similarity"] is None
    assert result.comparison("similarity").difference.mean is None
    assert (result.comparison("similarity").p_value, result.comparison("similarity").test) == (None, "none")


def test_a_metric_that_broke_keeps_its_card_has_no_figure_and_is_told():
    result = summary(better(), cards("similarity", "broken"), unmeasured={"broken": "ImportError: no model"})

    assert "broken" in result.cards
    assert result.comparison("broken") is None
    assert result.system(CANDIDATE).means["broken"] is None
    assert "broken could not be measured: ImportError: no model" in result.reasons


def test_a_metric_without_any_value_stays_unknown_and_counts_what_it_misses():
    examples = [scored(n, {CANDIDATE: None, STABLE: None}) for n in range(12)]

    result = summary(examples)

    assert result.system(CANDIDATE).means["similarity"] is None
    assert result.comparison("similarity").difference.mean is None
    assert result.comparison("similarity").missing == 12


def test_slices_have_intervals_only_and_need_examples_of_two_users():
    examples = [
        *pairs(np.linspace(0.4, 0.6, 12), [0.3] * 12, facets={"language": "en"}),
        *pairs(np.linspace(0.4, 0.6, 9), [0.3] * 9, facets={"language": "fr"}),
        *pairs(np.linspace(0.4, 0.6, 12), [0.3] * 12, facets={"language": "de"}, group="one"),
        *pairs(np.linspace(0.4, 0.6, 12), [0.3] * 12),
    ]

    (only,) = summary(examples).slices

    assert (only.field, only.value, only.comparison.difference.n) == ("language", "en", 12)
    assert (only.comparison.p_value, only.comparison.p_adjusted) == (None, None)
    assert only.comparison.difference.low > 0


def test_of_a_field_with_many_values_the_twelve_commonest_are_shown():
    sizes = {f"v{number:02}": 10 + number for number in range(15)}
    examples = [
        one
        for value, size in sizes.items()
        for one in pairs([0.5] * size, [0.4] * size, facets={"language": value})
    ]

    shown = [one.value for one in summary(examples).slices]

    assert shown == [f"v{number:02}" for number in range(14, 2, -1)]


def test_samples_are_the_best_the_worst_and_the_most_changed():
    ours = [0.9, 0.8, 0.1, 0.2, 0.5, 0.5, 0.5]
    theirs = [0.9, 0.8, 0.1, 0.2, 0.5, 0.0, 0.6]

    result = summary(pairs(ours, theirs))

    assert [sample.example_id for sample in result.best][:2] == ["e000", "e001"]
    assert [sample.example_id for sample in result.worst][:2] == ["e002", "e003"]
    assert [sample.example_id for sample in result.most_changed][:2] == ["e005", "e006"]
    assert result.best[0].scores["candidate"]["similarity"] == 0.9


def test_where_less_is_better_the_best_sample_has_the_least():
    result = summary(
        pairs([3.0, 1.0, 2.0], [1.0] * 3), cards("similarity", higher_is_better=False, high=None)
    )

    assert [sample.example_id for sample in result.best] == ["e001", "e002", "e000"]


def test_the_same_answers_give_the_same_result():
    assert summary(better()) == summary(better())
