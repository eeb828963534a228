"""How a reply is asked for and read. Pure.

Servers differ in what they take: one knows no JSON schema, another's model takes no temperature. What was refused is
left out, step by step; the verdict is read strictly in any case.
"""

import json
import re
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Any

from gateway_tuning.evaluation.judging.verdict import Verdict

LONGEST_REASON = 500  # characters that are kept
_VERDICTS = {"A": Verdict.FIRST, "B": Verdict.SECOND, "tie": Verdict.TIE}
_SCHEMA = {
    "type": "object",
    "properties": {
        "reason": {"type": "string"},
        "better": {"type": "string", "enum": list(_VERDICTS)},
    },
    "required": ["reason", "better"],
    "additionalProperties": False,
}
_THOUGHTS = re.compile(r"\A\s*<think>.*?</think>", re.DOTALL)
_CODE = re.compile(r"\A```(?:json)?\s*\n(.*)\n\s*```\Z", re.DOTALL)


class Form(IntEnum):
    """From what binds a server most to what every server takes."""

    JSON_SCHEMA = 0
    JSON_OBJECT = 1
    TEXT = 2


@dataclass(frozen=True, slots=True)
class Dialect:
    """Which parameters a server takes."""

    form: Form = Form.JSON_SCHEMA
    limit: str = "max_tokens"
    has_temperature: bool = True
    has_seed: bool = True

    def parameters(self, seed: int, max_tokens: int) -> dict[str, Any]:
        given: dict[str, Any] = {self.limit: max_tokens}
        if self.has_temperature:
            given["temperature"] = 0.0
        if self.has_seed:
            given["seed"] = seed
        if self.form is Form.JSON_SCHEMA:
            schema = {"name": "verdict", "strict": True, "schema": _SCHEMA}
            given["response_format"] = {"type": "json_schema", "json_schema": schema}
        elif self.form is Form.JSON_OBJECT:
            given["response_format"] = {"type": "json_object"}
        return given

    def is_looser_than(self, other: "Dialect") -> bool:
        """It leaves out something that the other sends, and sends nothing that the other leaves out."""
        return self != other and (
            self.form >= other.form
            and self.has_temperature <= other.has_temperature
            and self.has_seed <= other.has_seed
            and other.limit in {self.limit, "max_tokens"}
        )

    def without(self, refusal: str) -> "Dialect | None":
        """What to try after a request was refused with this message; None: nothing is left to leave out."""
        if self.limit == "max_tokens" and "max_completion_tokens" in refusal:
            return replace(self, limit="max_completion_tokens")
        if self.has_temperature and re.search(r"\btemperature\b", refusal):
            return replace(self, has_temperature=False)
        if self.has_seed and re.search(r"\bseed\b", refusal):
            return replace(self, has_seed=False)
        return None if self.form is Form.TEXT else replace(self, form=Form(self.form + 1))


def read(content: str) -> tuple[Verdict, str] | None:
    """The verdict and its reason; None unless the text is exactly one object with one verdict of the three.

    Thoughts before it and a code block around it are no part of the text.
    """
    text = _THOUGHTS.sub("", content).strip()
    if block := _CODE.match(text):
        text = block[1]
    try:
        said = json.loads(text, object_pairs_hook=_each_once)
    except (ValueError, RecursionError):
        return None
    if not isinstance(said, dict):
        return None
    verdict, reason = said.get("better"), said.get("reason", "")
    if not isinstance(verdict, str) or verdict not in _VERDICTS or not isinstance(reason, str):
        return None
    # Databases take neither half characters nor NUL.
    kept = reason.encode("utf-8", "replace").decode().replace("\0", "")[:LONGEST_REASON]
    return _VERDICTS[verdict], kept


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) < len(pairs):
        raise ValueError("a name stands twice")
    return dict(pairs)
