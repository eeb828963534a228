"""Who looks at answers that have been given: the scorer of a sampled share and the shadow of a candidate.

An observer never delays or changes an answer. What it cannot take in time it drops, and counts.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from gateway_tuning.gateway.routing import Route


@dataclass(frozen=True, slots=True)
class Answered:
    """One answer with its texts, which live in memory alone. `text` is None where there is none, as in a call of tools.

    `body` is the request as the client sent it. `latency_ms` is of the whole answer.
    """

    answer_id: str
    route: Route
    body: Mapping[str, Any]
    text: str | None
    error: str | None
    latency_ms: float
    prompt_tokens: int | None
    completion_tokens: int | None
    at: datetime


class Observer(Protocol):
    def wants(self, answer_id: str, route: Route) -> bool:
        """Whether to keep this answer's text; asked before the answer is there, and blind to the arm."""
        ...

    def answered(self, answer: Answered) -> None:
        """Called once for each answer that was wanted. Must return at once and raise nothing."""
        ...
