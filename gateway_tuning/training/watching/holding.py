"""One at a time works on a tuning job: a lease with an expiry, renewed while its holder lives."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from uuid import uuid4

import sqlalchemy as sa

from gateway_tuning.errors import ConflictError
from gateway_tuning.storage import leases
from gateway_tuning.training.jobs import TuningJob

logger = logging.getLogger("gateway_tuning.training")

LEASE_SECONDS = 60.0


@contextmanager
def hold(
    engine: sa.Engine, job: TuningJob, *, clock: Callable[[], datetime], seconds: float | None = None
) -> Iterator[leases.Lease]:
    """The lease to write under. A holder that was stopped for longer than it lasts can write no more.

    Raises:
        ConflictError: somebody else works on the job; the message says who.
    """
    lasts = LEASE_SECONDS if seconds is None else seconds
    # Threads of one process are as strange to each other as processes are.
    owner = f"{leases.this_process()}|{uuid4().hex[:8]}"
    lease = leases.acquire(engine, job.lease_name, owner=owner, now=clock(), seconds=lasts)
    released = threading.Event()
    renewal = threading.Thread(
        target=_renew, args=(engine, lease, clock, lasts, released), name="job-lease", daemon=True
    )
    renewal.start()
    try:
        yield lease
    finally:
        released.set()
        renewal.join()
        leases.release(engine, lease, now=clock())


def _renew(
    engine: sa.Engine,
    lease: leases.Lease,
    clock: Callable[[], datetime],
    lasts: float,
    released: threading.Event,
) -> None:
    while not released.wait(lasts / 4):
        try:
            leases.renew(engine, lease, now=clock(), seconds=lasts)
        except ConflictError:
            logger.warning("%s was taken over; this process will write nothing more of it", lease.name)
            return
        except sa.exc.OperationalError as error:
            # The store is busy or gone; three more tries fit in before the lease ends.
            logger.warning("%s could not be renewed: %s", lease.name, error.orig)
