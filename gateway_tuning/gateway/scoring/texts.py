"""What scorers are shown: texts and nothing else. Who answered, whom, and in which comparison stays behind. Pure."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass
from typing import Any

from gateway_tuning.datasets.example import Turn
from gateway_tuning.datasets.quality.markers import OPENING, refusal
from gateway_tuning.evaluation.scoring.protocol import Item

METRICS = ("relevance", "semantic_similarity", "refusal", "json_validity")
"""What may be asked for. A score stands under its card's name: `relevance_lexical` without the sentence model."""


@dataclass(frozen=True, slots=True)
class Texts:
    """`before` are role and text of all other turns. `reference` is an answer to compare with."""

    question: str
    answer: str
    before: tuple[tuple[str, str], ...] = ()
    reference: str | None = None

    @property
    def chars(self) -> int:
        before = sum(len(text) for _, text in self.before)
        return before + len(self.question) + len(self.answer) + len(self.reference or "")


@dataclass(frozen=True, slots=True)
class Ask:
    texts: Texts
    metrics: tuple[str, ...]


def texts_of(body: Mapping[str, Any], answer: str, *, reference: str | None = None) -> Texts | None:
    """Of a chat request; None where no user's turn has text."""
    turns = [(str(one.get("role")), text_of(one.get("content"))) for one in body["messages"] if _is_turn(one)]
    asked = max(
        (number for number, (role, text) in enumerate(turns) if role == "user" and text), default=None
    )
    if asked is None:
        return None
    before = tuple(turn for number, turn in enumerate(turns) if number != asked and turn[1])
    return Texts(turns[asked][1], answer, before, reference)


def text_of(content: Any) -> str:
    """The text of a message's content, whose parts may be images too."""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    found = [part["text"] for part in parts if isinstance(part, dict) and isinstance(part.get("text"), str)]
    return "\n".join(found)


def unscored(text: str | None, error: str | None) -> str | None:
    """Why an answer has no relevance; None where it has one."""
    if error is not None:
        return "failed"
    if text is None:
        return "no text"
    if not any(sign.isalnum() for sign in text):
        return "no words"
    return "declined" if refusal(text[:OPENING]) is not None else None


def packed(batch: Iterable[Ask]) -> bytes:
    """One line of JSON. A lone surrogate, which no UTF-8 has, travels as its escape."""
    return json.dumps([[astuple(ask.texts), ask.metrics] for ask in batch]).encode() + b"\n"


def unpacked(line: bytes) -> list[Ask]:
    return [
        Ask(Texts(question, answer, tuple((role, text) for role, text in before), reference), tuple(metrics))
        for (question, answer, before, reference), metrics in json.loads(line)
    ]


def items_of(batch: Sequence[Ask]) -> list[Item]:
    return [_item(ask.texts) for ask in batch]


def _item(texts: Texts) -> Item:
    context = [text for role, text in texts.before if role in {"system", "developer", "tool"}]
    turns = (*(Turn(role, text) for role, text in texts.before), Turn("user", texts.question))
    return Item(texts.question, texts.answer, texts.reference, "\n\n".join(context) or None, turns)


def _is_turn(one: Any) -> bool:
    return isinstance(one, dict) and isinstance(one.get("role"), str)
