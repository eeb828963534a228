"""Outcomes and shadows that tests of the rollout begin with."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa

from gateway_tuning.rollout.outcomes import Outcome
from gateway_tuning.rollout.shadows.store import ShadowStore
from gateway_tuning.storage.tables import aliases, endpoints
from tests.conftest import NOW

START = datetime(2026, 1, 1, tzinfo=UTC)


def outcome(answer, arm="canary", user="u1", **changes):
    plain = Outcome(
        answer_id=answer,
        model="m",
        canary_id="c1",
        arm=arm,
        version_id="v2",
        user_key=user,
        at=START,
        latency_ms=100.0,
    )
    return replace(plain, **changes)


def shadow_store(engine, now=NOW):
    """Version v1 of `assistant` is stable, and v2 is served."""
    with engine.begin() as connection:
        row = {"model": "assistant", "alias": "stable", "version_id": "v1", "updated_at": now}
        connection.execute(sa.insert(aliases).values(row))
        served = {
            "base_url": "http://127.0.0.1:1/v1",
            "served_model": "x",
            "extra_body": {},
            "updated_at": now,
        }
        connection.execute(sa.insert(endpoints).values(version_id="v2", **served))
    return ShadowStore(engine)


def start_shadow(store, now=NOW, **options):
    usual = {
        "tenant": "t",
        "candidate": "v2",
        "share": 0.5,
        "max_requests": 3,
        "budget": None,
        "prices": None,
        "ends_at": now + timedelta(days=1),
        "by": "ann",
        "now": now,
    }
    return store.start("assistant", **(usual | options))
