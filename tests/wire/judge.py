"""A server that judges as scripted, over OpenAI's chat completions. It sees what a judge sees, and no more."""

import asyncio
import json
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

_PART = r"<(?P<mark>{name}-(?P<fence>[0-9a-f]{{16}}))>\n(?P<text>.*?)\n</(?P=mark)>"


@dataclass(frozen=True, slots=True)
class Shown:
    """What stands inside the marks; the rest of the request in `body`."""

    conversation: str
    first: str
    second: str
    reference: str | None
    fence: str
    body: dict

    @property
    def instructions(self) -> str:
        return self.body["messages"][0]["content"]


def shown(body: dict) -> Shown:
    data = body["messages"][1]["content"]

    def part(name: str) -> re.Match | None:
        return re.search(_PART.format(name=name), data, re.DOTALL)

    conversation, reference = part("conversation"), part("reference")
    first, second = part("answer-A"), part("answer-B")
    return Shown(
        conversation["text"],
        first["text"],
        second["text"],
        reference["text"] if reference else None,
        conversation["fence"],
        body,
    )


def first_shown(_: Shown) -> str:
    return "A"


def longer(seen: Shown) -> str:
    one, other = len(seen.first), len(seen.second)
    return "tie" if one == other else "A" if one > other else "B"


def verdict(better: str, reason: str = "because") -> str:
    return json.dumps({"reason": reason, "better": better})


@dataclass(slots=True)
class JudgeServer:
    """`decide` gives A, B, tie, or the whole content of a reply. `forms` are the response formats that it takes.

    `refuses` names parameters that it answers with 400; `tokens` counts what a request read and wrote, and `billed` sums
    that up whether or not it is told (`tells_usage`).
    """

    decide: Callable[[Shown], str] = longer
    forms: set[str] = field(default_factory=lambda: {"json_schema", "json_object", "text"})
    refuses: set[str] = field(default_factory=set)
    tokens: Callable[[Shown], tuple[int, int]] = lambda _: (400, 20)
    tells_usage: bool = True
    delay_s: float = 0.0
    asked: list[Shown] = field(default_factory=list)
    authorized: set[str] = field(default_factory=set)
    billed: list[tuple[int, int]] = field(default_factory=list)
    at_once: int = 0
    most_at_once: int = 0

    @property
    def app(self) -> Starlette:
        return Starlette(routes=[Route("/v1/chat/completions", self._complete, methods=["POST"])])

    @property
    def orders(self) -> Counter[tuple[str, str, str]]:
        """How often each conversation was asked about with these answers in this order."""
        return Counter((seen.conversation, seen.first, seen.second) for seen in self.asked)

    async def _complete(self, request: Request) -> Response:
        body = await request.json()
        self.authorized.add(request.headers["authorization"])
        form = body.get("response_format", {"type": "text"})["type"]
        unknown = [name for name in self.refuses if name in body]
        if form not in self.forms:
            return _error(f"Invalid value for response_format: {form}")
        if unknown:
            hint = "; use max_completion_tokens" if "max_tokens" in unknown else ""
            return _error(f"Unsupported parameter: '{unknown[0]}'{hint}")
        seen = shown(body)
        self.asked.append(seen)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await asyncio.sleep(self.delay_s)
        self.at_once -= 1
        said = self.decide(seen)
        used = self.tokens(seen)
        self.billed.append(used)
        return JSONResponse(
            _completion(
                body["model"],
                verdict(said) if said in {"A", "B", "tie"} else said,
                used if self.tells_usage else None,
            )
        )


def _completion(model: str, content: str, used: tuple[int, int] | None) -> dict:
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": model,
        "choices": [
            {
                "index": 0,
                "finish_reason": "stop",
                "message": {"role": "assistant", "content": content},
            }
        ],
        "usage": used and {"prompt_tokens": used[0], "completion_tokens": used[1], "total_tokens": sum(used)},
    }


def _error(message: str) -> Response:
    return JSONResponse(
        {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": None}}, 400
    )
