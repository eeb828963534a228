"""One question to one judge: paced, paid for, asked again where that may help."""

import asyncio
from decimal import Decimal
from typing import TYPE_CHECKING

from gateway_tuning.evaluation.judging.asking import reply
from gateway_tuning.evaluation.judging.asking.exchange import Fault, Reply, request
from gateway_tuning.evaluation.judging.asking.persisting import Again, Attempts, hopeless
from gateway_tuning.evaluation.judging.asking.prompt import messages
from gateway_tuning.evaluation.judging.asking.spending import Allowance, Prices
from gateway_tuning.evaluation.judging.verdict import Failed, Judgement, Question
from gateway_tuning.evaluation.running.pacing import Pace
from gateway_tuning.evaluation.settings import JudgeSettings

if TYPE_CHECKING:
    from openai import AsyncOpenAI

_GIVE_UP_AFTER = 20  # questions without a verdict in a row
_SEEDS = 2**31


class Asker:
    """Of one run and one event loop. What the server does not take is remembered, for all questions after it.

    `requests` counts every one that went out. `gave_up` says why nothing more is asked; None while there is hope.
    """

    def __init__(
        self,
        client: "AsyncOpenAI",
        settings: JudgeSettings,
        allowance: Allowance,
        prices: Prices | None,
        pace: Pace,
        *,
        rubric: str,
        timeout_s: float,
        seed: int,
    ) -> None:
        self.requests = 0
        self.gave_up: str | None = None
        self._client = client
        self._settings = settings
        self._allowance = allowance
        self._prices = prices
        self._pace = pace
        self._rubric = rubric
        self._timeout_s = timeout_s
        self._seed = seed
        self._dialect = reply.Dialect()
        self._lost_in_a_row = 0

    def bound(self, question: Question) -> Decimal:
        """The most that one request may cost; 0 where prices are not known, and nothing is capped."""
        return self._prices.bound(self._told(question)) if self._prices else Decimal(0)

    async def ask(self, question: Question, held: Decimal) -> Judgement | Failed:
        """`held` is `bound(question)`, held by the caller; afterwards it is settled."""
        answer = await self._persist(self._told(question), held)
        if isinstance(answer, Judgement):
            self._lost_in_a_row = 0
        elif answer.was_asked:
            self._lost_in_a_row += 1
            if self._lost_in_a_row >= _GIVE_UP_AFTER and self.gave_up is None:
                self.gave_up = (
                    f"{_GIVE_UP_AFTER} questions in a row had no verdict, the last: {answer.reason}"
                )
        return answer

    async def _persist(self, told: list[dict[str, str]], held: Decimal) -> Judgement | Failed:
        """What is held pays for one request; each other one needs as much again."""
        attempts = Attempts(self._dialect)
        while True:
            got = await self._request(told, attempts)
            self._allowance.settle(held, self._cost(got, held))
            if got is None:
                return Failed(self.gave_up or "", was_asked=attempts.failures > 0)
            next_step = attempts.after(got)
            if isinstance(got, Reply) and attempts.dialect.is_looser_than(self._dialect):
                self._dialect = attempts.dialect
            if not isinstance(next_step, Again):
                return next_step
            await asyncio.sleep(next_step.wait_s)
            if not await self._allowance.hold_again(held):
                return Failed("to ask again could cost more than is left of max_cost", was_asked=False)

    async def _request(self, told: list[dict[str, str]], attempts: Attempts) -> Reply | Fault | None:
        """None where the run was given up meanwhile."""
        seed = (self._seed + attempts.failures) % _SEEDS
        async with self._pace.slot():
            if self.gave_up is not None:
                return None
            if self._dialect.is_looser_than(attempts.dialect):
                attempts.dialect = self._dialect
            self.requests += 1
            parameters = attempts.dialect.parameters(seed, self._settings.max_tokens)
            got = await request(self._client, self._settings.model, told, parameters, self._timeout_s)
            if (reason := hopeless(got)) is not None:
                self.gave_up = self.gave_up or reason
            elif isinstance(got, Fault) and got.is_refused_for_now:
                self._pace.slow_down(got.rest_s)
            return got

    def _cost(self, got: Reply | Fault | None, held: Decimal) -> Decimal:
        """What is not known counts as the most that it may be."""
        if got is None or (isinstance(got, Fault) and got.is_free):
            return Decimal(0)
        if isinstance(got, Reply) and got.usage and self._prices:
            return self._prices.cost(*got.usage)
        return held

    def _told(self, question: Question) -> list[dict[str, str]]:
        return messages(question, self._rubric, self._seed)
