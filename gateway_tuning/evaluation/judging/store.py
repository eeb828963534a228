"""What judges said, kept under what they were asked. So nobody is asked twice, and a killed run goes on."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from gateway_tuning.datasets.retired import require_live
from gateway_tuning.evaluation.judging.verdict import Judgement, Verdict
from gateway_tuning.storage.database import first_insert_wins, reading
from gateway_tuning.storage.tables import judgements

_AT_A_TIME = 500  # keys in a query


class JudgementStore:
    """Of one tenant. What is added is of `dataset_id`, and goes with it."""

    def __init__(self, engine: sa.Engine, tenant: str, dataset_id: str) -> None:
        self._engine = engine
        self._tenant = tenant
        self._dataset_id = dataset_id

    def find(self, keys: Sequence[str]) -> dict[str, Judgement]:
        """By key (`Question.key`), those that are known."""
        columns = judgements.c
        found: dict[str, Judgement] = {}
        with reading(self._engine) as connection:
            for start in range(0, len(keys), _AT_A_TIME):
                query = sa.select(judgements).where(
                    columns.tenant == self._tenant, columns.key.in_(keys[start : start + _AT_A_TIME])
                )
                found |= {row.key: _judgement(row) for row in connection.execute(query)}
        return found

    def add(
        self, key: str, judgement: Judgement, *, model: str, cost: Decimal | None, now: datetime
    ) -> Judgement:
        """The first judgement under a key stays, and is returned.

        Raises:
            ErasedError: the dataset was retired meanwhile.
        """
        values = {
            "key": key,
            "tenant": self._tenant,
            "dataset_id": self._dataset_id,
            "model": model[:_LONGEST_MODEL],
            "verdict": judgement.verdict.value,
            "reason": judgement.reason,
            "prompt_tokens": judgement.prompt_tokens,
            "completion_tokens": judgement.completion_tokens,
            "cost": None if cost is None else str(cost),
            "created_at": now,
        }
        columns = judgements.c
        ours = sa.select(judgements).where(columns.tenant == self._tenant, columns.key == key)
        with self._engine.begin() as connection:
            require_live(connection, self._tenant, self._dataset_id)
            with first_insert_wins(connection):
                connection.execute(sa.insert(judgements).values(**values))
            return _judgement(connection.execute(ours).one())


_LONGEST_MODEL = 200  # of the column


def forget_judgements(connection: sa.Connection, dataset_ids: Iterable[str]) -> int:
    """For an erasure: what was said of these datasets' answers goes, for reasons quote them. Returns how many did."""
    ids = sorted(dataset_ids)
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("PRAGMA secure_delete=ON")  # freed pages are overwritten
    removed = 0
    for start in range(0, len(ids), _AT_A_TIME):
        which = judgements.c.dataset_id.in_(ids[start : start + _AT_A_TIME])
        removed += connection.execute(sa.delete(judgements).where(which)).rowcount
    return removed


def _judgement(row: Any) -> Judgement:
    return Judgement(Verdict(row.verdict), row.reason, row.prompt_tokens, row.completion_tokens)
