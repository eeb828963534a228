import json
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from gateway_tuning.errors import ConfigurationError, InputFileError
from gateway_tuning.rollout.arm_statistics import arm_statistics
from gateway_tuning.rollout.canary import advance, begin
from gateway_tuning.rollout.judge import judge, metrics
from gateway_tuning.rollout.outcomes import Outcome, OutcomeStore
from gateway_tuning.rollout.policy import CanaryPolicy, MetricMargins
from gateway_tuning.rollout.replay import replay

START = datetime(2026, 1, 1, tzinfo=UTC)
POLICY = CanaryPolicy(
    stages=(0.1, 0.5),
    stage_seconds=1800,
    max_seconds=86_400,
    min_users=20,
    min_rated_users=40,
    min_scored_users=20,
    min_requests=100,
    margins=MetricMargins(error_rate=0.1, latency=0.5, user_feedback=0.2, relevance=0.2, feedback_rate=0.8),
)


def recorded(hours=4, *, seed=0, liked=0.8, each_minute=4):
    """Lines of both arms in the order of time; every fifth request is of somebody outside of the comparison."""
    rng = np.random.default_rng(seed)
    for minute in range(hours * 60):
        for part in range(each_minute):
            arm = ("canary", "control")[part % 2]
            failed = rng.random() < 0.02
            rated = rng.random() < 0.6
            yield {
                "time": (START + timedelta(minutes=minute, seconds=part)).isoformat(),
                "arm": "stable" if rng.random() < 0.2 else arm,
                "user": f"{arm}-{rng.integers(150)}",
                "latency_ms": float(rng.lognormal(6, 0.4)),
                "error": "timeout" if failed else None,
                "tokens": None if failed else int(rng.integers(50, 60)),
                "feedback": float(rng.random() < (liked if arm == "canary" else 0.8)) * 2 - 1
                if rated
                else None,
                "relevance": None if failed or rng.random() < 0.5 else float(rng.uniform(0.6, 0.8)),
                "answered_by": "v1" if failed and rng.random() < 0.5 else None,
            }


def lines(records):
    return [json.dumps(record) for record in records]


def line(**changes):
    plain = {"time": "2026-01-01T00:00:00Z", "arm": "canary", "user": "u", "latency_ms": 10}
    return json.dumps(plain | changes)


def test_a_good_canary_goes_up_and_is_promoted():
    looks = list(replay(lines(recorded(6)), POLICY, every_s=600))
    kinds = [look.decision.kind for look in looks]
    assert kinds[-1] == "promote"
    assert kinds.count("advance") == 1
    assert looks[0].at == START + timedelta(seconds=600)
    assert [look.canary.state for look in looks[:-1]] == ["running"] * (len(looks) - 1)


def test_a_bad_canary_is_taken_back_and_the_replay_ends_there():
    looks = list(replay(lines(recorded(6, liked=0.3)), POLICY, every_s=600))
    assert looks[-1].canary.state == "rolled_back"
    assert looks[-1].at < START + timedelta(hours=6)
    assert "worse in user feedback" in looks[-1].decision.reasons[0]


def test_every_look_decides_what_the_store_and_the_judge_would_have_decided(engine):
    records = list(recorded(3, seed=4))
    looks = list(replay(lines(records), POLICY, every_s=1200))
    store = OutcomeStore(engine)
    canary = begin(
        "c1", tenant="t", model="m", candidate="v2", control="v1", policy=POLICY, salt="s", now=START
    )
    done = 0
    for look in looks:
        upto = sum(datetime.fromisoformat(record["time"]) <= look.at for record in records)
        store.write([outcome(number, records[number]) for number in range(done, upto)])
        done = upto
        statistics, freshness = arm_statistics(engine, "c1", failed_request_seconds=60)
        found = judge(statistics, POLICY, metrics(POLICY))
        canary, decision = advance(canary, found, freshness, look.at)
        assert (decision.kind, canary.share) == (look.decision.kind, look.canary.share)
        for ours, theirs in zip(look.findings.results, found.results, strict=True):
            assert (ours.status, ours.canary_users) == (theirs.status, theirs.canary_users)
            assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high))
            assert (ours.tail is None) == (theirs.tail is None)
            if ours.tail is not None:
                assert ours.tail.low == pytest.approx(theirs.tail.low)
    assert len(looks) > 3
    assert looks[-1].canary.state == "promoted"


def outcome(number, record):
    failed = record["error"] is not None
    return Outcome(
        answer_id=f"a{number}",
        model="m",
        canary_id="c1",
        arm=record["arm"],
        version_id="v",
        user_key=record["user"],
        at=datetime.fromisoformat(record["time"]),
        latency_ms=record["latency_ms"],
        error=record["error"],
        completion_tokens=None if failed else record["tokens"],
        rating=record["feedback"],
        relevance=record["relevance"],
        answered_by=record["answered_by"],
    )


def test_times_may_be_seconds_and_a_time_without_zone_is_utc():
    at = datetime(2026, 1, 1, tzinfo=UTC).timestamp()
    looks = list(replay([line(time=at), line(time="2026-01-01T00:30:00")], POLICY))
    assert [look.at for look in looks] == [START + timedelta(hours=1)]


def test_a_silence_in_the_file_is_looked_at_too():
    looks = list(replay([line(), line(time="2026-01-01T05:00:00Z", arm="control")], POLICY))
    assert len(looks) == 5
    assert "no outcome of the canary" in " ".join(looks[-1].decision.reasons)


def test_approvals_are_taken_as_given():
    policy = POLICY.model_copy(update={"approve_before": (0.5, 1.0)})
    assert list(replay(lines(recorded(6)), policy, every_s=600))[-1].canary.state == "promoted"


@pytest.mark.parametrize(
    ("bad", "told"),
    [
        ("{", "line 2: the line: Invalid JSON"),
        (line(arm="blue"), "line 2: arm"),
        (line(latency_ms=-1), "line 2: latency_ms"),
        (line(feedback=5), "line 2: feedback"),
        (line(relevance=1.5), "line 2: relevance"),
        (line(relevanse=0.5), "line 2: relevanse: Extra inputs"),
        (line(time="yesterday"), "line 2: time"),
        (line(user=""), "line 2: user"),
        (line(time="2025-12-31T23:00:00Z"), "line 2 .*sort the file by time"),
    ],
)
def test_a_bad_line_is_named_by_its_number_and_its_key(bad, told):
    with pytest.raises(InputFileError, match=told):
        list(replay([line(), bad], POLICY))


def test_an_empty_file_and_looks_without_a_distance_are_refused():
    with pytest.raises(InputFileError, match="empty"):
        list(replay(["", "\n"], POLICY))
    with pytest.raises(ConfigurationError, match="above 0"):
        list(replay([line()], POLICY, every_s=0))
