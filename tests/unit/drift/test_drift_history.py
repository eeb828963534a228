import re
from datetime import timedelta
from xml.etree import ElementTree as ET

import pytest

from gateway_tuning.drift.history import checks, history_html, live_markdown, plot
from gateway_tuning.drift.store import StoredDriftReport
from tests.conftest import NOW

STATES = ("no_drift", "inconclusive", "drift", "error", "not_applicable")


def metric(name, psi, *, drifted=False):
    return {
        "name": name, "psi": psi, "psi_expected": 0.02, "p_value": 0.5, "threshold": 0.1, "drifted": drifted,
        "n_reference": 400, "n_current": 300,
    }  # fmt: skip


def report(day, state="no_drift", *, metrics=(), auc=None, reason="why"):
    result = {
        "state": state, "reasons": [reason], "metrics": list(metrics), "data_quality": [], "score": None,
        "reference": "ds-1", "current": "bot, 7 days",
    }  # fmt: skip
    if auc is not None:
        result["classifier"] = {"auc": auc, "threshold": 0.6}
    at = NOW + timedelta(days=day)
    return StoredDriftReport(
        f"drift-{day}", "acme", "ds-1", "bot@1", result, at, "bot", "live", day + 1, 0.01
    )


def circles(svg):
    root = ET.fromstring(svg)  # noqa: S314 - of our own making
    return [one.attrib for one in root.iter("circle")]


def test_a_check_is_told_by_its_largest_psi_beyond_chance():
    (check,) = checks([report(0, metrics=[metric("language", 0.05), metric("topics", 0.30)], auc=0.7)])

    assert (round(check.psi, 3), check.column, check.bound, check.auc) == (0.28, "topics", 0.1, 0.7)


def test_what_was_not_measured_is_unknown_and_not_zero():
    (check,) = checks([report(0, "inconclusive")])

    assert (check.psi, check.column, check.auc) == (None, None, None)


def test_the_plot_fills_alarms_and_leaves_what_was_not_decided_hollow():
    found = [
        report(day, state, metrics=[metric("a", 0.1 * day)], auc=0.5) for day, state in enumerate(STATES)
    ]

    classes = [one["class"] for one in circles(plot(checks(found)))]
    assert classes == ["point", "open", "drift", "open", "open"] * 2


def test_a_gap_breaks_the_line():
    found = [
        report(0, metrics=[metric("a", 0.1)]),
        report(1, metrics=[metric("a", 0.1)]),
        report(2, "error"),
        report(3, metrics=[metric("a", 0.1)]),
    ]

    assert plot(checks(found)).count("<polyline") == 2


@pytest.mark.parametrize("count", [0, 1, 2])
def test_few_checks_make_a_plot_too(count):
    found = [report(day, metrics=[metric("a", 0.1)], auc=0.5) for day in range(count)]

    places = [(float(one["cx"]), float(one["cy"])) for one in circles(plot(checks(found)))]
    assert len(places) == 2 * count
    assert all(0 <= x <= 800 and 0 <= y <= 500 for x, y in places)


def test_the_page_needs_nothing_else_and_shows_users_words_as_text_alone():
    page = history_html(
        "<b>", [report(0, "drift", metrics=[metric("a", 3.0)], reason="words: <script>x</script>")]
    )

    assert "<script" not in page
    assert "<b>" not in page
    assert "&lt;script&gt;x" in page
    assert re.findall(r"(?:src|href)=|https?:", page) == []
    assert "1 checks: 1 found drift, 0 could not decide" in page


def test_the_artifact_tells_the_check_and_those_before_it():
    found = [
        report(0, metrics=[metric("a", 0.1)]),
        report(1, "drift", metrics=[metric("topics", 0.4, drifted=True)]),
    ]

    text = live_markdown(found[1], found)
    assert text.startswith("## Drift: bot, 7 days against ds-1\n\n**The data has drifted.**")
    assert "| topics | 0.400 | 0.020 | 0.5 | 400 and 300 | yes |" in text
    assert [line.split("|")[3].strip() for line in text.splitlines() if line.startswith("| 2026")] == [
        "drift",
        "no drift",
    ]
