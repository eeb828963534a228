"""How long an answer is and whether it declines. Its text is looked at and not kept."""

from dataclasses import dataclass
from typing import Any

from gateway_tuning.datasets.quality.markers import OPENING, refusal


@dataclass(frozen=True, slots=True)
class Said:
    """Of the first choice, whole or streamed. None where it has no text: it calls tools, or says nothing at all."""

    chars: int | None
    refused: bool | None


class AnswerText:
    """Grows with the answer; of a long one the opening alone is held, for a refusal stands there."""

    def __init__(self) -> None:
        self._chars = 0
        self._opening = ""
        self._refused = False

    def add(self, message: Any) -> None:
        """A message or a delta. A model that declines in a field of its own says so in `refusal`."""
        if not isinstance(message, dict):
            return
        for name in ("content", "refusal"):
            text = message.get(name)
            if isinstance(text, str) and text:
                self._chars += len(text)
                self._opening += text[: OPENING - len(self._opening)]
                self._refused |= name == "refusal"

    def add_deltas(self, choices: list[Any]) -> None:
        for choice in choices:
            if isinstance(choice, dict) and choice.get("index", 0) == 0:
                self.add(choice.get("delta"))

    def said(self) -> Said:
        if not self._chars:
            return Said(None, None)
        return Said(self._chars, self._refused or refusal(self._opening) is not None)


def said_in(answer: dict[str, Any]) -> Said:
    """Of a whole chat completion."""
    text = AnswerText()
    first = answer["choices"][0]
    text.add(first.get("message") if isinstance(first, dict) else None)
    return text.said()
