import pytest
import sqlalchemy as sa

from gateway_tuning.storage import leases
from gateway_tuning.storage.tables import metadata
from gateway_tuning.training.job import TuningSpec
from gateway_tuning.training.jobs import JobStore
from gateway_tuning.training.watching.limits import Limits
from tests.conftest import NOW
from tests.unit.training.watching.scripted import Clock


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture(scope="session")
def memory() -> sa.Engine:
    """A store that lives in this process alone, for thousands of small transactions."""
    engine = sa.create_engine("sqlite://", poolclass=sa.pool.StaticPool)
    metadata.create_all(engine)
    return engine


class Desk:
    """An intent and the lease on it, over and over."""

    def __init__(self, engine):
        self.engine, self.jobs, self.number = engine, JobStore(engine), 0

    def intend(self, limits=None, provider="far"):
        self.number += 1
        spec = TuningSpec(provider, "base", "ds-1", seed=self.number)
        return self.jobs.intend(spec, tenant="default", now=NOW, limits=limits or Limits())

    def hold(self, job, now=NOW):
        return leases.acquire(self.engine, job.lease_name, owner=f"far|1|{self.number}", now=now, seconds=60)


@pytest.fixture(scope="session")
def desk(memory) -> Desk:
    return Desk(memory)
