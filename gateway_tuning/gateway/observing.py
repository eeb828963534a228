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

    `body` is the request as the client sent it. `latency_ms` is of the whole answer. `user` is as the door read it, None
    for an anonymous request. `tools` are the names that the first choice calls, in order; None: nobody looked.
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
    user: str | None = None
    simulated: bool = False
    tools: tuple[str, ...] | None = None


class Observer(Protocol):
    def wants(self, answer_id: str, route: Route) -> bool:
        """Whether to keep this answer's text; asked before the answer is there. Who scores for a canary asks no route."""
        ...

    def answered(self, answer: Answered) -> None:
        """Called once for each answer that was wanted. Must return at once and raise nothing."""
        ...
