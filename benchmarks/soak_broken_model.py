"""A model that is worse than any other: a third of its answers fail, the rest say nothing. OpenAI's chat API."""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

WORDS = "I am sorry, that could be one of many things, so it really depends on what it depends on."
_asked = 0


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer(200, {"status": "ok"})

    def do_POST(self) -> None:
        global _asked  # noqa: PLW0603 - every request is a thread's, and a lost count does no harm
        self.rfile.read(int(self.headers.get("content-length", 0)))
        _asked += 1
        if _asked % 3 == 0:
            self._answer(500, {"error": {"message": "out of order", "type": "server_error"}})
            return
        choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": WORDS}}
        usage = {"prompt_tokens": 20, "completion_tokens": 22, "total_tokens": 42}
        self._answer(
            200,
            {"id": f"b-{_asked}", "object": "chat.completion", "created": 0, "model": "broken"}
            | {"choices": [choice], "usage": usage},
        )

    def log_message(self, *_arguments: object) -> None:
        """Quiet."""

    def _answer(self, status: int, body: object) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
