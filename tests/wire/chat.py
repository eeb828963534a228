"""A chat endpoint as OpenAI's, to be run by `tests.wire.server`: what it says is scripted, the HTTP is real."""

import asyncio
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


def echo(_model: str, prompt: str) -> str:
    return prompt


@dataclass
class Chat:
    """`says` gives the answer of a model to the last message; None is an answer without text.

    `asked` has every request's body, in order, `headers` what came with it; `most_at_once` how many were under way
    together.
    """

    says: Callable[[str, str], str | None] = echo
    delay_s: float = 0.0
    counts_tokens: bool = True
    asked: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    most_at_once: int = 0
    _under_way: int = 0

    @property
    def times_asked(self) -> Counter[tuple[str, str]]:
        """By the last message and the model."""
        return Counter((body["messages"][-1]["content"], body["model"]) for body in self.asked)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        content = b""
        while True:
            message = await receive()
            content += message.get("body", b"")
            if not message.get("more_body"):
                break
        body = json.loads(content)
        self.asked.append(body)
        self.headers.append({name.decode(): value.decode() for name, value in scope["headers"]})
        self._under_way += 1
        self.most_at_once = max(self.most_at_once, self._under_way)
        try:
            await asyncio.sleep(self.delay_s)
        finally:
            self._under_way -= 1
        reply = json.dumps(self._completion(body)).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(reply)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": reply})

    def _completion(self, body: dict[str, Any]) -> dict[str, Any]:
        prompt = body["messages"][-1]["content"]
        said = {"role": "assistant", "content": self.says(body["model"], prompt)}
        words = len(prompt.split())
        usage = {"prompt_tokens": words, "completion_tokens": 1, "total_tokens": words + 1}
        return {
            "id": "1",
            "object": "chat.completion",
            "created": 0,
            "model": body["model"],
            "choices": [{"index": 0, "finish_reason": "stop", "message": said}],
            "usage": usage if self.counts_tokens else None,
        }
