"""The rest of an erasure, by its id alone. Killed anywhere and run again, it comes to the same end."""

import logging
from datetime import datetime

import sqlalchemy as sa

from gateway_tuning.access.audit import AuditEvent, AuditLog
from gateway_tuning.datasets.example import Example
from gateway_tuning.erasure import certificate as certificates
from gateway_tuning.erasure.derived import WAIT_SECONDS, settle
from gateway_tuning.erasure.leftovers import remove_leftovers, retired_datasets
from gateway_tuning.erasure.places import Places
from gateway_tuning.erasure.remains import remove_remains
from gateway_tuning.erasure.rewrite import datasets_holding, rewrite
from gateway_tuning.erasure.search import search
from gateway_tuning.erasure.store import Erasure, ErasureState, ErasureStore, note_datasets
from gateway_tuning.erasure.vault import forget_in_vault, found_in_vault
from gateway_tuning.storage.tables import dataset_feedback, datasets, erasures, model_versions
from gateway_tuning.storage.tenants import lock_tenant

logger = logging.getLogger("gateway_tuning.erasure")


def complete(
    places: Places,
    erasure_id: str,
    *,
    now: datetime,
    wait_seconds: float = WAIT_SECONDS,
    unknown_jobs_are_gone: bool = False,
) -> Erasure:
    """Rewrite or retire datasets, see to what was made of them, forget in the vault, search again, and certify.

    `wait_seconds` is the longest wait for tuning jobs to end, and for others to leave the database or the vault. What cannot be done now leaves the erasure
    `incomplete`, to be tried again. `unknown_jobs_are_gone`: somebody vouches for files of jobs that the provider
    does not know here; the certificate says so.
    """
    store = ErasureStore(places.engine)
    erasure = store.get(erasure_id)
    if erasure.state is ErasureState.COMPLETED:
        return erasure
    _rewrite_all(places, erasure, now)
    left = settle(places, retired_datasets(places.engine), now, wait_seconds=wait_seconds)
    vouched_for = [item.told for item in left if item.is_unknown and unknown_jobs_are_gone]
    not_done = [item.told for item in left if item.told not in vouched_for]
    remove_leftovers(places)
    _drop_lineage(places.engine, erasure)
    not_done += _forget(places, erasure, wait_seconds)
    not_done += remove_remains(places.engine, wait_seconds=wait_seconds)
    not_done += [f"still found: {place}" for place in search(places.engine, places.objects, erasure)]
    _certify(places, store.get(erasure_id), not_done, vouched_for, now)
    finished = store.get(erasure_id)
    logger.info("erasure %s: %s", erasure_id, finished.state)
    for line in not_done:
        logger.warning("erasure %s: %s", erasure_id, line)
    return finished


def sweep(places: Places, *, now: datetime) -> list[str]:
    """What runs that began before an erasure and were killed after it left behind. Returns what could not be done."""
    left = settle(places, retired_datasets(places.engine), now)
    remove_leftovers(places)
    tenants = ErasureStore(places.engine).tenants()
    forgotten = [forget_in_vault(places, tenant, wait_seconds=WAIT_SECONDS) for tenant in tenants]
    return [*(item.told for item in left), *(line for lines in forgotten for line in lines)]


def _forget(places: Places, erasure: Erasure, wait_seconds: float) -> list[str]:
    found = forget_in_vault(places, erasure.tenant, wait_seconds=wait_seconds)
    if found:
        return found
    again = found_in_vault(places.engine, places.objects, erasure, places.vault_key)
    return [f"still found: {place}" for place in again]


def _rewrite_all(places: Places, erasure: Erasure, now: datetime) -> None:
    """Until nothing is left to rewrite: another erasure may put its own replacement into the place of a dataset."""
    is_erased = ErasureStore(places.engine).names_erased_feedback(erasure)

    def holds(example: Example) -> bool:
        return erasure.subject_id in example.subject_ids or any(map(is_erased, example.feedback_ids))

    done: set[str] = set()
    while todo := [id_ for id_ in datasets_holding(places.engine, erasure) if id_ not in done]:
        for dataset_id in todo:
            rewrite(places.engine, places.objects, erasure, dataset_id, holds=holds, now=now)
            done.add(dataset_id)
    _mark_models_of_deleted(places.engine, erasure)


def _mark_models_of_deleted(engine: sa.Engine, erasure: Erasure) -> None:
    """A dataset that was deleted before is not rewritten; what was trained on it holds the person all the same."""
    mine = dataset_feedback.c
    held = (
        sa.select(datasets.c.id)
        .join(dataset_feedback, mine.dataset_id == datasets.c.id)
        .where(mine.tenant == erasure.tenant, mine.subject_id == erasure.subject_id, mine.used)
        .where(datasets.c.retired_at.is_not(None), datasets.c.created_at <= erasure.erased_at)
    )
    with engine.begin() as connection:
        lock_tenant(connection, erasure.tenant)
        connection.execute(
            sa.update(model_versions)
            .where(model_versions.c.dataset_id.in_(held), model_versions.c.holds_erased_since.is_(None))
            .values(holds_erased_since=erasure.erased_at)
        )


def _drop_lineage(engine: sa.Engine, erasure: Erasure) -> None:
    """Of the person, in datasets from before. Those that another erasure retired held this person too: note them."""
    mine = dataset_feedback.c
    of_person = (mine.tenant == erasure.tenant, mine.subject_id == erasure.subject_id)
    before = (
        sa.select(datasets.c.id)
        .where(datasets.c.tenant == erasure.tenant)
        .where(sa.or_(datasets.c.retired_at.is_not(None), datasets.c.created_at <= erasure.erased_at))
    )
    with engine.begin() as connection:
        lock_tenant(connection, erasure.tenant)
        held = (
            sa.select(datasets.c.id, datasets.c.replaced_by)
            .join(dataset_feedback, mine.dataset_id == datasets.c.id)
            .where(*of_person, mine.used, datasets.c.retired_at.is_not(None))
        )
        note_datasets(connection, erasure.id, dict(connection.execute(held).tuples().all()))
        connection.execute(dataset_feedback.delete().where(*of_person, mine.dataset_id.in_(before)))


def _certify(
    places: Places, erasure: Erasure, not_done: list[str], vouched_for: list[str], now: datetime
) -> None:
    noted = erasure.certificate or {}
    replaced: dict[str, str | None] = noted.get("datasets", {})
    certificate = certificates.draw_up(
        places, erasure, replaced, not_done=not_done, vouched_for=vouched_for, now=now
    )
    open_ = (erasures.c.id == erasure.id, erasures.c.state != ErasureState.COMPLETED.value)
    with places.engine.begin() as connection:
        state = ErasureState.INCOMPLETE if not_done else ErasureState.COMPLETED
        written = connection.execute(
            sa.update(erasures)
            .where(*open_)
            .values(state=state.value, certificate=certificate, completed_at=None if not_done else now)
        )
        if not_done or written.rowcount == 0:
            return
        event = AuditEvent(
            tenant=erasure.tenant,
            actor=erasure.requested_by,
            action=certificates.COMPLETED,
            object_id=erasure.id,
            detail={"certificate_sha256": certificate["sha256"], "models": len(certificate["models_marked"])},
        )
        AuditLog(places.engine).append_in(connection, event, now=now)
