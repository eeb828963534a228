"""Answers of an evaluation that is not finished: what was stored is not asked again."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from gateway_tuning.datasets.retired import require_live
from gateway_tuning.evaluation.running.asking import Prediction
from gateway_tuning.storage.database import reading
from gateway_tuning.storage.tables import predictions

_AT_A_TIME = 500  # ids in a statement
_ASKED_AGAIN = (
    "version",
    "text",
    "error",
    "unavailable",
    "runs",
    "latency_ms",
    "prompt_tokens",
    "completion_tokens",
    "created_at",
)


@dataclass(frozen=True, slots=True)
class Kept:
    """`part` is the role of who was asked; of a probe it is `role:probe`. `runs` have asked, this one included."""

    example_id: str
    part: str
    version: str
    prediction: Prediction
    runs: int = 1

    @property
    def key(self) -> tuple[str, str]:
        return self.example_id, self.part


@dataclass(frozen=True, slots=True)
class PredictionStore:
    """Of one evaluation, on the texts of one dataset."""

    engine: sa.Engine
    evaluation_id: str
    tenant: str
    dataset_id: str

    def read(self) -> dict[tuple[str, str], Kept]:
        """By example and part."""
        query = sa.select(predictions).where(predictions.c.evaluation_id == self.evaluation_id)
        with reading(self.engine) as connection:
            kept = [_kept(row) for row in connection.execute(query)]
        return {one.key: one for one in kept}

    def write(self, batch: Sequence[Kept], *, now: datetime) -> None:
        """In one transaction. An answer that is there stays; one that did not come, because nobody answered, goes.

        Raises:
            ErasedError: the dataset was retired meanwhile.
        """
        if not batch:
            return
        with _begun_without_waiting_for_the_disk(self.engine) as connection:
            require_live(connection, self.tenant, self.dataset_id)
            connection.execute(_upsert(self.engine.dialect.name), [self._row(one, now) for one in batch])

    def remove(self) -> None:
        """Once they stand elsewhere."""
        mine = predictions.c.evaluation_id == self.evaluation_id
        with self.engine.begin() as connection:
            connection.execute(predictions.delete().where(mine))

    def _row(self, one: Kept, now: datetime) -> dict[str, Any]:
        said = one.prediction
        return {
            "evaluation_id": self.evaluation_id,
            "example_id": one.example_id,
            "role": one.part,
            "tenant": self.tenant,
            "dataset_id": self.dataset_id,
            "version": one.version,
            "text": said.text,
            "error": said.error,
            "unavailable": said.unavailable,
            "runs": one.runs,
            "latency_ms": said.latency_ms,
            "prompt_tokens": said.prompt_tokens,
            "completion_tokens": said.completion_tokens,
            "created_at": now,
        }


@cache
def _upsert(dialect: str) -> Any:
    insert = (postgresql if dialect == "postgresql" else sqlite).insert(predictions)
    return insert.on_conflict_do_update(
        index_elements=list(predictions.primary_key),
        set_={name: insert.excluded[name] for name in _ASKED_AGAIN},
        where=predictions.c.unavailable,
    )


@contextmanager
def _begun_without_waiting_for_the_disk(engine: sa.Engine) -> Iterator[sa.Connection]:
    """A transaction that outlives this process once it is committed, and may be lost in a power cut.

    Its answers are then asked again, which costs less than a wait at each of them.
    """
    with engine.connect() as connection:
        raw = connection.connection.driver_connection if engine.dialect.name == "sqlite" else None
        if raw is not None:  # not to be changed inside of a transaction
            raw.execute("PRAGMA synchronous=NORMAL")
        try:
            with connection.begin():
                if engine.dialect.name == "postgresql":
                    connection.exec_driver_sql("SET LOCAL synchronous_commit TO off")
                yield connection
        finally:
            if raw is not None:
                raw.execute("PRAGMA synchronous=FULL")  # as `open_database` left it


def remove_abandoned(engine: sa.Engine, *, before: datetime) -> None:
    """Answers of evaluations that nobody went on with: texts are not kept without end for want of a last run."""
    with engine.begin() as connection:
        connection.execute(predictions.delete().where(predictions.c.created_at < before))


def forget_predictions(connection: sa.Connection, dataset_ids: Iterable[str]) -> None:
    """For an erasure: what was answered on these datasets' prompts goes."""
    ids = sorted(dataset_ids)
    for start in range(0, len(ids), _AT_A_TIME):
        which = predictions.c.dataset_id.in_(ids[start : start + _AT_A_TIME])
        connection.execute(predictions.delete().where(which))


def _kept(row: sa.Row[Any]) -> Kept:
    said = Prediction(
        row.text, row.error, row.latency_ms, row.prompt_tokens, row.completion_tokens, row.unavailable
    )
    return Kept(row.example_id, row.role, row.version, said, row.runs)
