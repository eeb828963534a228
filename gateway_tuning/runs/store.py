"""Runs in the metadata store: written first, then started under their own id, then known by the orchestrator's.

A run without an `orchestrator_id` is an intent: it is started again under the same key, which gives the same run.
"""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

import sqlalchemy as sa

from gateway_tuning.errors import ConfigurationError, ConflictError, NotFoundError, OrchestratorError
from gateway_tuning.runs.orchestrator import OrchestratedRun, Orchestrator, RunStatus
from gateway_tuning.runs.restarts import Due, Restart, due, insert_restart, read_restarts
from gateway_tuning.runs.run import Intent, Run, RunKind
from gateway_tuning.storage.database import first_insert_wins, reading
from gateway_tuning.storage.paging import newest_first
from gateway_tuning.storage.tables import runs

Also = Callable[[sa.Connection], object]

_OPEN = [status.value for status in RunStatus if not status.is_terminal]
_LONGEST_MESSAGE = 2000


class RunStore:
    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def intend(self, intent: Intent, *, now: datetime, also: Also = lambda _: None) -> Run:
        """Write the run down, or find the one that the same key and request gave before.

        `also` is called last in the transaction that writes it down.

        Raises:
            ConflictError: the key was used for another request.
        """
        with self._engine.begin() as connection:
            run = insert_run(connection, intent, status=RunStatus.QUEUED, now=now)
            if run.id == intent.id:
                also(connection)
            return run

    def recall(self, tenant: str, idempotency_key: str | None, request_sha256: str) -> Run | None:
        """The run that this key gave before. Raises ConflictError when it was used for another request."""
        if idempotency_key is None:
            return None
        query = sa.select(runs).where(
            runs.c.tenant == tenant, runs.c.idempotency_key == _hashed(idempotency_key)
        )
        with reading(self._engine) as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else _same(row, request_sha256)

    def get(self, run_id: str, *, tenant: str | None = None) -> Run:
        """Raises NotFoundError; a run of another tenant is not found either."""
        query = sa.select(runs).where(runs.c.id == run_id)
        if tenant is not None:
            query = query.where(runs.c.tenant == tenant)
        with reading(self._engine) as connection:
            row = connection.execute(query).one_or_none()
        if row is None:
            raise NotFoundError(f"No run {run_id}; list the runs to see all")
        return _run(row)

    def page(
        self,
        tenant: str,
        *,
        limit: int,
        before: tuple[datetime, str] | None = None,
        kind: RunKind | None = None,
    ) -> list[Run]:
        where = () if kind is None else (runs.c.kind == kind.value,)
        found = newest_first(self._engine, runs, tenant=tenant, limit=limit, before=before, where=where)
        return [_run(row) for row in found]

    def start(self, run: Run, orchestrator: Orchestrator, *, now: datetime) -> Run:
        """Start what is queued and not known to be started. Anything else stays as it is.

        Raises:
            OrchestratorError: it was not started; the intent stays, and this may be called again.
            ConfigurationError: it can never be started; the run has failed.
        """
        if run.status is not RunStatus.QUEUED or run.orchestrator_id is not None:
            return run
        try:
            seen = orchestrator.start(
                run.kind.deployment, run.parameters, key=self._key(run.id), tags=(run.tag,)
            )
        except OrchestratorError as error:
            self._write(run.id, {"message": _short(f"not started yet: {error}")}, now=now)
            raise
        except ConfigurationError as error:
            self.note(run.id, RunStatus.FAILED, str(error), now=now)
            raise
        with self._engine.begin() as connection:
            connection.execute(
                sa.update(runs)
                .where(runs.c.id == run.id, runs.c.orchestrator_id.is_(None))
                .values(orchestrator_id=seen.id, message="", updated_at=now)
            )
        self.note(run.id, seen.status, seen.message, now=now)
        started = self.get(run.id)
        if started.status is RunStatus.CANCELLED:  # while it was being started
            orchestrator.cancel(seen.id)
        return started

    def refresh(self, run: Run, orchestrator: Orchestrator, *, now: datetime) -> Run:
        """Ask the orchestrator for the run's state. Raises OrchestratorError when it does not answer."""
        if run.status.is_terminal or run.orchestrator_id is None:
            return run
        try:
            seen = orchestrator.read(run.orchestrator_id)
        except NotFoundError as error:
            seen = OrchestratedRun(run.orchestrator_id, RunStatus.FAILED, str(error))
        if seen.crashed:
            self.note_crash(run.id, seen.id, now=now)
        elif (seen.status, seen.message) != (run.status, run.message):
            self.note(run.id, seen.status, seen.message, now=now)
        return self.get(run.id)

    def cancel(self, run: Run, orchestrator: Orchestrator | None, *, by: str, now: datetime) -> Run:
        """End what has not begun, ask for the end of what has. An ended run stays as it ended.

        Raises:
            ConflictError: it awaits an approval; reject that instead.
            OrchestratorError: the run has begun and nobody can be asked to end it.
        """
        if run.status is RunStatus.AWAITING_APPROVAL:
            raise ConflictError(f"Run {run.id} awaits an approval; reject that to cancel the run")
        if run.status.is_terminal:
            return run
        with self._engine.begin() as connection:
            connection.execute(
                sa.update(runs)
                .where(runs.c.id == run.id, runs.c.orchestrator_id.is_(None), runs.c.status.in_(_OPEN))
                .values(status=RunStatus.CANCELLED.value, message=f"cancelled by {by}", updated_at=now)
            )
        current = self.get(run.id)
        if current.status.is_terminal or current.orchestrator_id is None:
            return current
        if orchestrator is None:
            raise OrchestratorError(
                f"Run {run.id} has begun and no orchestrator is configured to end it; set PREFECT_API_URL"
            )
        orchestrator.cancel(current.orchestrator_id)
        return self.refresh(current, orchestrator, now=now)

    def note(
        self,
        run_id: str,
        status: RunStatus,
        message: str = "",
        *,
        now: datetime,
        result_id: str | None = None,
    ) -> None:
        """What was last heard of a run. An ended run stays as it ended; a result may still follow its success."""
        if result_id is not None:
            self._write(
                run_id, {"result_id": result_id}, now=now, statuses=[*_OPEN, RunStatus.SUCCEEDED.value]
            )
        self._write(run_id, {"status": status.value, "message": _short(message)}, now=now, statuses=_OPEN)

    def note_crash(self, run_id: str, orchestrator_id: str, *, now: datetime) -> None:
        """The process of a run was lost: it waits to be started again, or has failed after too many times.

        A crash that was noted already, and one of a run that has ended, change nothing.
        """
        with self._engine.begin() as connection:
            row = connection.execute(sa.select(runs).where(runs.c.id == run_id).with_for_update()).one()
            known = row.orchestrator_id == orchestrator_id or (
                row.orchestrator_id is None and row.status == RunStatus.RUNNING.value
            )
            if not known or RunStatus(row.status).is_terminal:
                return
            before = read_restarts(connection, run_id)
            values: dict[str, Any] = {"updated_at": now}
            if due(before, progress_at=None, now=now) is Due.NEVER:
                told = f"its process was lost {len(before) + 1} times; look at the worker before you start it again"
                values |= {"status": RunStatus.FAILED.value, "message": told}
            else:
                insert_restart(connection, Restart(run_id, len(before) + 1, "crashed", now))
                told = "its process was lost; it is started again"
                values |= {"status": RunStatus.QUEUED.value, "orchestrator_id": None, "message": told}
            connection.execute(sa.update(runs).where(runs.c.id == run_id).values(**values))

    def under_way(self, *, before: datetime, limit: int = 100) -> list[Run]:
        """Runs that the orchestrator has, and of which nothing was heard since then."""
        query = (
            sa.select(runs)
            .where(runs.c.status.in_([RunStatus.QUEUED.value, RunStatus.RUNNING.value]))
            .where(runs.c.orchestrator_id.is_not(None), runs.c.updated_at < before)
            .order_by(runs.c.updated_at)
            .limit(limit)
        )
        with reading(self._engine) as connection:
            return [_run(row) for row in connection.execute(query)]

    def waiting(self, kind: RunKind) -> list[Run]:
        """Runs of a kind that are to be started and that the orchestrator does not have yet."""
        query = sa.select(runs).where(
            runs.c.kind == kind.value,
            runs.c.status == RunStatus.QUEUED.value,
            runs.c.orchestrator_id.is_(None),
        )
        with reading(self._engine) as connection:
            return [_run(row) for row in connection.execute(query)]

    def unstarted(self, *, before: datetime, limit: int = 100) -> list[Run]:
        """Intents from before then whose start is not known: a process died, or nobody answered it."""
        query = (
            sa.select(runs)
            .where(runs.c.status == RunStatus.QUEUED.value, runs.c.orchestrator_id.is_(None))
            .where(runs.c.updated_at < before)
            .order_by(runs.c.created_at)
            .limit(limit)
        )
        with reading(self._engine) as connection:
            return [_run(row) for row in connection.execute(query)]

    def _key(self, run_id: str) -> str:
        """Another one after each restart, so that another run is started."""
        with reading(self._engine) as connection:
            before = read_restarts(connection, run_id)
        return before[-1].key if before else run_id

    def _write(
        self, run_id: str, values: dict[str, Any], *, now: datetime, statuses: Sequence[str] = _OPEN
    ) -> None:
        with self._engine.begin() as connection:
            connection.execute(
                sa.update(runs)
                .where(runs.c.id == run_id, runs.c.status.in_(statuses))
                .values(**values, updated_at=now)
            )


def start_unstarted(
    store: RunStore, orchestrator: Orchestrator, *, now: datetime, grace_s: float
) -> dict[str, str]:
    """Start intents that wait for longer than the grace. Run id to its status, or to why it was not started."""
    told = {}
    for run in store.unstarted(before=now - timedelta(seconds=grace_s)):
        try:
            told[run.id] = store.start(run, orchestrator, now=now).status.value
        except OrchestratorError as error:
            told[run.id] = str(error)
    return told


def insert_run(connection: sa.Connection, intent: Intent, *, status: RunStatus, now: datetime) -> Run:
    """Inside the caller's transaction. Raises ConflictError as `RunStore.intend` does."""
    key = None if intent.idempotency_key is None else _hashed(intent.idempotency_key)
    with first_insert_wins(connection):
        connection.execute(
            runs.insert().values(
                id=intent.id,
                tenant=intent.tenant,
                kind=intent.kind.value,
                parameters=intent.parameters,
                idempotency_key=key,
                request_sha256=intent.request_sha256,
                started_by=intent.started_by,
                status=status.value,
                message="",
                created_at=now,
                updated_at=now,
            )
        )
    mine = sa.and_(runs.c.tenant == intent.tenant, runs.c.idempotency_key == key)
    found = connection.execute(sa.select(runs).where(runs.c.id == intent.id if key is None else mine)).one()
    return _same(found, intent.request_sha256)


def _same(row: "sa.Row[Any]", request_sha256: str) -> Run:
    if row.request_sha256 != request_sha256:
        raise ConflictError(
            f"This Idempotency-Key was used for another request, which gave run {row.id}; use a new key"
        )
    return _run(row)


def _hashed(key: str) -> str:
    return sha256(key.encode()).hexdigest()


def _short(message: str) -> str:
    return message if len(message) <= _LONGEST_MESSAGE else message[: _LONGEST_MESSAGE - 1] + "…"


def _run(row: "sa.Row[Any]") -> Run:
    return Run(
        id=row.id,
        tenant=row.tenant,
        kind=RunKind(row.kind),
        parameters=row.parameters,
        started_by=row.started_by,
        status=RunStatus(row.status),
        orchestrator_id=row.orchestrator_id,
        result_id=row.result_id,
        message=row.message,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )
