"""Canaries over the real store, judge and state machine, with the traffic that a test wants."""

from datetime import UTC, datetime, timedelta

import numpy as np

from gateway_tuning.registry.model_version import ModelVersion
from gateway_tuning.registry.store import Registry
from gateway_tuning.rollout.canary_store import CanaryStore
from gateway_tuning.rollout.outcomes import Outcome, OutcomeStore
from gateway_tuning.rollout.policy import CanaryPolicy, MetricMargins

START = datetime(2026, 1, 1, tzinfo=UTC)
POLICY = CanaryPolicy(
    stages=(0.1, 0.5),
    stage_seconds=60,
    max_seconds=36000,
    min_users=20,
    min_rated_users=20,
    min_requests=20,
    approve_before=(0.5,),
    metrics_to_monitor=("error_rate", "latency", "user_feedback", "token_count"),
    margins=MetricMargins(error_rate=0.2, latency=0.5, user_feedback=0.2, token_count=0.5, feedback_rate=0.8),
)


def later(minutes):
    return START + timedelta(minutes=minutes)


def start(engine, canary_id="c1", *, policy=POLICY, started_by="user:anna"):
    registry = Registry(engine)
    for version in ("m@1", "m@2"):
        made = ModelVersion(
            version, tenant="default", model="m", base_model="base-1", provider="custom", created_at=START
        )
        registry.register(made)
    registry.point("m", "stable", "m@1", reason="the first", now=START)
    return CanaryStore(engine).start(
        canary_id,
        tenant="default",
        model="m",
        candidate="m@2",
        control="m@1",
        policy=policy,
        now=START,
        started_by=started_by,
    )


def traffic(engine, minute, *, canary_id="c1", likes=0.8, simulated=False, users=150, failing=0, **more):
    """Each user of both arms asks once in this minute and rates; the first `failing` of the canary get no answer."""
    rng = np.random.default_rng(minute)
    batch = [
        Outcome(
            answer_id=f"{canary_id}-{arm}-{minute}-{number}",
            model="m",
            canary_id=canary_id,
            arm=arm,
            version_id={"canary": "m@2", "control": "m@1"}[arm],
            user_key=f"{arm}-{number}",
            at=later(minute),
            latency_ms=float(rng.lognormal(6, 0.3)),
            error="timeout" if arm == "canary" and number < failing else None,
            prompt_tokens=100,
            completion_tokens=int(rng.integers(40, 60)),
            rating=1.0 if rng.random() < (likes if arm == "canary" else 0.8) else -1.0,
            simulated=simulated,
            **more,
        )
        for arm in ("canary", "control")
        for number in range(users)
    ]
    OutcomeStore(engine).write(batch)


def look(engine, minute, canary_id="c1"):
    canary, _ = CanaryStore(engine).tick(canary_id, now=later(minute))
    return canary
