"""The lease of a cycle, while the store is away for a moment."""

import threading
from types import SimpleNamespace

import pytest
import sqlalchemy as sa

from gateway_tuning.cycles.plan import CyclePlan
from gateway_tuning.cycles.store import CycleStore
from gateway_tuning.storage import leases
from gateway_tuning.storage.tables import leases as kept
from tasks import cycles
from tasks.runtime import now


@pytest.fixture
def lease(engine, monkeypatch):
    monkeypatch.setattr(cycles, "runtime", lambda: SimpleNamespace(engine=engine))
    monkeypatch.setattr(cycles, "LEASE_SECONDS", 0.2)
    plan = CyclePlan().model_dump(mode="json")
    cycle = CycleStore(engine).open(
        tenant="default", model="assistant", plan=plan, watermark=0, incumbent="v0", started_by="x", now=now()
    )
    return leases.acquire(engine, cycle.lease_name, owner="a|1|1", now=now(), seconds=60)


def test_a_renewal_that_the_store_did_not_answer_is_followed_by_the_next(engine, lease, monkeypatch):
    released, renew, tries = threading.Event(), leases.renew, []

    def sometimes(*args, **options):
        tries.append(options)
        if len(tries) == 1:
            raise sa.exc.OperationalError("UPDATE", {}, ConnectionError("the store is away"))
        renew(*args, **options)
        released.set()

    monkeypatch.setattr(leases, "renew", sometimes)
    before = until(engine)

    cycles._renew(lease, released)

    assert until(engine) != before


def until(engine):
    with engine.connect() as connection:
        return connection.execute(sa.select(kept.c.expires_at)).scalar_one()
