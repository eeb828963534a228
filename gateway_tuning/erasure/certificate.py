"""What an erasure removed, searched and could not reach, as JSON that anybody can check against the audit log."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from gateway_tuning.access.audit import AuditLog
from gateway_tuning.erasure.derived import cycles_on, drift_reports_on, jobs_on
from gateway_tuning.erasure.places import Places
from gateway_tuning.erasure.search import SEARCHED, search
from gateway_tuning.erasure.store import Erasure, ErasureStore
from gateway_tuning.erasure.vault import found_in_vault
from gateway_tuning.errors import NotFoundError
from gateway_tuning.storage.database import reading
from gateway_tuning.storage.object_store import ObjectStore
from gateway_tuning.storage.tables import audit_entries, canaries, evaluations, model_versions

VERSION = 1
COMPLETED = "erasure.complete"
_VAULT = "object storage, vaults: entries of what the subject said up to the erasure, decrypted"
LIMITS = (
    "backups and copies made outside of this service",
    "weights of the models listed: they were trained on the data and are kept out of new runs",
    "reports that were saved outside of the service's own folder",
    "PostgreSQL: freed space and the write-ahead log keep bytes until they are written over",
    "object storage with versions kept: older versions of objects that were deleted or written anew",
    "copies of training files on other machines while a job of theirs is running; they go with its end",
)


def draw_up(
    places: Places,
    erasure: Erasure,
    replaced: Mapping[str, str | None],
    *,
    not_done: Iterable[str],
    vouched_for: Iterable[str],
    now: datetime,
) -> dict[str, Any]:
    """`replaced`: datasets that held the person, with what is left of each."""
    with reading(places.engine) as connection:
        models = _ids(connection, model_versions, replaced)
        evaluated = _ids(connection, evaluations, replaced)
        candidates = sa.select(canaries.c.id).where(canaries.c.candidate.in_(models)).order_by(canaries.c.id)
        tried = list(connection.execute(candidates).scalars())
    content: dict[str, Any] = {
        "version": VERSION,
        "erasure": erasure.id,
        "tenant": erasure.tenant,
        "subject_id": erasure.subject_id,
        "requested_by": erasure.requested_by,
        "erased_at": erasure.erased_at.isoformat(),
        "certified_at": now.isoformat(),
        "rows_removed": erasure.counts,
        "datasets": dict(sorted(replaced.items())),
        "training_files_deleted": sorted(job.key for job in jobs_on(places, replaced)),
        "models_marked": models,
        "canaries_of_those_models": tried,
        "evaluations_without_samples": evaluated,
        "drift_reports_without_page": sorted(
            id_ for id_, ids in drift_reports_on(places.engine) if ids & replaced.keys()
        ),
        "cycles_on_those_datasets": [
            cycle_id for cycle_id, dataset_id in cycles_on(places.engine) if dataset_id in replaced
        ],
        "searched": [*SEARCHED, _VAULT],
        "not_done": list(not_done),
        "vouched_for": list(vouched_for),
        "not_reached": list(LIMITS),
    }
    return content | {"sha256": digest(content)}


def digest(certificate: Mapping[str, Any]) -> str:
    """SHA-256 of everything but itself: keys sorted, no spaces, ASCII."""
    content = {name: value for name, value in certificate.items() if name != "sha256"}
    return hashlib.sha256(
        json.dumps(content, sort_keys=True, separators=(",", ":")).encode("ascii")
    ).hexdigest()


@dataclass(frozen=True, slots=True)
class Verification:
    problems: tuple[str, ...]

    @property
    def holds(self) -> bool:
        return not self.problems


def verify(
    engine: sa.Engine,
    objects: ObjectStore,
    certificate: Mapping[str, Any],
    *,
    vault_key: bytes | None = None,
) -> Verification:
    """The hash is that of the content, it stands in the unbroken audit log, and a fresh search finds nothing.

    Where the tenant has a vault, it holds only with the vault's key: what cannot be searched may hold the person.
    """
    if certificate.get("sha256") != digest(certificate):
        return Verification(("its content does not match its sha256: it was changed",))
    try:
        erasure = ErasureStore(engine).get(str(certificate.get("erasure")))
    except NotFoundError as error:
        return Verification((str(error),))
    problems = []
    if not _stands_in_audit_log(engine, erasure.id, certificate["sha256"]):
        problems.append("its sha256 does not stand in the audit log")
    chain = AuditLog(engine).verify()
    if not chain.intact:
        problems.append(f"the audit log is broken at entry {chain.broken_at}: {chain.reason}")
    again = [*search(engine, objects, erasure), *found_in_vault(engine, objects, erasure, vault_key)]
    problems += [f"found again: {place}" for place in again]
    return Verification(tuple(problems))


def _stands_in_audit_log(engine: sa.Engine, erasure_id: str, sha256: str) -> bool:
    query = sa.select(audit_entries.c.detail).where(
        audit_entries.c.action == COMPLETED, audit_entries.c.object_id == erasure_id
    )
    with reading(engine) as connection:
        details = list(connection.execute(query).scalars())
    return any(detail.get("certificate_sha256") == sha256 for detail in details)


def _ids(connection: sa.Connection, table: sa.Table, replaced: Mapping[str, str | None]) -> list[str]:
    query = sa.select(table.c.id).where(table.c.dataset_id.in_(sorted(replaced))).order_by(table.c.id)
    return list(connection.execute(query).scalars())
