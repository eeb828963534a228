"""Canaries inside a caller's transaction: their rows, what they are pinned to, and what their end moves."""

import secrets
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from pydantic import ValidationError

from gateway_tuning.errors import NotFoundError
from gateway_tuning.registry.alias_moves import alias, point_alias
from gateway_tuning.registry.endpoint_rows import endpoint_changes, find_endpoint
from gateway_tuning.registry.model_version import CANDIDATE, STABLE
from gateway_tuning.rollout.canary import PROMOTION, Canary, Decision, Failure, Look
from gateway_tuning.rollout.configuration import Configuration, Endpoints, Pin, configuration, endpoint_digest
from gateway_tuning.rollout.judge import Verdict
from gateway_tuning.rollout.policy import CanaryPolicy
from gateway_tuning.rollout.relevance import relevance_version
from gateway_tuning.storage.database import first_insert_wins
from gateway_tuning.storage.tables import approvals, canaries, canary_looks, model_versions

AWAITED_BY = "canary"
_STARTED_HERE = "llama"  # the provider whose versions get a server of ours


def get(connection: sa.Connection, canary_id: str, *, for_update: bool = False) -> Canary:
    """Raises NotFoundError."""
    canary = find(connection, canary_id, for_update=for_update)
    if canary is None:
        raise NotFoundError(f"No canary {canary_id}: start one first")
    return canary


def find(connection: sa.Connection, canary_id: str, *, for_update: bool = False) -> Canary | None:
    query = sa.select(canaries).where(canaries.c.id == canary_id)
    row = connection.execute(query.with_for_update() if for_update else query).one_or_none()
    if row is None:
        return None
    last_look = sa.select(sa.func.max(canary_looks.c.at)).where(canary_looks.c.canary_id == canary_id)
    fields = dict(row._mapping)  # noqa: SLF001 - SQLAlchemy's public name for a row as a mapping
    try:
        fields["policy"] = CanaryPolicy.model_validate(fields["policy"])
    except ValidationError:
        # Another version of this package wrote it. Whatever it allowed, it fits no pin: the next look voids the canary.
        fields |= {"policy": CanaryPolicy(), "config_hash": "unreadable"}
    fields["reasons"] = tuple(fields["reasons"])
    return Canary(**fields, last_look_at=connection.execute(last_look).scalar_one())


def insert(connection: sa.Connection, canary: Canary) -> None:
    values = _changing(canary) | {
        "id": canary.id,
        "tenant": canary.tenant,
        "model": canary.model,
        "candidate": canary.candidate,
        "control": canary.control,
        "policy": canary.policy.model_dump(mode="json"),
        "salt": canary.salt,
        "started_at": canary.started_at,
        "started_by": canary.started_by,
    }
    connection.execute(sa.insert(canaries).values(values))


def swap(connection: sa.Connection, before: Canary, after: Canary) -> bool:
    """Put `after` in the place of `before`; False where somebody else changed it meanwhile, and nothing is done."""
    as_seen = (
        canaries.c.id == before.id,
        canaries.c.looks == before.looks,
        canaries.c.state == before.state,
        canaries.c.approved_share.is_not_distinct_from(before.approved_share),
    )
    return connection.execute(sa.update(canaries).where(*as_seen).values(_changing(after))).rowcount == 1


def end(connection: sa.Connection, canary: Canary, now: datetime, *, by: str | None = None) -> None:
    """Move the aliases with the canary's end, and let nobody be asked for it any more.

    Raises:
        ConflictError: it was promoted, and `stable` left the control meanwhile.
    """
    reason = f"canary {canary.id} ended {canary.state}"
    if canary.state == "promoted":
        point_alias(
            connection, canary.model, STABLE, canary.candidate, reason=reason, now=now, by=by, expected=canary.control
        )  # fmt: skip
    if alias(connection, canary.model, CANDIDATE) == canary.candidate:  # a newer one is none of its business
        point_alias(connection, canary.model, CANDIDATE, None, reason=reason, now=now, by=by)
    asked = [awaited_id(canary.id, share) for share in (*canary.policy.stages, PROMOTION)]
    connection.execute(
        sa.update(approvals)
        .where(approvals.c.awaited_by == AWAITED_BY, approvals.c.awaited_id.in_(asked))
        .where(approvals.c.state == "pending")
        .values(state="withdrawn", decided_at=now)
    )


def ask_approval(
    connection: sa.Connection, canary: Canary, share: float, reasons: Sequence[str], now: datetime
) -> None:
    """Once for each share. It is listed and answered like every other approval."""
    with first_insert_wins(connection):
        connection.execute(
            sa.insert(approvals).values(
                id=f"approval-{secrets.token_hex(8)}",
                tenant=canary.tenant,
                model=canary.model,
                candidate=canary.candidate,
                awaited_by=AWAITED_BY,
                awaited_id=awaited_id(canary.id, share),
                requested_by=canary.started_by or "nobody known",
                reasons=list(reasons),
                state="pending",
                created_at=now,
            )
        )


def awaited_id(canary_id: str, share: float) -> str:
    return f"{canary_id}@{share!r}"


def awaited(awaited_id: str) -> tuple[str, float]:
    """The canary and the share that an approval is for."""
    canary_id, _, share = awaited_id.rpartition("@")
    return canary_id, float(share)


def configuration_of(connection: sa.Connection, canary: Canary) -> Configuration:
    """As it is now, pinned or not."""
    endpoints = Endpoints(_pin(connection, canary.candidate), _pin(connection, canary.control))
    scorer = relevance_version() if "relevance" in canary.policy.metrics_to_monitor else None
    return configuration(canary, endpoints, scorer)


def insert_look(
    connection: sa.Connection, before: Canary, decision: Decision, findings: Verdict | Failure, now: datetime
) -> None:
    found = findings.as_json() if isinstance(findings, Verdict) else {"failure": findings.reason}
    connection.execute(
        sa.insert(canary_looks).values(
            canary_id=before.id,
            look=before.looks + 1,
            at=now,
            stage=before.stage,
            share=before.share,
            decision=decision.kind,
            verdict={
                **found,
                "decision_reasons": list(decision.reasons),
                "unsound": list(decision.unsound),
            },
        )
    )


def looks_of(connection: sa.Connection, canary_id: str) -> list[Look]:
    """Oldest first."""
    query = sa.select(canary_looks).where(canary_looks.c.canary_id == canary_id).order_by(canary_looks.c.look)
    return [look_of(row) for row in connection.execute(query)]


def last_look(connection: sa.Connection, canary_id: str) -> Look | None:
    query = sa.select(canary_looks).where(canary_looks.c.canary_id == canary_id)
    row = connection.execute(query.order_by(canary_looks.c.look.desc()).limit(1)).one_or_none()
    return None if row is None else look_of(row)


def _changing(canary: Canary) -> dict[str, Any]:
    return {
        "state": canary.state,
        "stage": canary.stage,
        "share": canary.share,
        "looks": canary.looks,
        "reasons": list(canary.reasons),
        "stage_started_at": canary.stage_started_at,
        "finished_at": canary.finished_at,
        "config_hash": canary.config_hash,
        "approved_share": canary.approved_share,
        "ended_by": canary.ended_by,
        "verified_at": canary.verified_at,
        "verification": canary.verification,
    }


def _pin(connection: sa.Connection, version_id: str) -> Pin | None:
    endpoint = find_endpoint(connection, version_id)
    if endpoint is None:
        return None
    query = sa.select(model_versions.c.provider).where(model_versions.c.id == version_id)
    started_here = connection.execute(query).scalar_one_or_none() == _STARTED_HERE
    told = None if started_here else len(endpoint_changes(connection, version_id))
    return Pin(endpoint_digest(endpoint, started_here=started_here), told)


def look_of(row: sa.Row[Any]) -> Look:
    verdict = dict(row.verdict)
    reasons, unsound = tuple(verdict.pop("decision_reasons")), verdict.pop("unsound", None)
    return Look(
        canary_id=row.canary_id,
        look=row.look,
        at=row.at,
        stage=row.stage,
        share=row.share,
        decision=row.decision,
        reasons=reasons,
        verdict=verdict,
        unsound=None if unsound is None else tuple(unsound),
    )
