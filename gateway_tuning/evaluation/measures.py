"""What every answer costs its user. No scorer: it is measured while asking, on the answers that came."""

from gateway_tuning.evaluation.scored import Answer
from gateway_tuning.evaluation.scoring.protocol import ScorerCard

LATENCY = "latency_ms"
TOKENS = "completion_tokens"

MEASURES = {
    LATENCY: ScorerCard(
        name=LATENCY,
        label="Latency (ms)",
        formula="milliseconds from the request to the whole answer, retries included",
        source="clock of the evaluation",
        low=0.0,
        high=None,
        higher_is_better=False,
        failed=None,
    ),
    TOKENS: ScorerCard(
        name=TOKENS,
        label="Tokens of the answer",
        formula="completion tokens as the server counts them",
        source="usage of the server's reply",
        low=0.0,
        high=None,
        higher_is_better=False,
        failed=None,
    ),
}


def measure(name: str, answer: Answer) -> float | None:
    """None of an answer that did not come, and of tokens that nobody counted."""
    if answer.text is None:
        return None
    return answer.latency_ms if name == LATENCY else answer.completion_tokens
