"""What a job works with, and who does the jobs: one thread, several, or several processes."""

import gc
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from threading import Lock
from typing import Any, Protocol

from gateway_tuning.anonymization.anonymizer import Anonymizer
from gateway_tuning.anonymization.policy import AnonymizationPolicy
from gateway_tuning.anonymization.vaults import TenantVault
from gateway_tuning.errors import GatewayTuningError
from gateway_tuning.feedback.store import FeedbackStore
from gateway_tuning.storage.object_store import ObjectStore


@dataclass(frozen=True, slots=True)
class Workshop:
    """`anonymizer` is that of a tenant, loaded when the first job needs it.

    `language_of` gives an ISO 639-1 code, or None where it cannot tell. `vault` is a tenant's; None where pseudonyms
    are to lead nowhere.
    """

    feedback: FeedbackStore
    objects: ObjectStore
    anonymizer: Callable[[str, AnonymizationPolicy], Anonymizer]
    language_of: Callable[[str], str | None]
    vault: Callable[[str], TenantVault] | None = None


class Crew(Protocol):
    """Does the jobs of a stage. A stage is a function of this package, a job and its report are picklable."""

    def __call__(self, stage: Callable[[Workshop, Any], Any], jobs: Sequence[Any]) -> list[Any]:
        """Reports in the order of the jobs."""
        ...


def do(stage: Callable[[Workshop, Any], Any], workshop: Workshop, job: Any) -> Any:
    with uncollected():
        return stage(workshop, job)


_uncollected = [0]
_counting = Lock()


@contextmanager
def uncollected() -> Iterator[None]:
    """Without Python's collector of cycles, for the whole process.

    A job makes some million objects and next to no cycles; looking for them again and again took a quarter of its time.
    """
    with _counting:
        if not _uncollected[0]:
            gc.disable()
        _uncollected[0] += 1
    try:
        yield
    finally:
        with _counting:
            _uncollected[0] -= 1
            if not _uncollected[0]:
                gc.enable()


def alone(workshop: Workshop) -> Crew:
    def work(stage: Callable[[Workshop, Any], Any], jobs: Sequence[Any]) -> list[Any]:
        return [do(stage, workshop, job) for job in jobs]

    return work


def threads(workshop: Workshop, count: int) -> Crew:
    def work(stage: Callable[[Workshop, Any], Any], jobs: Sequence[Any]) -> list[Any]:
        with ThreadPoolExecutor(count) as pool:
            return list(pool.map(lambda job: do(stage, workshop, job), jobs))

    return work


@contextmanager
def processes(open_workshop: Callable[[], Workshop], count: int) -> Iterator[Crew]:
    """`open_workshop` is picklable and is called once in each process.

    The crew raises GatewayTuningError when one of them is killed.
    """
    pool = ProcessPoolExecutor(
        count, mp_context=get_context("spawn"), initializer=_enter, initargs=(open_workshop,)
    )

    def work(stage: Callable[[Workshop, Any], Any], jobs: Sequence[Any]) -> list[Any]:
        try:
            return list(pool.map(_do, [stage] * len(jobs), jobs))
        except BrokenProcessPool:
            raise GatewayTuningError(
                "A process of the build was killed or could not start, perhaps for memory; build again with fewer "
                "processes or a smaller block_records"
            ) from None

    try:
        yield work
    finally:
        pool.shutdown(cancel_futures=True)


_workshop: list[Workshop] = []


def _enter(open_workshop: Callable[[], Workshop]) -> None:
    _workshop[:] = [open_workshop()]


def _do(stage: Callable[[Workshop, Any], Any], job: Any) -> Any:
    return do(stage, _workshop[0], job)
