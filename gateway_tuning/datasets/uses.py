"""What needs a dataset: models, evaluations, and work that is not finished."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from gateway_tuning.datasets.retired import successor
from gateway_tuning.storage.tables import (
    cycle_stages,
    cycles,
    evaluations,
    model_versions,
    runs,
    tuning_jobs,
)

_UNDER_WAY = ("awaiting_approval", "queued", "running")
_NAMED = 3  # objects that use a dataset, named in a sentence


@dataclass(frozen=True, slots=True)
class Uses:
    """What needs a dataset: versions that were trained on it, evaluations on it, work on it that is not finished.

    What was left of a dataset after an erasure is used by whatever used the whole.
    """

    models: tuple[str, ...] = ()
    evaluations: tuple[str, ...] = ()
    work: tuple[str, ...] = ()

    @property
    def told(self) -> tuple[str, ...]:
        return (
            *_told("model version", "was trained on it", self.models),
            *_told("evaluation", "was made on it", self.evaluations),
            *(f"{what} is not finished with it" for what in self.work[:_NAMED]),
        )


def uses_of(connection: sa.Connection, tenant: str) -> dict[str, Uses]:
    """By dataset, retired ones left out."""
    models, evaluated = model_versions.c, evaluations.c
    found: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for kind, query in (
        (
            "models",
            sa.select(models.dataset_id, models.id).where(models.tenant == tenant, models.status != "failed"),
        ),
        ("evaluations", sa.select(evaluated.dataset_id, evaluated.id).where(evaluated.tenant == tenant)),
    ):
        for dataset_id, user in connection.execute(query.where(query.selected_columns[0].is_not(None))):
            found[dataset_id][kind].add(user)
    for dataset_id, work in _work(connection, tenant):
        found[dataset_id]["work"].add(work)
    uses: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for dataset_id, by_kind in found.items():
        left = successor(connection, dataset_id)
        for kind, users in by_kind.items():
            if left is not None:
                uses[left][kind] |= users
    return {
        dataset_id: Uses(**{kind: tuple(sorted(users)) for kind, users in by_kind.items()})
        for dataset_id, by_kind in uses.items()
    }


def _work(connection: sa.Connection, tenant: str) -> list[tuple[str, str]]:
    """Dataset and what works on it: tuning jobs, cycles and runs that have not ended."""
    job, run = tuning_jobs.c, runs.c
    jobs = sa.select(job.key, job.spec).where(job.tenant == tenant, job.status.in_(_UNDER_WAY))
    asked = sa.select(run.id, run.parameters).where(run.tenant == tenant, run.status.in_(_UNDER_WAY))
    open_cycles = (
        sa.select(cycle_stages.c.object_id, cycles.c.id)
        .join(cycles, cycles.c.id == cycle_stages.c.cycle_id)
        .where(cycles.c.tenant == tenant, cycles.c.status != "finished", cycle_stages.c.stage == "dataset")
    )
    return [
        *((row.spec["dataset_id"], f"tuning job {row.key[:12]}") for row in connection.execute(jobs)),
        *((id_, f"cycle {cycle}") for id_, cycle in connection.execute(open_cycles)),
        *(
            (row.parameters["dataset_id"], f"run {row.id}")
            for row in connection.execute(asked)
            if row.parameters.get("dataset_id")
        ),
    ]


def _told(what: str, did: str, ids: Sequence[str]) -> tuple[str, ...]:
    """One sentence at most."""
    if not ids:
        return ()
    more = f" and {len(ids) - _NAMED} more" if len(ids) > _NAMED else ""
    return (f"{what} {', '.join(ids[:_NAMED])}{more} {did}",)
