"""Which versions of a model serve users, where they answer, and how it came to that."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import sqlalchemy as sa

from gateway_tuning.registry.aliases import AliasName
from gateway_tuning.registry.endpoint import Endpoint
from gateway_tuning.registry.endpoint_rows import endpoint_changes, find_endpoint
from gateway_tuning.registry.model_version import STABLE
from gateway_tuning.storage.database import reading
from gateway_tuning.storage.tables import alias_history, aliases, canaries, model_versions


@dataclass(frozen=True, slots=True)
class Deployment:
    """A version that users meet now. `share` is of users: for stable, those whom no canary takes.

    `since` is when the alias or the canary's stage began. `endpoint` is None where the registry does not know one.
    """

    version_id: str
    role: Literal["stable", "canary"]
    share: float
    since: datetime
    endpoint: Endpoint | None
    canary_id: str | None = None


@dataclass(frozen=True, slots=True)
class DeploymentChange:
    """`version_id` is None where the alias was removed, `by` where nobody said who did it."""

    at: datetime
    version_id: str | None
    what: str
    by: str | None


@dataclass(frozen=True, slots=True)
class Deployments:
    """`now` has stable first; `history` is oldest first."""

    model: str
    now: tuple[Deployment, ...]
    history: tuple[DeploymentChange, ...]


def deployments(engine: sa.Engine, model: str) -> Deployments:
    """Of the default environment. A model that serves nobody, or is not known, has none."""
    with reading(engine) as connection:
        return Deployments(model, tuple(_now(connection, model)), tuple(_history(connection, model)))


def served_now(engine: sa.Engine, model: str) -> tuple[Deployment, ...]:
    """`deployments` without how it came to that."""
    with reading(engine) as connection:
        return tuple(_now(connection, model))


def _now(connection: sa.Connection, model: str) -> list[Deployment]:
    stable = connection.execute(
        sa.select(aliases.c.version_id, aliases.c.updated_at).where(
            aliases.c.model == model, aliases.c.alias == STABLE
        )
    ).one_or_none()
    if stable is None:
        return []
    running = connection.execute(
        sa.select(canaries).where(canaries.c.model == model, canaries.c.state == "running")
    ).one_or_none()
    # As in the gateway: a canary whose control is no longer stable splits nothing.
    on_trial = running if running is not None and running.control == stable.version_id else None
    taken = on_trial.share if on_trial is not None else 0.0
    found = [
        Deployment(
            stable.version_id,
            "stable",
            1.0 - taken,
            stable.updated_at,
            find_endpoint(connection, stable.version_id),
        )
    ]
    if on_trial is not None:
        endpoint = find_endpoint(connection, on_trial.candidate)
        found.append(
            Deployment(on_trial.candidate, "canary", taken, on_trial.stage_started_at, endpoint, on_trial.id)
        )
    return found


def _history(connection: sa.Connection, model: str) -> list[DeploymentChange]:
    found = [
        DeploymentChange(row.at, row.version_id, f"{row.alias}: {row.reason}", row.actor)
        for row in connection.execute(
            sa.select(alias_history).where(alias_history.c.model == model).order_by(alias_history.c.sequence)
        )
        if AliasName.parse(row.alias).deploys
    ]
    for row in connection.execute(sa.select(canaries).where(canaries.c.model == model)):
        begun = f"canary {row.id} against {row.control} began"
        found.append(DeploymentChange(row.started_at, row.candidate, begun, row.started_by))
        if row.finished_at is not None:
            ended = f"canary {row.id} ended {row.state}"
            found.append(DeploymentChange(row.finished_at, row.candidate, ended, row.ended_by))
    versions = sa.select(model_versions.c.id).where(model_versions.c.model == model)
    for version_id in connection.execute(versions).scalars().all():
        found += [
            DeploymentChange(
                change.at, version_id, f"answers at {change.base_url} as {change.served_model}", change.by
            )
            for change in endpoint_changes(connection, version_id)
        ]
    return sorted(found, key=lambda change: change.at)
