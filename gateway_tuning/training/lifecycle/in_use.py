"""Which base models are in use here: by jobs that have not ended, and by versions that serve users."""

from dataclasses import dataclass
from datetime import date

import sqlalchemy as sa

from gateway_tuning.registry.store import Registry
from gateway_tuning.training.jobs import JobStore
from gateway_tuning.training.lifecycle.guard import rows
from gateway_tuning.training.lifecycle.table import Purpose, Verdict, verdict


@dataclass(frozen=True, slots=True)
class Use:
    """`what` names a job or a version, with its alias."""

    provider: str
    base_model: str
    purpose: Purpose
    what: str
    found: Verdict


def in_use(engine: sa.Engine, *, today: date) -> list[Use]:
    uses = [
        (job.spec.provider, job.spec.base_model, Purpose.TUNE, f"job {job.key[:12]}")
        for job in JobStore(engine).unfinished()
    ]
    registry = Registry(engine)
    versions = {version.id: version for version in registry.versions()}
    for model in sorted({version.model for version in versions.values()}):
        for alias, id_ in sorted(registry.aliases(model).items()):
            version = versions[id_]
            if version.job_key is not None:
                uses.append((version.provider, version.base_model, Purpose.SERVE, f"{id_} ({alias})"))
    return [
        Use(provider, model, purpose, what, verdict(rows(), provider, model, today, purpose=purpose))
        for provider, model, purpose, what in uses
    ]
