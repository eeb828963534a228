import random
from dataclasses import replace
from datetime import timedelta

import pytest

from gateway_tuning.drift.live.traffic import read_traffic
from gateway_tuning.rollout.outcomes import Outcome, OutcomeStore


@pytest.fixture
def answered(engine, now):
    """Requests `days` before now: 60 users ask five times each unless said otherwise."""

    def answered(days, users=60, version="bot@1", longer=1.0, **fields):
        rng = random.Random(days)
        made = [
            Outcome(
                answer_id=f"{version}-{days}-{user}-{number}", model="bot", canary_id=None, arm="stable",
                version_id=version, user_key=f"u{user}", at=now - timedelta(days=days, seconds=number),
                latency_ms=100.0, prompt_chars=round(rng.gauss(200, 40) * longer), answer_chars=500, refused=False,
            )
            for user in range(users)
            for number in range(5)
        ]  # fmt: skip
        OutcomeStore(engine).write([replace(one, **fields) for one in made])

    return answered


@pytest.fixture
def read(engine, now):
    def read(**options):
        return read_traffic(engine, "bot@1", **{"now": now, "days": 7, "max_requests": 10_000} | options)

    return read


def test_the_last_days_are_compared_with_the_first_and_not_with_those_between(answered, read):
    for days in (30, 15, 1):
        answered(days)
    answered(2, version="bot@2")
    answered(0.5, simulated=True)

    reference, current = read().windows

    assert (reference.rows, current.rows) == (300, 300)
    assert len(set(current.groups)) == 60
    assert set(current.numbers) == {"prompt_length", "answer_length"}
    assert set(current.categories) == {"refusal", "error"}
    assert "2026-10-02" in reference.label


def test_an_answer_that_failed_has_no_length_and_counts_as_failed(answered, read):
    answered(30)
    answered(1)
    answered(2, users=1, error="timeout", answer_chars=None, refused=None)

    _, current = read().windows

    assert current.numbers["answer_length"].count(None) == 5
    assert current.categories["refusal"].count(None) == 5
    assert current.categories["error"].count("yes") == 5


def test_a_figure_that_one_side_never_has_is_no_column(answered, read):
    answered(30, prompt_chars=None, refused=None)
    answered(1)

    reference, current = read().windows

    assert set(reference.numbers) == set(current.numbers) == {"answer_length"}
    assert set(reference.categories) == set(current.categories) == {"error"}


def test_of_many_requests_the_newest_are_read(answered, read):
    answered(30)
    answered(1)

    reference, current = read(max_requests=100).windows

    assert (reference.rows, current.rows) == (100, 100)


@pytest.mark.parametrize(
    ("asked", "state", "reason"),
    [
        ((), "not_applicable", "no user has asked bot@1"),
        ((3,), "inconclusive", "asked since 2026-10-29"),
        ((30,), "inconclusive", "was not asked from 2026-10-25 12:00 to 2026-11-01 12:00"),
    ],
)
def test_what_cannot_be_compared_yet_says_why(answered, read, asked, state, reason):
    for days in asked:
        answered(days)

    found = read()

    assert (found.windows, found.state) == (None, state)
    assert reason in found.missing
