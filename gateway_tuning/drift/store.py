"""Finished drift checks; evidently's page lies on object storage under the same id.

Checks of one kind against one reference share a false alarm rate (`drift.spending`). A check spends from it once it has
tested something; those that measured nothing have neither number nor alpha.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

import sqlalchemy as sa

from gateway_tuning.errors import ConflictError, NotFoundError
from gateway_tuning.storage.database import first_insert_wins, reading
from gateway_tuning.storage.paging import newest_first
from gateway_tuning.storage.tables import drift_reports
from gateway_tuning.storage.tenants import lock_tenant

OLDER_HALF = "older half of "


class CheckKind(StrEnum):
    DATASET = "dataset"  # a new dataset against that of the stable version
    LIVE = "live"  # what users ask now against what the stable version was trained on


@dataclass(frozen=True, slots=True)
class StoredDriftReport:
    """`result` is a `check.DriftReport` as JSON; `reference_id` names what was compared with.

    That is a dataset, or of a live check the stable version, whose dataset is then `dataset_id` ("" where it has none).
    `model` is None on checks of earlier versions of this program.
    """

    id: str
    tenant: str
    dataset_id: str
    reference_id: str
    result: dict[str, Any]
    created_at: datetime
    model: str | None = None
    kind: str | None = None
    check_number: int | None = None
    alpha: float | None = None

    @property
    def is_against_stable(self) -> bool:
        """False where the stable version had no dataset and the dataset was compared with its own older half."""
        return not self.reference_id.startswith(OLDER_HALF)

    @property
    def state(self) -> str:
        return str(self.result["state"])


class DriftStore:
    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def add(self, report: StoredDriftReport) -> StoredDriftReport:
        """The first record of a check stays, and is returned; that of a check that failed makes way.

        Raises:
            ConflictError: another check against the same reference took this one's number meanwhile.
        """
        values = {name: getattr(report, name) for name in drift_reports.c.keys()}  # noqa: SIM118 - no mapping
        with self._engine.begin() as connection:
            lock_tenant(connection, report.tenant)
            taken = sa.select(drift_reports.c.id).where(
                *_budget(report.tenant, report.model, report.kind, report.reference_id),
                drift_reports.c.check_number == report.check_number,
                drift_reports.c.id != report.id,
            )
            if report.check_number is not None and connection.execute(taken).first() is not None:
                raise ConflictError(
                    f"Check {report.check_number} of {report.model} against {report.reference_id} was made by another "
                    "run meanwhile; check again"
                )
            before = sa.select(drift_reports.c.result).where(drift_reports.c.id == report.id)
            if (connection.execute(before).scalar() or {}).get("state") == "error":
                connection.execute(sa.delete(drift_reports).where(drift_reports.c.id == report.id))
            with first_insert_wins(connection):
                connection.execute(sa.insert(drift_reports).values(**values))
        return self.get(report.id)

    def next_number(self, tenant: str, model: str, kind: CheckKind, reference_id: str) -> int:
        """Of a check that is to be made; counts from 1."""
        query = sa.select(sa.func.max(drift_reports.c.check_number)).where(
            *_budget(tenant, model, kind, reference_id)
        )
        with reading(self._engine) as connection:
            return (connection.execute(query).scalar() or 0) + 1

    def get(self, report_id: str) -> StoredDriftReport:
        found = self.find(report_id)
        if found is None:
            raise NotFoundError(f"No drift report {report_id}; `gateway-tuning drift list` shows all")
        return found

    def find(self, report_id: str) -> StoredDriftReport | None:
        found = self._read(drift_reports.c.id == report_id)
        return found[0] if found else None

    def history(self, tenant: str, model: str | None = None) -> list[StoredDriftReport]:
        """Oldest first; of all models where none is named."""
        where = [drift_reports.c.tenant == tenant]
        if model is not None:
            where.append(drift_reports.c.model == model)
        return self._read(*where)

    def page(
        self,
        tenant: str,
        *,
        model: str | None = None,
        limit: int,
        before: tuple[datetime, str] | None = None,
    ) -> list[StoredDriftReport]:
        """Newest first; `before` is time and id of the last one of the page before."""
        where = () if model is None else (drift_reports.c.model == model,)
        rows = newest_first(
            self._engine, drift_reports, tenant=tenant, limit=limit, before=before, where=where
        )
        return [StoredDriftReport(**row._mapping) for row in rows]  # noqa: SLF001 - SQLAlchemy's public name

    def _read(self, *where: sa.ColumnElement[bool]) -> list[StoredDriftReport]:
        query = sa.select(drift_reports).where(*where)
        query = query.order_by(drift_reports.c.created_at, drift_reports.c.id)
        with reading(self._engine) as connection:
            return [StoredDriftReport(**row) for row in connection.execute(query).mappings()]


def _budget(
    tenant: str, model: str | None, kind: str | None, reference_id: str
) -> list[sa.ColumnElement[bool]]:
    columns = drift_reports.c
    return [
        columns.tenant == tenant,
        columns.model == model,
        columns.kind == kind,
        columns.reference_id == reference_id,
    ]
