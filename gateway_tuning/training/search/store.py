"""Searches and trials in the metadata store. A trial stands there before its job is asked for."""

import math
from dataclasses import asdict, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from gateway_tuning.datasets.retired import require_live
from gateway_tuning.errors import NotFoundError
from gateway_tuning.storage import leases
from gateway_tuning.storage.database import first_insert_wins, reading
from gateway_tuning.storage.tables import search_trials, searches
from gateway_tuning.training.search.plan import SearchPlan
from gateway_tuning.training.search.trial import Role, Search, Trial, TrialState

# Optuna could keep its studies here by itself. It does not: its tables have an `alembic_version` of their own under the
# name of ours, and either would refuse what the other has written.


class SearchStore:
    """Writes name the lease of the search, and are refused with ConflictError once somebody else has taken it."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def open(self, dataset_id: str, plan: SearchPlan, *, tenant: str, now: datetime) -> Search:
        """The search of this plan, written down first if it is new.

        Raises:
            ErasedError: the dataset is retired.
        """
        search_id = plan.search_id(dataset_id)
        with self._engine.begin() as connection:
            require_live(connection, tenant, dataset_id)
            with first_insert_wins(connection):
                connection.execute(
                    searches.insert().values(
                        id=search_id,
                        tenant=tenant,
                        dataset_id=dataset_id,
                        plan=plan.model_dump(mode="json"),
                        active_s=0.0,
                        created_at=now,
                    )
                )
        return self.get(search_id)

    def get(self, search_id: str) -> Search:
        """Raises NotFoundError."""
        with reading(self._engine) as connection:
            row = connection.execute(sa.select(searches).where(searches.c.id == search_id)).one_or_none()
        if row is None:
            raise NotFoundError(f"No search {search_id}; `gateway-tuning search show` lists those there are")
        return _search(row)

    def all(self) -> list[Search]:
        """Newest first."""
        with reading(self._engine) as connection:
            query = sa.select(searches).order_by(searches.c.created_at.desc(), searches.c.id)
            return [_search(row) for row in connection.execute(query)]

    def named(self, beginning: str) -> list[Search]:
        """Searches whose id begins so."""
        return [search for search in self.all() if search.id.startswith(beginning)]

    def trials(self, search_id: str) -> list[Trial]:
        """By number."""
        query = sa.select(search_trials).where(search_trials.c.search_id == search_id)
        with reading(self._engine) as connection:
            return [_trial(row) for row in connection.execute(query.order_by(search_trials.c.number))]

    def add(self, trial: Trial, *, lease: leases.Lease) -> None:
        with self._engine.begin() as connection:
            leases.check(connection, lease)
            connection.execute(search_trials.insert().values(_stored(trial)))

    def write(self, trial: Trial, *, lease: leases.Lease) -> None:
        with self._engine.begin() as connection:
            leases.check(connection, lease)
            same = (search_trials.c.search_id == trial.search_id) & (search_trials.c.number == trial.number)
            connection.execute(search_trials.update().where(same).values(_stored(trial)))

    def worked(self, search_id: str, active_s: float, *, lease: leases.Lease) -> None:
        self._update(search_id, lease, active_s=active_s)

    def finish(
        self, search_id: str, ended_by: str, result: dict[str, Any], *, now: datetime, lease: leases.Lease
    ) -> Search:
        self._update(search_id, lease, ended_by=ended_by, result=result, finished_at=now)
        return self.get(search_id)

    def _update(self, search_id: str, lease: leases.Lease, **values: Any) -> None:
        with self._engine.begin() as connection:
            leases.check(connection, lease)
            connection.execute(searches.update().where(searches.c.id == search_id).values(values))


def _search(row: "sa.Row[Any]") -> Search:
    fields = dict(row._mapping)  # noqa: SLF001 - SQLAlchemy's public name for a row as a mapping
    fields["plan"] = SearchPlan.model_validate(row.plan)
    return Search(**fields)


def _trial(row: "sa.Row[Any]") -> Trial:
    fields = dict(row._mapping)  # noqa: SLF001 - SQLAlchemy's public name for a row as a mapping
    fields |= {
        "role": Role(row.role),
        "state": TrialState(row.state),
        "stopping": None if row.stopping is None else TrialState(row.stopping),
        "reports": tuple((step, math.nan if loss is None else loss) for step, loss in row.reports),
        "price": None if row.price is None else Decimal(row.price),
        "cost": None if row.cost is None else Decimal(row.cost),
    }
    return Trial(**fields)


def _stored(trial: Trial) -> dict[str, Any]:
    """JSON has no word for what is no number: null, and a diverged loss is not forgotten."""
    reports = [[step, loss if math.isfinite(loss) else None] for step, loss in trial.reports]
    value = trial.value if trial.value is None or math.isfinite(trial.value) else None
    return asdict(replace(trial, value=value)) | {
        "reports": reports,
        "price": None if trial.price is None else str(trial.price),
        "cost": None if trial.cost is None else str(trial.cost),
    }
