"""Reformulations that nobody declared: a poor answer, the question again in other words, and a good one. Pure.

A user who asks again and is then satisfied has said which of two answers was wanted, without being asked. The rules:

1. Somebody known rates an answer as poor and corrects nothing: a correction says more than any guess.
2. The same person rates another answer as good, at most `within` later.
3. The second prompt is the first in other words: they share `min_overlap` of their topic words, and are not equal.
4. The answers differ.

The pair's confidence is the product of how much the prompts share, how soon the second came, how strong both ratings
are, and whether both stand in one conversation. Pairs below `min_confidence` are dropped. One good answer settles at
most `MAX_SETTLED` poor ones, the latest first, and each poor answer is settled once, by the first good one.
"""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta

from pydantic import BaseModel, ConfigDict, Field

from gateway_tuning.feedback.record import FeedbackRecord, FeedbackType
from gateway_tuning.feedback.votes import vote_of

MAX_SETTLED = 3
_WORD = re.compile(r"\w+")
_STEM = 6  # letters: "refund", "refunds" and "refunding" are one topic word
_FUNCTION_WORD = 2  # letters: the shorter a word, the less it says of the topic (Zipf's law of abbreviation)
_OTHER_CONVERSATION = 0.8
_AT_THE_END_OF_THE_WINDOW = 0.5


class MiningPolicy(BaseModel):
    """When two questions of a user are taken for one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    within: timedelta = Field(
        timedelta(minutes=15), gt=timedelta(0), description="Longest time from the poor answer's rating on"
    )
    min_overlap: float = Field(
        0.4, gt=0, le=1, description="Share of the topic words that the two prompts have in common"
    )
    min_confidence: float = Field(0.3, ge=0, le=1, description="Pairs below this are dropped")


@dataclass(frozen=True, slots=True)
class Mined:
    """`record` states the pair as a reformulation would, so that its texts are anonymized together.

    `confidence` in (0, 1]; `reason` explains it and quotes nothing.
    """

    record: FeedbackRecord
    first: FeedbackRecord
    second: FeedbackRecord
    confidence: float
    reason: str


def mine(records: Iterable[FeedbackRecord], policy: MiningPolicy) -> list[Mined]:
    """In order of the second statement's time, whatever the order of the records."""
    by_user: dict[tuple[str, str], list[FeedbackRecord]] = defaultdict(list)
    for record in records:
        if record.user_id is not None:
            by_user[record.tenant, record.user_id].append(record)
    found = [mined for said in by_user.values() for mined in _of_user(said, policy)]
    return sorted(found, key=lambda one: (one.second.timestamp, one.second.id, one.first.id))


def _of_user(said: Sequence[FeedbackRecord], policy: MiningPolicy) -> Iterator[Mined]:
    poor: list[FeedbackRecord] = []  # answers that nothing has settled yet, oldest first
    for record in sorted(said, key=lambda record: (record.timestamp, record.id)):
        poor = [first for first in poor if record.timestamp - first.timestamp <= policy.within]
        vote = vote_of(record)
        if vote is None or record.corrected_response or record.type is FeedbackType.REFORMULATION:
            continue
        if vote < 0:
            poor.append(record)
            continue
        pairs = [pair for first in poor if (pair := _pair(first, record, policy)) is not None][-MAX_SETTLED:]
        settled = {pair.first.id for pair in pairs}
        poor = [first for first in poor if first.id not in settled]
        yield from pairs


def _pair(first: FeedbackRecord, second: FeedbackRecord, policy: MiningPolicy) -> Mined | None:
    if first.response == second.response:
        return None
    shared = overlap(first.prompt, second.prompt)
    if shared < policy.min_overlap or _words(first.prompt) == _words(second.prompt):
        return None
    seconds = (second.timestamp - first.timestamp).total_seconds()
    soon = 1 - _AT_THE_END_OF_THE_WINDOW * seconds / policy.within.total_seconds()
    ratings = (abs(vote_of(first) or 0.0) + abs(vote_of(second) or 0.0)) / 2
    together = first.conversation_id is not None and first.conversation_id == second.conversation_id
    confidence = round(shared * soon * ratings * (1 if together else _OTHER_CONVERSATION), 4)
    if confidence < policy.min_confidence:
        return None
    record = first.model_copy(
        update={
            "id": f"{first.id}>{second.id}",
            "type": FeedbackType.REFORMULATION,
            "reformulated_prompt": second.prompt,
            "reformulated_response": second.response,
            "satisfaction_score": vote_of(second),
            "timestamp": second.timestamp,
        }
    )
    reason = (
        f"asked again after {seconds:.0f} s in other words ({shared:.0%} of the topic words shared"
        f"{', in the same conversation' if together else ''}) and then satisfied"
    )
    return Mined(record, first, second, confidence, reason)


def overlap(first: str, second: str) -> float:
    """Share of the topic words of the prompt with fewer of them that stand in the other, in [0, 1].

    Each word weighs as many letters as it has beyond two, and counts by its first six.
    """
    one, other = _topic(first), _topic(second)
    shared = sum(min(weight, other[stem]) for stem, weight in one.items() if stem in other)
    least = min(sum(one.values()), sum(other.values()))
    return shared / least if least else 0.0


def _topic(text: str) -> dict[str, int]:
    return {word[:_STEM]: len(word) - _FUNCTION_WORD for word in _words(text) if len(word) > _FUNCTION_WORD}


def _words(text: str) -> list[str]:
    return _WORD.findall(unicodedata.normalize("NFKC", text).casefold())
