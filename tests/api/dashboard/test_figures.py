"""What pages count, on each database; and the charts that show it."""

import re
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_tuning.api.dashboard import set_aside
from gateway_tuning.api.dashboard.activity import activity
from gateway_tuning.api.dashboard.charts import meter, stacks
from gateway_tuning.api.dashboard.wording import ago
from gateway_tuning.feedback.reviews import Reviews
from gateway_tuning.feedback.threshold import ThresholdStore
from tests.dashboard_world import add_feedback, add_versions

both_databases = pytest.mark.parametrize("engine", ["sqlite", "postgresql"], indirect=True)


@both_databases
def test_feedback_is_counted_by_type_and_day(engine, now):
    add_feedback(engine, now, "default")
    add_feedback(engine, now, "acme")

    found = activity(engine, "default", days=14, now=now)

    assert len(found.begins) == 14
    assert found.begins[-1] == now.date()
    assert found.total == 75
    assert {kind: sum(row) for kind, row in found.counts.items()} == {
        "thumbs_up": 30,
        "thumbs_down": 15,
        "correction": 15,
        "text": 15,
    }
    assert sum(row[-1] for row in found.counts.values()) == 3  # 12:00, and one every 4.2 hours


@both_databases
def test_weeks_hold_what_their_days_hold(engine, now):
    add_feedback(engine, now, "default")

    days = activity(engine, "default", days=14, now=now)
    weeks = activity(engine, "default", days=14, now=now, span=7)

    assert weeks.begins == [days.begins[0], days.begins[7]]
    assert weeks.counts == {kind: [sum(row[:7]), sum(row[7:])] for kind, row in days.counts.items()}


@both_databases
def test_the_newest_decision_says_where_a_record_stands(engine, now):
    crowd, empty, unread = add_feedback(engine, now, "default")
    reviews = Reviews(engine)

    def standing(state):
        found = set_aside.page(engine, "default", state=state, stage=None, before=None, limit=10)
        return {entry.fingerprint for entry in found}

    assert standing("waiting") == {crowd.fingerprint, empty.fingerprint}
    assert set_aside.waiting(engine, "default") == (2, False)
    reviews.accept("default", crowd.fingerprint, actor="a", reason="fine", now=now)
    reviews.reject("default", crowd.fingerprint, actor="b", reason="not fine", now=now + timedelta(seconds=1))
    assert standing("accepted") == set()
    assert standing("rejected") == {crowd.fingerprint}
    assert standing("waiting") == {empty.fingerprint}
    assert standing(None) == {crowd.fingerprint, empty.fingerprint, unread.fingerprint}
    assert set_aside.waiting(engine, "acme") == (0, False)


@both_databases
def test_progress_ends_at_the_threshold_and_stays_reached(engine, now):
    add_feedback(engine, now, "default")
    add_versions(engine, now, "default", "assistant")
    far = ThresholdStore(engine, default_count=500, default_hours=24).progress("default", now)
    near = ThresholdStore(engine, default_count=60, default_hours=24)

    assert [(one.threshold.model, one.counted, one.is_reached) for one in far] == [("assistant", 75, False)]
    assert [(one.counted, one.is_reached) for one in near.progress("default", now)] == [(60, True)]
    near.reached("default", now)
    later = near.progress("default", now + timedelta(days=3))
    assert [(one.counted, one.is_reached) for one in later] == [(0, True)]


@given(st.floats(-10, 1e9), st.floats(0, 1e9))
def test_a_meter_is_never_wider_than_its_track(value, of):
    width = float(re.findall(r'width="([\d.]+)%"', meter(value, of, said="x"))[-1])

    assert 0 <= width <= 100


@given(st.lists(st.tuples(*[st.integers(0, 10**7)] * 3), min_size=1, max_size=40))
def test_stacked_bars_stay_in_the_picture_and_show_the_largest_total(days):
    series = {name: [day[place] for day in days] for place, name in enumerate("abc")}

    chart = stacks("x", [str(number) for number in range(len(days))], series)

    for y, height in re.findall(r'<rect [^>]*y="(-?[\d.]+)"[^>]*height="([\d.]+)"', chart):
        assert float(y) >= 15.5
        assert float(y) + float(height) <= 120.5
    if most := max(map(sum, days)):
        assert f">{most:,}</text>" in chart


def test_words_in_charts_stay_words():
    chart = stacks("<b>", ["<i>"], {"<u>": [1]})

    assert not re.search(r"<b>|<i>|<u>", chart)


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (0, "just now"),
        (59, "just now"),
        (60, "1 min ago"),
        (7300, "2 h ago"),
        (200_000, "2 d ago"),
        (-90, "in 1 min"),
    ],
)
def test_times_are_told_as_people_tell_them(now, seconds, told):
    assert ago(now - timedelta(seconds=seconds), now) == told
