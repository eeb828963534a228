"""How long something lasted, in words, and where links lead."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_tuning.api.dashboard import links
from gateway_tuning.api.dashboard.spans import lasted
from gateway_tuning.settings import Settings

SECONDS = {"d": 86_400, "h": 3_600, "min": 60, "s": 1}


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.2, "under 1 s"),
        (-5, "under 1 s"),
        (59.6, "1 min"),
        (230.1, "3 min 50 s"),
        (3600, "1 h"),
        (3605, "1 h"),
        (90_000, "1 d 1 h"),
    ],
)
def test_a_span_is_said_in_its_two_largest_units(seconds, said):
    assert lasted(seconds) == said


@given(st.integers(1, 10**8))
def test_what_is_said_is_never_more_than_it_was_and_at_most_a_unit_less(seconds):
    words = lasted(seconds).split()
    said = sum(int(count) * SECONDS[unit] for count, unit in zip(words[::2], words[1::2], strict=True))

    assert said <= seconds < said + SECONDS[words[1]]


@pytest.mark.parametrize(
    ("settings", "address"),
    [
        ({"prefect_api_url": None}, None),
        ({"prefect_api_url": "http://p:4200/api"}, "http://p:4200/runs/flow-run/r1"),
        ({"prefect_api_url": "http://p:4200/api/"}, "http://p:4200/runs/flow-run/r1"),
        (
            {"prefect_api_url": "http://in:4200/api", "prefect_ui_url": "https://out.test/prefect/"},
            "https://out.test/prefect/runs/flow-run/r1",
        ),
    ],
)
def test_a_run_is_linked_where_browsers_reach_prefect(settings, address):
    built = Settings(_env_file=None, **settings)

    assert links.prefect_run(built, "r1") == address
    assert links.prefect_run(built, None) is None
