import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from gateway_tuning.rollout.reporting.charts import Frame, sequence_svg, share_svg
from gateway_tuning.rollout.reporting.steps import Step
from gateway_tuning.rollout.reporting.words import Seen

START = datetime(2026, 1, 1, tzinfo=UTC)
FRAME = Frame(START, START + timedelta(minutes=100))
SEEN = Seen("latency", "guardrail", "undecided", 0.1, 50, 50, 110.0, 100.0, 0.05, -0.1, 0.2, None, None)
EMPTY = replace(SEEN, status="no_data", harm=None, low=None, high=None, lacking="5 users are needed")


def at(minutes):
    return START + timedelta(minutes=minutes)


def paths(svg, kind):
    """Of every path of this kind its corners, in the picture's own units."""
    found = re.findall(rf'<path class="{kind}" d="([^"]*)"', str(svg))
    return [[tuple(map(int, corner.split(","))) for corner in re.findall(r"-?\d+,-?\d+", d)] for d in found]


def test_the_band_encloses_the_estimate_and_the_margin_lies_above_zero():
    svg = sequence_svg("latency", [(at(20), SEEN), (at(100), SEEN)], changes=[], frame=FRAME)

    (estimate,), (band,) = paths(svg, "estimate"), paths(svg, "band")
    (zero,), (margin,) = paths(svg, "zero"), paths(svg, "margin")

    assert [x for x, _ in estimate] == [200, 1000]
    assert min(y for _, y in band) < estimate[0][1] < max(y for _, y in band)
    assert margin[0][1] < zero[0][1]
    assert margin[0][1] < estimate[0][1] < zero[0][1]  # half a margin of harm


def test_where_a_look_had_no_data_the_line_has_a_gap():
    points = [(at(0), SEEN), (at(10), SEEN), (at(20), EMPTY), (at(30), SEEN), (at(40), SEEN)]
    svg = sequence_svg("latency", points, changes=[], frame=FRAME)
    assert [[x for x, _ in line] for line in paths(svg, "estimate")] == [[0, 100], [300, 400]]


def test_a_metric_that_never_had_data_has_no_picture():
    assert not sequence_svg("latency", [(at(0), EMPTY)], changes=[], frame=FRAME)


def test_a_single_look_can_be_seen():
    svg = sequence_svg("latency", [(at(50), SEEN)], changes=[], frame=FRAME)
    assert [x for x, _ in paths(svg, "band")[0]] == [500, 500]
    assert [x for x, _ in paths(svg, "estimate")[0]] == [496, 504]


def test_what_only_has_to_be_the_same_has_a_margin_on_either_side():
    both = replace(SEEN, name="feedback_rate", role="integrity")
    svg = sequence_svg("feedback_rate", [(at(0), both), (at(9), both)], changes=[], frame=FRAME)
    (zero,) = paths(svg, "zero")
    above, below = sorted(line[0][1] for line in paths(svg, "margin"))
    assert above < zero[0][1] < below


def test_the_changes_of_the_share_are_marked():
    svg = sequence_svg("latency", [(at(0), SEEN)], changes=[at(25), at(75)], frame=FRAME)
    assert [line[0][0] for line in paths(svg, "change")] == [250, 750]


_FIGURES = st.floats(-50, 50, allow_nan=False)


@given(st.lists(st.tuples(_FIGURES, _FIGURES, _FIGURES), min_size=1, max_size=20), st.floats(0.001, 1))
def test_margin_and_zero_are_always_in_the_picture_and_so_is_the_last_estimate(found, margin):
    points = []
    for minute, figures in enumerate(found):
        low, harm, high = sorted(figures)
        points.append((at(minute), replace(SEEN, margin=margin, low=low, harm=harm, high=high)))

    svg = sequence_svg("latency", points, changes=[], frame=FRAME)

    for kind in ("zero", "margin"):
        assert 0 <= paths(svg, kind)[0][0][1] <= 1000
    assert 0 <= paths(svg, "estimate")[-1][-1][1] <= 1000
    assert "nan" not in str(svg)


def test_the_share_goes_up_in_steps_and_back_to_nothing_where_it_was_taken_back():
    up = [Step(0.1, START, at(40), 1, "advance"), Step(0.5, at(40), at(80), 1, "rolled_back")]
    (line,) = paths(share_svg(up, approved=None, frame=FRAME), "share")
    assert [x for x, _ in line] == [0, 400, 400, 800, 800, 1000]
    assert line[0][1] > line[2][1]
    assert [y for _, y in line[-2:]] == [1000, 1000]


def test_a_promoted_share_does_not_fall():
    done = [Step(0.5, START, at(100), 1, "promoted")]
    (line,) = paths(share_svg(done, approved=1.0, frame=FRAME), "share")
    assert len({y for _, y in line}) == 1


def test_what_is_approved_is_a_line_and_in_words():
    svg = share_svg([Step(0.1, START, None, 1, None)], approved=0.25, frame=FRAME)
    assert "approved up to 25 %" in str(svg)
    assert paths(svg, "margin")[0][0][1] < paths(svg, "share")[0][0][1]
