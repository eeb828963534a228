"""Cycles and their finished stages in the metadata store."""

from datetime import datetime
from hashlib import sha256
from typing import Any

import sqlalchemy as sa

from gateway_tuning.cycles.cycle import Cycle, CycleOutcome, CycleStatus, Stage, StageResult, hash_plan
from gateway_tuning.errors import ConflictError, NotFoundError
from gateway_tuning.storage import leases
from gateway_tuning.storage.database import first_insert_wins, reading
from gateway_tuning.storage.tables import approvals, canaries, cycle_stages, cycles


class CycleStore:
    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def open(
        self,
        *,
        tenant: str,
        model: str,
        plan: dict[str, Any],
        watermark: int,
        incumbent: str,
        started_by: str,
        now: datetime,
    ) -> Cycle:
        """Continue the model's unfinished cycle, or return the one that covers this feedback, or begin one.

        Raises:
            ConflictError: the unfinished cycle has another plan.
        """
        plan_hash = hash_plan(plan)
        identity = sha256(f"{tenant}\x1f{model}\x1f{plan_hash}\x1f{watermark}".encode()).hexdigest()[:16]
        of_model = (cycles.c.tenant == tenant, cycles.c.model == model)
        with self._engine.begin() as connection:
            unfinished = connection.execute(
                sa.select(cycles).where(*of_model, cycles.c.status != CycleStatus.FINISHED.value)
            ).one_or_none()
            if unfinished is None:
                with first_insert_wins(connection):
                    connection.execute(
                        sa.insert(cycles).values(
                            id=identity,
                            tenant=tenant,
                            model=model,
                            plan_hash=plan_hash,
                            plan=plan,
                            watermark=watermark,
                            incumbent=incumbent,
                            started_by=started_by,
                            status=CycleStatus.RUNNING.value,
                            reasons=[],
                            created_at=now,
                        )
                    )
                return _cycle(connection.execute(sa.select(cycles).where(cycles.c.id == identity)).one())
        if unfinished.plan_hash != plan_hash:
            raise ConflictError(
                f"Cycle {unfinished.id} of {model} is unfinished and has another plan. Run the cycle with that "
                f"plan to its end, or give it up: gateway-tuning cycles abandon {unfinished.id}"
            )
        return _cycle(unfinished)

    def get(self, cycle_id: str) -> Cycle:
        with reading(self._engine) as connection:
            row = connection.execute(sa.select(cycles).where(cycles.c.id == cycle_id)).one_or_none()
        if row is None:
            raise NotFoundError(f"No cycle {cycle_id}; `gateway-tuning cycles list` shows them")
        return _cycle(row)

    def all(self) -> list[Cycle]:
        with reading(self._engine) as connection:
            return [
                _cycle(row) for row in connection.execute(sa.select(cycles).order_by(cycles.c.created_at))
            ]

    def unfinished(self, tenant: str, model: str) -> Cycle | None:
        query = sa.select(cycles).where(
            cycles.c.tenant == tenant,
            cycles.c.model == model,
            cycles.c.status != CycleStatus.FINISHED.value,
        )
        with reading(self._engine) as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else _cycle(row)

    def running(self) -> list[Cycle]:
        """Cycles that have stages before them. Whether anybody works on one, its lease says."""
        query = sa.select(cycles).where(cycles.c.status == CycleStatus.RUNNING.value)
        with reading(self._engine) as connection:
            return [_cycle(row) for row in connection.execute(query.order_by(cycles.c.created_at))]

    def in_canary(self, canary_id: str) -> Cycle | None:
        """The cycle that waits for this canary."""
        query = (
            sa.select(cycles)
            .join(cycle_stages, cycle_stages.c.cycle_id == cycles.c.id)
            .where(cycle_stages.c.stage == "canary", cycle_stages.c.object_id == canary_id)
            .where(cycles.c.status == CycleStatus.IN_CANARY.value)
        )
        with reading(self._engine) as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else _cycle(row)

    def that_made(self, tenant: str, object_id: str) -> list[str]:
        """Ids of the tenant's cycles that a stage left this object to, newest first."""
        query = (
            sa.select(cycles.c.id)
            .join(cycle_stages, cycle_stages.c.cycle_id == cycles.c.id)
            .where(cycles.c.tenant == tenant, cycle_stages.c.object_id == object_id)
            .order_by(cycles.c.created_at.desc())
        )
        with reading(self._engine) as connection:
            return list(connection.execute(query).scalars())

    def waiting_for_ended_canaries(self) -> list[str]:
        """Canaries that ended while their cycle was not told: a tick was killed between the two."""
        query = (
            sa.select(canaries.c.id)
            .join(cycle_stages, cycle_stages.c.object_id == canaries.c.id)
            .join(cycles, cycles.c.id == cycle_stages.c.cycle_id)
            .where(cycle_stages.c.stage == "canary", cycles.c.status == CycleStatus.IN_CANARY.value)
            .where(canaries.c.state != "running")
        )
        with reading(self._engine) as connection:
            return list(connection.execute(query).scalars())

    def stages(self, cycle_id: str) -> dict[str, Stage]:
        """Finished stages by name, in the order they finished."""
        query = (
            sa.select(cycle_stages)
            .where(cycle_stages.c.cycle_id == cycle_id)
            .order_by(cycle_stages.c.finished_at)
        )
        with reading(self._engine) as connection:
            return {
                row.stage: Stage(
                    row.stage, StageResult(id=row.object_id, detail=row.detail), row.seconds, row.finished_at
                )
                for row in connection.execute(query)
            }

    def record_stage(
        self,
        cycle_id: str,
        stage: str,
        result: StageResult,
        *,
        seconds: float,
        lease: leases.Lease,
        now: datetime,
    ) -> None:
        """The first record of a stage stays. Raises ConflictError when the lease was lost."""
        with self._engine.begin() as connection:
            leases.check(connection, lease)
            with first_insert_wins(connection):
                connection.execute(
                    sa.insert(cycle_stages).values(
                        cycle_id=cycle_id,
                        stage=stage,
                        object_id=result.id,
                        detail=result.detail,
                        seconds=seconds,
                        finished_at=now,
                    )
                )

    def carried_by(self, cycle_id: str, run_id: str, *, lease: leases.Lease) -> None:
        """The orchestrator's run that works on it now. Raises ConflictError when the lease was lost."""
        with self._engine.begin() as connection:
            leases.check(connection, lease)
            connection.execute(sa.update(cycles).where(cycles.c.id == cycle_id).values(run_id=run_id))

    def enter_canary(self, cycle_id: str) -> None:
        self._change_running(cycle_id, status=CycleStatus.IN_CANARY.value, reasons=[])

    def waits(self, cycle_id: str, reason: str) -> None:
        """A running cycle's next stage cannot begin yet."""
        self._change_running(cycle_id, reasons=[reason])

    def _change_running(self, cycle_id: str, **values: object) -> None:
        with self._engine.begin() as connection:
            connection.execute(
                sa.update(cycles)
                .where(cycles.c.id == cycle_id, cycles.c.status == CycleStatus.RUNNING.value)
                .values(**values)
            )

    def finish(
        self, cycle_id: str, outcome: CycleOutcome, reasons: tuple[str, ...], *, now: datetime
    ) -> Cycle:
        """End the cycle, and with it an approval that it awaits. An ended cycle stays as it ended."""
        ended = {
            "status": CycleStatus.FINISHED.value,
            "outcome": outcome.value,
            "reasons": list(reasons),
            "finished_at": now,
        }
        with self._engine.begin() as connection:
            connection.execute(
                sa.update(cycles)
                .where(cycles.c.id == cycle_id, cycles.c.status != CycleStatus.FINISHED.value)
                .values(**ended)
            )
            connection.execute(
                sa.update(approvals)
                .where(approvals.c.awaited_by == "cycle", approvals.c.awaited_id == cycle_id)
                .where(approvals.c.state == "pending")
                .values(state="withdrawn", decided_at=now)
            )
        return self.get(cycle_id)


def _cycle(row: "sa.Row[Any]") -> Cycle:
    fields = dict(row._mapping)  # noqa: SLF001 - SQLAlchemy's public name for a row as a mapping
    fields["status"] = CycleStatus(fields["status"])
    fields["outcome"] = CycleOutcome(fields["outcome"]) if fields["outcome"] else None
    fields["reasons"] = tuple(fields["reasons"])
    return Cycle(**fields)
