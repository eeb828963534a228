"""Carry one job through whatever the wire does, as a patient caller would, without a second of waiting."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from hypothesis import strategies as st

from gateway_tuning.errors import ProviderUnavailableError
from gateway_tuning.training.job import ProviderJob, TrainingFiles, TuningSpec
from tests.wire.faults import (
    Fault,
    Faults,
    failed_reply,
    lost_reply,
    lost_request,
    status,
    truncated,
)

T = TypeVar("T")
MOST_QUESTIONS = 60


async def passing(app: Any, scope: Any, receive: Any, send: Any) -> None:
    await app(scope, receive, send)


MAY_BE_TRIED_AGAIN: dict[str, Callable[[], Fault]] = {
    "nothing": lambda: passing,
    "429": lambda: status(429, retry_after=1),
    "500": lambda: status(500),
    "503": lambda: status(503),
    "lost request": lost_request,
    "lost reply": lost_reply,
    "failed reply": failed_reply,
    "cut off": truncated,
    "half of the JSON": lambda: truncated(says_so=True),
}

sequences = st.lists(st.sampled_from(sorted(MAY_BE_TRIED_AGAIN)), max_size=12)


def script(faults: Faults, sequence: list[str], *, clear: bool = True) -> None:
    """The requests that follow meet these, in order, and those after them nothing."""
    if clear:
        faults.clear()
    for name in sequence:
        faults.on("*", ".", MAY_BE_TRIED_AGAIN[name]())


@dataclass(slots=True)
class Caller:
    """Counts its questions, and asks no more of them than a bounded time would allow."""

    provider: Any
    questions: int = 0

    def run(self, key: str, spec: TuningSpec, files: TrainingFiles) -> ProviderJob:
        job = self.ask(lambda: self.provider.submit(key, spec, files))
        while not job.status.is_terminal:
            job_id = job.id
            job = self.ask(lambda: self.provider.poll(job_id))  # noqa: B023
        return job

    def ask(self, question: Callable[[], T]) -> T:
        while True:
            self.questions += 1
            assert self.questions <= MOST_QUESTIONS
            try:
                return question()
            except ProviderUnavailableError:
                continue
