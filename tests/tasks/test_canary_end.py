"""What a run of advance-canaries does with canaries that have ended."""

from datetime import UTC, datetime

import pytest
import sqlalchemy as sa

from gateway_tuning.cycles.store import CycleStore
from gateway_tuning.rollout.actions import CanaryActions
from gateway_tuning.rollout.canary_store import CanaryStore
from gateway_tuning.rollout.policy import CanaryPolicy
from gateway_tuning.rollout.verification import UNVERIFIABLE
from gateway_tuning.settings import Settings
from gateway_tuning.storage.database import open_database
from gateway_tuning.storage.tables import aliases, cycle_stages, cycles
from tasks import rollout
from tasks.runtime import Runtime


@pytest.fixture
def engine(tmp_path, monkeypatch, migrated_sqlite):
    settings = Settings(_env_file=None, home=tmp_path)
    (tmp_path / "gateway-tuning.db").write_bytes(migrated_sqlite.read_bytes())
    engine = open_database(settings.resolved_database_url)
    rt = Runtime(settings)
    monkeypatch.setattr(rollout, "runtime", lambda: rt)
    monkeypatch.setattr(rollout, "create_markdown_artifact", lambda *_arguments, **_options: None)
    now = datetime.now(UTC)
    with engine.begin() as connection:
        connection.execute(
            sa.insert(aliases).values(model="m", alias="stable", version_id="v1", updated_at=now)
        )
    yield engine
    rt.engine.dispose()
    engine.dispose()


def start(engine, canary_id="c1", **options):
    return CanaryStore(engine).start(
        canary_id, tenant="t", model="m", candidate=f"of {canary_id}", control="v1", policy=CanaryPolicy(),
        now=datetime.now(UTC), **options,
    )  # fmt: skip


def await_in_a_cycle(engine, canary_id):
    now = datetime.now(UTC)
    with engine.begin() as connection:
        connection.execute(
            sa.insert(cycles).values(
                id="cycle", tenant="t", model="m", plan_hash="p", plan={}, watermark=1, incumbent="v1",
                started_by="user:anna", status="in_canary", reasons=[], created_at=now,
            )
        )  # fmt: skip
        connection.execute(
            sa.insert(cycle_stages).values(
                cycle_id="cycle", stage="canary", object_id=canary_id, detail={}, seconds=1.0, finished_at=now
            )
        )


def test_without_the_gateways_addresses_an_end_says_once_that_it_is_not_verified(engine):
    start(engine)
    CanaryActions(engine).abort("c1", by="user:ben", reason="slow", now=datetime.now(UTC))

    assert rollout.verify_ended_canaries.fn() == {"c1": UNVERIFIABLE}
    assert rollout.verify_ended_canaries.fn() == {}
    ended = CanaryStore(engine).get("c1")
    assert (ended.verified_at, ended.verification) == (None, UNVERIFIABLE)


@pytest.mark.parametrize(
    ("end", "outcome", "reason"),
    [
        (
            lambda engine: CanaryActions(engine).abort(
                "c1", by="user:ben", reason="slow", now=datetime.now(UTC)
            ),
            "rolled_back",
            "aborted by user:ben: slow",
        ),
        (
            lambda engine: start(engine, "c2", supersede=True),
            "abandoned",
            "superseded by canary c2 of of c2",
        ),
    ],
    ids=["aborted", "superseded"],
)
def test_a_cycle_hears_how_its_canary_ended_without_a_look(engine, end, outcome, reason):
    start(engine)
    await_in_a_cycle(engine, "c1")
    end(engine)

    assert "c1" in rollout.running_canaries.fn()
    rollout.advance_canary.fn("c1")

    cycle = CycleStore(engine).get("cycle")
    assert (cycle.status, cycle.outcome, cycle.reasons) == ("finished", outcome, (reason,))
    assert "c1" not in rollout.running_canaries.fn()
