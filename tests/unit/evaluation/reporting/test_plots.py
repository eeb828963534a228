import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_tuning.evaluation.reporting.distributions import distributions_svg
from gateway_tuning.evaluation.reporting.figures import digits_of, probability, signed
from gateway_tuning.evaluation.reporting.forest import interval_svg, relative_plot
from gateway_tuning.evaluation.reporting.tables import forest_rows
from gateway_tuning.evaluation.scored import Role
from tests.unit.evaluation.reporting.results import card, comparison, difference, result, system, unknown

NUMBERS = st.floats(-1e6, 1e6)
SIDES = st.lists(NUMBERS, min_size=1, max_size=40)


def columns(svg, side):
    found = re.findall(
        rf'<rect class="{side}" x="([\d.]+)%" y="[\d.]+" width="[\d.]+%" height="([\d.]+)"', svg
    )
    return [(float(x), float(height)) for x, height in found]


def places(svg):
    return [float(place) for place in re.findall(r'(?:x1|x2|cx)="(-?[\d.]+)%"', svg)]


def test_the_forest_tells_its_figures_to_those_who_do_not_see_it():
    plot = interval_svg([("Similarity", difference()), ("Accuracy", unknown())])

    assert 'aria-label="Similarity +0.080 (+0.050 to +0.110); Accuracy unknown"' in plot
    assert plot.count('class="point') == 1


def test_a_metric_of_which_less_is_better_is_mirrored_so_that_better_is_to_the_right():
    found = result(
        comparison("refusal", difference(-0.1, -0.2, -0.05)),
        cards=("similarity", "refusal"),
        primary="refusal",
    )

    (row,), _ = forest_rows(found)

    assert (row.low, row.mean, row.high) == (0.05, 0.1, 0.2)
    assert row.label == "Refusals ↓"
    assert row.said == "\N{MINUS SIGN}0.100 (\N{MINUS SIGN}0.200 to \N{MINUS SIGN}0.050)"
    assert row.tone == "good"


def test_a_metric_without_bounds_is_drawn_as_a_share_of_the_other_systems_mean():
    systems = (system(Role.CANDIDATE, tokens=50.0), system(Role.STABLE, tokens=40.0))
    found = result(comparison("tokens", difference(10.0, 6.0, 14.0)), cards=("tokens",), systems=systems)

    bounded, (row,) = forest_rows(found)

    assert bounded == []
    assert (row.low, row.mean, row.high) == pytest.approx((-0.35, -0.25, -0.15))
    assert row.tone == "bad"


def test_what_cannot_be_scaled_has_its_figures_and_no_bar():
    found = result(comparison("tokens", difference(10.0, 6.0, 14.0)), cards=("tokens",))

    _, (row,) = forest_rows(found)

    assert row.mean is None
    assert row.said == "+10.0 (+6.0 to +14.0)"
    assert "circle" not in relative_plot([row])


@given(st.lists(st.tuples(NUMBERS, NUMBERS, NUMBERS).map(sorted), min_size=1, max_size=5))
def test_every_bar_stays_inside_the_plot(rows):
    plot = interval_svg([("m", difference(mean, low, high)) for low, mean, high in rows])

    assert all(0 <= place <= 100 for place in places(plot))


def test_a_distribution_shows_the_candidate_above_and_the_stable_model_below():
    svg = distributions_svg(card(), [0.9, 0.9, 0.1, 0.5, 0.7, 0.3], [0.1, 0.1, 0.2, 0.4, 0.1, 0.1])

    highest = {side: max(columns(svg, side), key=lambda one: one[1])[0] for side in ("candidate", "stable")}
    assert highest["stable"] < 20
    assert highest["candidate"] > 80
    assert "candidate mean 0.567" in svg
    assert "stable mean 0.167" in svg


def test_few_values_have_a_column_each():
    svg = distributions_svg(card(), [0, 1, 1, 1], [0, 0, 0, 1])

    assert len(columns(svg, "candidate")) == len(columns(svg, "stable")) == 2
    tops = {
        side: [float(y) for y in re.findall(rf'"{side}" x="[\d.]+%" y="([\d.]+)"', svg)]
        for side in ("candidate", "stable")
    }
    assert max(tops["candidate"]) < min(tops["stable"])
    assert [height for _, height in columns(svg, "candidate")] == pytest.approx([22, 66])


def test_a_far_value_of_an_unbounded_metric_does_not_flatten_the_rest():
    svg = distributions_svg(card("tokens"), [*range(10, 110), 100_000], [*range(10, 110)])

    assert "and more" in svg
    assert len(columns(svg, "candidate")) > 10


@given(SIDES, SIDES, st.sampled_from(["similarity", "tokens"]))
def test_every_value_is_in_a_column_inside_the_plot(ours, theirs, name):
    svg = distributions_svg(card(name), ours, theirs)

    assert "nan" not in svg
    for side in ("candidate", "stable"):
        assert all(0 <= x < 100 for x, _ in columns(svg, side))


def test_a_system_without_values_has_no_distribution():
    assert distributions_svg(card(), [0.5], []) == ""
    assert distributions_svg(card(), [math.nan], [0.5]) == ""


def test_figures_have_the_digits_of_their_size():
    assert digits_of(card("tokens"), 1234.5, 3.0) == 0
    assert digits_of(card("tokens"), 46.91) == 1
    assert digits_of(card("tokens"), 0.5, None) == 3
    assert digits_of(card("similarity"), 0.5) == 3
    assert signed(-0.0001) == "0.000"
    assert probability(0.0001) == "under 0.001"
    assert probability(None) == "unknown"
