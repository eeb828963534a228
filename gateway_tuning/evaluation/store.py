"""Finished evaluations. Their predictions and reports lie on object storage under the same id."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from gateway_tuning.datasets.retired import require_live
from gateway_tuning.errors import NotFoundError
from gateway_tuning.storage.database import first_insert_wins, reading
from gateway_tuning.storage.tables import evaluations


@dataclass(frozen=True, slots=True)
class StoredEvaluation:
    """`result` is a `result.EvaluationResult` as JSON."""

    id: str
    tenant: str
    model: str
    candidate: str
    baseline: str
    dataset_id: str
    result: dict[str, Any]
    created_at: datetime


class EvaluationStore:
    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def add(self, evaluation: StoredEvaluation) -> StoredEvaluation:
        """The first record of an evaluation stays, and is returned.

        Raises:
            ErasedError: its dataset was retired while it ran.
        """
        values = {name: getattr(evaluation, name) for name in evaluations.c.keys()}  # noqa: SIM118 - no mapping
        with self._engine.begin() as connection:
            require_live(connection, evaluation.tenant, evaluation.dataset_id)
            with first_insert_wins(connection):
                connection.execute(sa.insert(evaluations).values(**values))
        return self.get(evaluation.id)

    def find(self, evaluation_id: str) -> StoredEvaluation | None:
        with reading(self._engine) as connection:
            row = connection.execute(
                sa.select(evaluations).where(evaluations.c.id == evaluation_id)
            ).one_or_none()
        return None if row is None else StoredEvaluation(**row._mapping)  # noqa: SLF001 - SQLAlchemy's public name

    def get(self, evaluation_id: str) -> StoredEvaluation:
        found = self.find(evaluation_id)
        if found is None:
            raise NotFoundError(f"No evaluation {evaluation_id}; `gateway-tuning evaluations` lists them")
        return found

    def all(self) -> list[StoredEvaluation]:
        with reading(self._engine) as connection:
            rows = connection.execute(sa.select(evaluations).order_by(evaluations.c.created_at))
            return [StoredEvaluation(**row._mapping) for row in rows]  # noqa: SLF001 - as above
