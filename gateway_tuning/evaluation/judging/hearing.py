"""Many pairs before one judge: known verdicts are not asked for again, new ones are kept at once."""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal

from gateway_tuning.evaluation.judging.asking.asker import Asker
from gateway_tuning.evaluation.judging.asking.prompt import PROMPT_VERSION
from gateway_tuning.evaluation.judging.asking.spending import Allowance, Prices
from gateway_tuning.evaluation.judging.store import JudgementStore
from gateway_tuning.evaluation.judging.verdict import Failed, Judgement, Outcome, Pair, Question
from gateway_tuning.evaluation.settings import JudgeSettings


class Hearing:
    """One run. `cached` counts verdicts that were known before; `stopped` says why the rest was not asked for."""

    def __init__(
        self,
        asker: Asker,
        store: JudgementStore,
        settings: JudgeSettings,
        allowance: Allowance,
        prices: Prices | None,
        *,
        rubric: str,
        concurrency: int,
        now: datetime,
    ) -> None:
        self.cached = 0
        self.stopped: str | None = None
        self._asker = asker
        self._store = store
        self._settings = settings
        self._allowance = allowance
        self._prices = prices
        self._rubric = rubric
        self._now = now
        # Questions are seen through before new ones are begun: what the first ones teach is then known to the others.
        self._begun = asyncio.Semaphore(concurrency)
        self._known: dict[str, Judgement | Failed] = {}

    async def hear(self, pairs: Sequence[Pair]) -> list[Outcome]:
        """Both orders of each pair, begun in this order and not after the first one that cannot be paid for.

        Raises:
            ErasedError: the dataset was retired meanwhile.
        """
        asked = [{self._key(question): question for question in pair.questions} for pair in pairs]
        keys = [key for questions in asked for key in questions if key not in self._known]
        found = await asyncio.to_thread(self._store.find, list(dict.fromkeys(keys)))
        self.cached += len(found)
        try:
            await self._ask_for_the_rest(asked, found)
        except BaseExceptionGroup as group:
            raise group.exceptions[0] from None  # the others were cancelled because of it
        outcomes = []
        for pair in pairs:
            first, second = (self._known[self._key(question)] for question in pair.questions)
            outcomes.append(Outcome(pair, first, second))
        return outcomes

    async def _ask_for_the_rest(
        self, asked: Sequence[dict[str, Question]], found: dict[str, Judgement]
    ) -> None:
        begun: set[str] = set()
        async with asyncio.TaskGroup() as tasks:
            for questions in asked:
                new = {
                    key: each
                    for key, each in questions.items()
                    if key not in self._known and key not in begun
                }
                for key in new.keys() & found.keys():
                    cost, bound = self._cost(found[key]), self._asker.bound(new.pop(key))
                    self._allowance.add_before(bound if cost is None else cost)
                    self._known[key] = found[key]
                bounds = {key: self._asker.bound(question) for key, question in new.items()}
                if new and not await self._may_ask(sum(bounds.values(), Decimal(0))):
                    reason = self._asker.gave_up or self.stopped or ""
                    self._known |= dict.fromkeys(new, Failed(reason, was_asked=False))
                    continue
                for key, question in new.items():
                    begun.add(key)
                    await self._begun.acquire()
                    tasks.create_task(self._ask(key, question, bounds[key]))

    async def _may_ask(self, amount: Decimal) -> bool:
        if self.stopped or self._asker.gave_up:
            return False
        if await self._allowance.hold(amount):
            return True
        told = f"{self._settings.max_cost} {self._settings.currency}"
        self.stopped = f"another pair could cost more than is left of max_cost ({told})"
        return False

    async def _ask(self, key: str, question: Question, held: Decimal) -> None:
        try:
            answer = await self._asker.ask(question, held)
            if isinstance(answer, Judgement):
                cost = self._cost(answer)
                answer = await asyncio.to_thread(
                    self._store.add, key, answer, model=self._settings.model, cost=cost, now=self._now
                )
            self._known[key] = answer
        finally:
            self._begun.release()

    def _key(self, question: Question) -> str:
        return question.key(self._settings.model, PROMPT_VERSION, self._rubric)

    def _cost(self, judgement: Judgement) -> Decimal | None:
        read, written = judgement.prompt_tokens, judgement.completion_tokens
        if self._prices is None or read is None or written is None:
            return None
        return self._prices.cost(read, written)
