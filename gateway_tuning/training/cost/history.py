"""What earlier jobs of a model tell: how fast they were, and how far off their estimates."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from statistics import median

import sqlalchemy as sa

from gateway_tuning.storage.database import reading
from gateway_tuning.storage.tables import cost_entries, tuning_jobs
from gateway_tuning.training.cost.actual import SECONDS, TOKENS
from gateway_tuning.training.cost.estimate import Pace
from gateway_tuning.training.cost.reservations import Reservation

_RECENT = 20


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Actual to expected of earlier jobs of a model at a provider. It is shown, and corrects no estimate."""

    provider: str
    base_model: str
    jobs: int
    middle: Decimal
    lowest: Decimal
    highest: Decimal

    @property
    def told(self) -> str:
        jobs = "1 earlier job" if self.jobs == 1 else f"{self.jobs} earlier jobs"
        return f"{jobs} cost {self.middle:.2f} times the estimate ({self.lowest:.2f} to {self.highest:.2f})"


def pace(engine: sa.Engine, tenant: str, provider: str, base_model: str) -> Pace:
    """Of the tenant's last jobs of the model; what others do here is not told."""
    query = (
        sa.select(cost_entries.c.usage, tuning_jobs.c.spec)
        .join(tuning_jobs, tuning_jobs.c.key == cost_entries.c.object_id)
        .where(cost_entries.c.tenant == tenant, cost_entries.c.provider == provider)
        .order_by(cost_entries.c.created_at.desc())
    )
    with reading(engine) as connection:
        rows = connection.execute(query).all()
    speeds = [
        Decimal(str(row.usage[TOKENS])) * 3600 / Decimal(str(row.usage[SECONDS]))
        for row in rows
        if row.spec["base_model"] == base_model and row.usage.get(TOKENS) and row.usage.get(SECONDS)
    ]
    return Pace(tuple(speeds[:_RECENT]))


def accuracy(reservations: Sequence[Reservation]) -> list[Accuracy]:
    """By provider and model, of those whose estimate and cost are both known."""
    ratios: dict[tuple[str, str], list[Decimal]] = {}
    for one in reservations:
        if one.ratio is not None:
            ratios.setdefault((one.provider, one.base_model), []).append(one.ratio)
    return [
        Accuracy(provider, model, len(found), median(found), min(found), max(found))
        for (provider, model), found in sorted(ratios.items())
    ]
