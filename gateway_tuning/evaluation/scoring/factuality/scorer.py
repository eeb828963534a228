"""Are the answer's claims borne out by what it may rely on?"""

import math
from collections.abc import Sequence
from functools import lru_cache

from gateway_tuning.evaluation.scoring.factuality.claims import Claim, find_claims
from gateway_tuning.evaluation.scoring.factuality.support import Sources, Support, word_weights
from gateway_tuning.evaluation.scoring.protocol import Item, Score, ScorerCard

_SUPPORTED = 0.25  # half of a claim's points
_NOTES = 5
_NOTE_CHARACTERS = 160
_MIN_CONTEXT_KEYS = 20  # different content words: a context of fewer gives a role, not facts


class FactualityScorer:
    card = ScorerCard(
        name="factuality",
        label="Factuality (support by the sources)",
        formula=(
            "Mean support of the answer's clauses, weighted by their points: words by the square root of how often the "
            "answer has them, figures 3, names 1. Support of a clause: (share of its points found in the best passage of "
            "reference or context, or said by the user)², x 0.25 where a figure or a negation contradicts"
        ),
        source="own; constants chosen on FeedbackQA's WHO part",
        low=0.0,
        high=1.0,
        higher_is_better=True,
        failed=0.0,
    )
    version = "1"

    def score(self, items: Sequence[Item]) -> list[Score]:
        return [_score(item) for item in items]


def _score(item: Item) -> Score:
    evidence = [_claims(text) for text in (item.reference, item.context) if text and text.strip()]
    reason = _cannot_tell(item, evidence)
    if reason:
        return Score(None, (reason,))
    claims = [claim for claim in find_claims(item.answer) if not claim.is_question]
    if not claims:
        return Score(None, ("The answer claims nothing: it has no clause with a content word or a figure",))
    said = [turn.content for turn in item.messages if turn.role == "user"]
    sources = Sources(evidence, [claim for text in {*said, item.prompt} for claim in _claims(text)])
    weights = word_weights(claims)
    different = {claim.text: claim for claim in claims}
    found = {text: sources.support(claim, weights) for text, claim in different.items()}
    supports = [found[claim.text] for claim in claims]
    total = math.fsum(one.points * one.value for one in supports)
    possible = math.fsum(one.points for one in supports)
    return Score(min(1.0, total / possible), _notes(found))


def _cannot_tell(item: Item, evidence: Sequence[Sequence[Claim]]) -> str | None:
    if not evidence:
        return "There is neither a reference nor a context to hold the answer against"
    if not any(evidence):
        return "Reference and context have no word or figure to hold the answer against"
    if not (item.reference and item.reference.strip()) and _keys(evidence) < _MIN_CONTEXT_KEYS:
        return f"The context has fewer than {_MIN_CONTEXT_KEYS} different content words to hold the answer against"
    return None


def _keys(evidence: Sequence[Sequence[Claim]]) -> int:
    return len({key for text in evidence for claim in text for key in claim.keys})


def _notes(found: dict[str, Support]) -> tuple[str, ...]:
    """The worst claims, in the order of the answer."""
    doubtful = [
        (one.value, number, text, one)
        for number, (text, one) in enumerate(found.items())
        if one.value < _SUPPORTED or one.unsupported or one.contradiction
    ]
    worst = sorted(doubtful, key=lambda claim: claim[:2])[:_NOTES]
    return tuple(_note(text, one) for _, _, text, one in sorted(worst, key=lambda claim: claim[1]))


def _note(text: str, support: Support) -> str:
    figures = ", ".join(dict.fromkeys(figure.text for figure in support.unsupported))
    reasons = [
        *([f"not in the sources: {figures}"] if figures else []),
        *([support.contradiction] if support.contradiction else []),
    ]
    reason = _cut(
        "; ".join(reasons) or "hardly any of its words together in one passage", _NOTE_CHARACTERS // 2
    )
    return f"{_cut(' '.join(text.split()), _NOTE_CHARACTERS - len(reason))}: {reason}"


def _cut(text: str, characters: int) -> str:
    return text if len(text) <= characters else f"{text[: characters - 1]}…"


@lru_cache(maxsize=2_000)
def _claims(text: str) -> tuple[Claim, ...]:
    """Kept, for several systems answer the same prompts."""
    return tuple(find_claims(text))
