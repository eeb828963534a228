"""How the candidates of a model compared, one after the other."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from gateway_tuning.errors import IntegrityError
from gateway_tuning.evaluation.result import read_result
from gateway_tuning.evaluation.scored import Role
from gateway_tuning.evaluation.scoring.protocol import ScorerCard
from gateway_tuning.evaluation.statistics import Difference
from gateway_tuning.storage.database import reading
from gateway_tuning.storage.tables import evaluations


@dataclass(frozen=True, slots=True)
class Past:
    """One evaluation by its primary metric. `mean` is the candidate's, `difference` to the stable version of then.

    `card` and `difference` are None where the metric was not compared.
    """

    evaluation_id: str
    model: str
    candidate: str
    stable: str
    dataset_id: str
    created_at: datetime
    state: str
    metric: str
    card: ScorerCard | None
    mean: float | None
    difference: Difference | None


def past_evaluations(engine: sa.Engine, model: str | None = None) -> list[Past]:
    """Of a model, or of all, oldest first.

    Raises:
        IntegrityError: what is stored of one of them is no result; the message names it.
    """
    chosen = sa.select(evaluations).order_by(evaluations.c.created_at, evaluations.c.id)
    if model is not None:
        chosen = chosen.where(evaluations.c.model == model)
    with reading(engine) as connection:
        return [past_of(row) for row in connection.execute(chosen)]


def past_of(row: "sa.Row[Any]") -> Past:
    """Of a row of the table. Raises IntegrityError as `past_evaluations` does."""
    try:
        result = read_result(row.result)
    except IntegrityError as error:
        raise IntegrityError(f"Evaluation {row.id}: {error}") from error
    candidate, compared = result.system(Role.CANDIDATE), result.comparison(result.primary)
    return Past(
        evaluation_id=row.id,
        model=row.model,
        candidate=row.candidate,
        stable=row.baseline,
        dataset_id=row.dataset_id,
        created_at=row.created_at,
        state=result.state,
        metric=result.primary,
        card=result.cards.get(result.primary),
        mean=candidate.means.get(result.primary) if candidate else None,
        difference=compared.difference if compared else None,
    )
