"""Ask all questions of an evaluation, and keep every answer at once."""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from gateway_tuning.datasets.example import Turn
from gateway_tuning.evaluation.running.asking import Prediction, ask, open_clients
from gateway_tuning.evaluation.running.pacing import Pace
from gateway_tuning.evaluation.running.store import Kept, PredictionStore
from gateway_tuning.evaluation.settings import EvaluationSettings
from gateway_tuning.registry.endpoint import Endpoint

MOST_RUNS = 3  # that ask one question that nobody answers
# Workers that begin together get their answers together, and each then waits while those of all others are read.
_APART_S = 0.006


@dataclass(frozen=True, slots=True)
class Question:
    """`part` says who is asked, to us alone: nothing of it is sent."""

    example_id: str
    part: str
    version: str
    endpoint: Endpoint
    messages: Sequence[Turn]
    tools: Sequence[str] = ()

    @property
    def key(self) -> tuple[str, str]:
        return self.example_id, self.part


async def ask_all(
    questions: Sequence[Question], settings: EvaluationSettings, store: PredictionStore | None
) -> dict[tuple[str, str], Prediction]:
    """Answers by example and part, in the order of the questions.

    What the store has is not asked again; but for what nobody answered, which up to `MOST_RUNS` runs ask. A worker
    takes the next question when its answer is stored: a killed process loses at most `settings.concurrency` of them.

    Raises:
        ErasedError: the dataset was retired meanwhile.
        MissingExtraError, ConfigurationError: as `open_clients`.
    """
    known = await asyncio.to_thread(store.read) if store else {}
    left = [question for question in questions if _is_open(known.get(question.key))]
    runs = {key: kept.runs + 1 for key, kept in known.items()}
    asked: dict[tuple[str, str], Prediction] = {}
    async with open_clients(
        (question.endpoint for question in left), timeout_s=settings.timeout_s
    ) as client_of:
        pace = Pace(settings.concurrency)
        keep = _Keeper(store)

        async def work(todo: Iterator[Question], begin_after_s: float) -> None:
            await asyncio.sleep(begin_after_s)
            for question in todo:
                said = await ask(
                    client_of(question.endpoint),
                    question.endpoint,
                    question.messages,
                    pace=pace,
                    max_tokens=settings.max_tokens,
                    seed=settings.seed,
                    tools=question.tools,
                )
                await keep.put(Kept(*question.key, question.version, said, runs.get(question.key, 1)))
                asked[question.key] = said

        todo = iter(left)
        try:
            async with asyncio.TaskGroup() as group:
                for number in range(min(settings.concurrency, len(left))):
                    group.create_task(work(todo, number * _APART_S))
        except BaseExceptionGroup as failures:  # the first of them stopped the others
            raise failures.exceptions[0] from None
    return {
        question.key: asked[question.key] if question.key in asked else known[question.key].prediction
        for question in questions
    }


def _is_open(kept: Kept | None) -> bool:
    return kept is None or (kept.prediction.unavailable and kept.runs < MOST_RUNS)


class _Keeper:
    """Writes beside the event loop, everything that has come since the last write in one transaction."""

    def __init__(self, store: PredictionStore | None) -> None:
        self._store = store
        self._waiting: list[Kept] = []
        self._writing = asyncio.Lock()

    async def put(self, kept: Kept) -> None:
        """Returns once it is stored."""
        if self._store is None:
            return
        self._waiting.append(kept)
        async with self._writing:
            if kept not in self._waiting:  # whoever wrote before has taken it along
                return
            batch, self._waiting = self._waiting, []
            await asyncio.to_thread(self._store.write, batch, now=datetime.now(UTC))
