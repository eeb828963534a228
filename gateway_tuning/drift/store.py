"""Finished drift checks; their HTML lies on object storage under the same id."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from gateway_tuning.errors import NotFoundError
from gateway_tuning.storage.database import first_insert_wins, reading
from gateway_tuning.storage.tables import drift_reports

OLDER_HALF = "older half of "


@dataclass(frozen=True, slots=True)
class StoredDriftReport:
    """`result` is a `check.DriftReport` as JSON; `reference_id` names what the dataset was compared with."""

    id: str
    tenant: str
    dataset_id: str
    reference_id: str
    result: dict[str, Any]
    created_at: datetime

    @property
    def is_against_stable(self) -> bool:
        """False where the stable version had no dataset and the dataset was compared with its own older half."""
        return not self.reference_id.startswith(OLDER_HALF)


class DriftStore:
    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def add(self, report: StoredDriftReport) -> StoredDriftReport:
        """The first record of a check stays, and is returned."""
        values = {name: getattr(report, name) for name in drift_reports.c.keys()}  # noqa: SIM118 - no mapping
        with self._engine.begin() as connection, first_insert_wins(connection):
            connection.execute(sa.insert(drift_reports).values(**values))
        return self.get(report.id)

    def get(self, report_id: str) -> StoredDriftReport:
        found = self.find(report_id)
        if found is None:
            raise NotFoundError(f"No drift report {report_id}")
        return found

    def find(self, report_id: str) -> StoredDriftReport | None:
        with reading(self._engine) as connection:
            row = connection.execute(
                sa.select(drift_reports).where(drift_reports.c.id == report_id)
            ).one_or_none()
        return None if row is None else StoredDriftReport(**row._mapping)  # noqa: SLF001 - SQLAlchemy's public name
