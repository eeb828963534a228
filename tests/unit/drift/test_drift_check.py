import json
import random
from dataclasses import asdict, replace

import pytest

from gateway_tuning.drift.check import Window, check_drift
from gateway_tuning.drift.report import evidently_html, render_markdown
from gateway_tuning.drift.settings import DriftSettings

WORDS = [f"word{number}" for number in range(300)]
QUICK = DriftSettings(permutations=199)


def window(
    seed: int, rows: int = 150, *, longer: float = 1.0, topic: float = 0.0, texts: float = 0.0
) -> Window:
    """Rows of users with a few messages each, who differ in length, words and mood."""
    rng = random.Random(seed)
    columns: list[tuple[str, str, str, str]] = []
    while len(columns) < rows:
        favourite, length, mood = (
            rng.randrange(300),
            rng.gauss(15, 4),
            rng.choice(["thumbs_up", "thumbs_down"]),
        )
        user = str(len(columns))
        for _ in range(rng.randint(1, 8)):
            count = max(3, round((length + rng.gauss(0, 2)) * longer))
            words = [WORDS[(favourite + rng.randrange(40)) % 300] for _ in range(count)]
            if rng.random() < topic:
                words[::2] = ["invoice"] * len(words[::2])
            kind = "text" if rng.random() < texts else mood
            columns.append((" ".join(words), "y" * max(1, round(rng.gauss(200, 40))), kind, user))
    prompts, answers, kinds, users = zip(*columns[:rows], strict=True)
    return Window(f"window {seed}", prompts, answers, kinds, users)


def drifted(reference: Window, current: Window) -> set[str]:
    return {metric.name for metric in check_drift(reference, current, QUICK).metrics if metric.drifted}


def test_windows_of_the_same_users_behaviour_raise_few_alarms():
    alarms = sum(bool(drifted(window(2 * run), window(2 * run + 1))) for run in range(300))

    assert alarms <= 24  # 5 % of 300 is 15; more than 24 has a chance below 1 %


def test_without_groups_the_same_users_would_look_like_drift():
    pairs = [
        (replace(window(2 * run), groups=None), replace(window(2 * run + 1), groups=None))
        for run in range(20)
    ]

    assert sum(bool(drifted(*pair)) for pair in pairs) > 10


@pytest.mark.parametrize(
    ("change", "feature"),
    [({"longer": 1.6}, "prompt_length"), ({"topic": 0.4}, "prompt_words"), ({"texts": 0.4}, "feedback_type")],
)
def test_a_real_change_is_found_and_named(change, feature):
    found = [drifted(window(2 * run, 400), window(2 * run + 1, 400, **change)) for run in range(20)]

    assert sum(feature in features for features in found) >= 19


def test_a_drift_report_says_what_changed_and_is_json():
    report = check_drift(window(1, 400), window(2, 400, longer=1.6), DriftSettings())

    assert report.state == "drift"
    assert report.reasons[0].startswith("prompt_length: PSI ")
    assert report.score > 0
    assert json.loads(json.dumps(asdict(report)))["metrics"][0]["drifted"] is True
    assert "| prompt length |" in render_markdown(report)


def test_the_same_windows_give_the_same_report():
    assert check_drift(window(1), window(2), QUICK) == check_drift(window(1), window(2), QUICK)


def test_a_tiny_change_in_very_many_rows_is_no_drift():
    rng = random.Random(0)

    def lengths(mean):
        prompts = ["x" * max(1, round(rng.gauss(mean, 100))) for _ in range(6_000)]
        return Window("w", prompts, ["y"] * 6_000, ["text"] * 6_000)

    report = check_drift(lengths(500), lengths(510), QUICK)

    assert report.metrics[0].p_value <= 0.05
    assert report.state == "no_drift"


@pytest.mark.parametrize(("before", "after"), [(0, 150), (150, 0), (99, 150), (0, 0)])
def test_too_few_rows_on_a_side_are_inconclusive_without_any_score(before, after):
    empty = Window("nothing", (), (), ())

    report = check_drift(window(1, before) if before else empty, window(2, after) if after else empty, QUICK)

    assert report.state == "inconclusive"
    assert "at least 100 are needed" in report.reasons[0]
    assert (report.metrics, report.score) == ((), None)


def test_without_a_reference_the_check_is_not_applicable():
    report = check_drift(None, window(1), QUICK)

    assert (report.state, report.score, report.reference) == ("not_applicable", None, None)
    assert "no reference" in render_markdown(report)


def test_a_check_that_breaks_is_an_error_with_its_reason_and_no_score():
    broken = replace(window(1), prompts=[None] * 150)

    report = check_drift(broken, window(2), QUICK)

    assert report.state == "error"
    assert "TypeError" in report.reasons[0]
    assert report.score is None
    assert "The check failed" in render_markdown(report)


def test_identical_and_constant_columns_are_no_drift():
    same = Window("same", ["x"] * 150, ["y"] * 150, ["text"] * 150)

    report = check_drift(same, same, QUICK)

    assert report.state == "no_drift"
    assert {metric.psi for metric in report.metrics} == {0.0}


@pytest.mark.parametrize(
    ("prompt", "rows", "issues"),
    [
        ("short", 150, {"short_prompts"}),
        ("x" * 1_001, 150, {"long_prompts"}),
        ("x" * 100, 99, {"low_sample_count"}),
        ("x" * 10, 100, set()),
        ("x" * 1_000, 100, set()),
    ],
)
def test_questionable_data_is_named(prompt, rows, issues):
    current = Window("new", [prompt] * rows, ["y"] * rows, ["text"] * rows)

    assert {issue.type for issue in check_drift(window(1), current, QUICK).data_quality} == issues


def test_columns_of_different_length_are_refused():
    with pytest.raises(ValueError, match="window x"):
        Window("window x", ["a"], [], ["text"])


def test_evidently_writes_a_page_without_the_network(monkeypatch):
    pytest.importorskip("evidently", reason="the reports extra is not installed")

    def refuse(*_):
        raise AssertionError("the network was used")

    monkeypatch.setattr("socket.socket.connect", refuse)
    monkeypatch.setattr("socket.getaddrinfo", refuse)
    constant = Window("constant", ["x"] * 50, ["y"] * 50, ["text"] * 50)

    assert "prompt_length" in evidently_html(window(1), window(2, longer=2))
    assert "feedback_type" in evidently_html(constant, constant)


def test_evidently_is_not_asked_about_nothing():
    with pytest.raises(ValueError, match="nothing has no rows"):
        evidently_html(Window("nothing", (), (), ()), window(1))
