"""How long an answer is, whether it declines and which tools it calls. Its text is kept only for who looks at it."""

from dataclasses import dataclass
from typing import Any

from gateway_tuning.datasets.quality.markers import OPENING, refusal

TEXT_LIMIT = 1 << 16  # characters of an answer that are kept for an observer


@dataclass(frozen=True, slots=True)
class Said:
    """Of the first choice, whole or streamed. None where it has no text: it calls tools, or says nothing at all.

    `text` is None too where nobody asked to keep it; of a longer one it is the first `TEXT_LIMIT` characters. `tools`
    are the names called, in order.
    """

    chars: int | None
    refused: bool | None
    text: str | None = None
    tools: tuple[str, ...] = ()


class AnswerText:
    """Grows with the answer; unless `keep`, of a long one the opening alone is held, for a refusal stands there."""

    def __init__(self, *, keep: bool = False) -> None:
        self.begun = False  # a word or a call of a tool has come
        self._chars = 0
        self._opening = ""
        self._refused = False
        self._parts: list[str] | None = [] if keep else None
        self._room = TEXT_LIMIT
        self._tools: list[str] = []

    def add(self, message: Any) -> None:
        """A message or a delta. A model that declines in a field of its own says so in `refusal`."""
        if not isinstance(message, dict):
            return
        for name in ("content", "refusal"):
            text = message.get(name)
            if isinstance(text, str) and text:
                self.begun = True
                self._chars += len(text)
                if len(self._opening) < OPENING:
                    self._opening += text[: OPENING - len(self._opening)]
                self._refused |= name == "refusal"
                if self._parts is not None and self._room > 0:
                    self._parts.append(text[: self._room])
                    self._room -= len(text)
        calls = message.get("tool_calls")
        if isinstance(calls, list) and calls:
            self._add_calls(calls)
        legacy = message.get("function_call")
        if isinstance(legacy, dict):
            self._add_calls([{"function": legacy}])

    def _add_calls(self, calls: list[Any]) -> None:
        self.begun = True
        for call in calls:
            function = call.get("function") if isinstance(call, dict) else None
            # In a stream the name stands in the first piece of a call alone.
            name = function.get("name") if isinstance(function, dict) else None
            if isinstance(name, str) and name:
                self._tools.append(name)

    def add_deltas(self, choices: list[Any]) -> None:
        for choice in choices:
            if isinstance(choice, dict) and choice.get("index", 0) == 0:
                self.add(choice.get("delta"))

    def said(self) -> Said:
        tools = tuple(self._tools)
        if not self._chars:
            return Said(None, None, None, tools)
        refused = self._refused or refusal(self._opening) is not None
        return Said(self._chars, refused, None if self._parts is None else "".join(self._parts), tools)


def said_in(answer: dict[str, Any], *, keep: bool = False) -> Said:
    """Of a whole chat completion."""
    text = AnswerText(keep=keep)
    first = answer["choices"][0]
    text.add(first.get("message") if isinstance(first, dict) else None)
    return text.said()
