"""A real HTTP server on loopback that speaks chat completions and can misbehave as scripted."""

import json
import re
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

WAYS = ("Could you tell me this: {}", "I would like to know: {}", "Please help me here. {}", "A question: {}")


def text_of(asked):
    """What stands between the marks."""
    return re.fullmatch(r"<(text-\w+)>\n(.*)\n</\1>", asked["messages"][-1]["content"], re.DOTALL)[2]


def rewritten(asked):
    count = int(re.search(r"Give (\d+) different", asked["messages"][0]["content"])[1])
    start = asked["seed"]
    return [WAYS[(start + at) % len(WAYS)].format(text_of(asked)) for at in range(count)]


def completion(asked, content, **message):
    return {
        "id": "x",
        "object": "chat.completion",
        "created": 1,
        "model": asked["model"],
        "choices": [
            {
                "index": 0,
                "finish_reason": "stop",
                "message": {"role": "assistant", "content": content, **message},
            }
        ],
    }


def send(handler, body, status=200, length=None, **headers):
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    handler.send_response(status)
    handler.send_header("content-type", "application/json")
    handler.send_header("content-length", str(length or len(data)))
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(data)


def answers(*texts):
    """A step that gives these as the paraphrases; one text alone may use {} for what was asked."""

    def step(handler, asked):
        texts_out = [text.format(text_of(asked)) for text in texts]
        send(handler, completion(asked, json.dumps({"paraphrases": texts_out})))

    return step


def says(content, **message):
    return lambda handler, asked: send(handler, completion(asked, content, **message))


def status(code, **headers):
    return lambda handler, _asked: send(handler, {"error": {"message": "no"}}, code, **headers)


def raw(body):
    return lambda handler, _asked: send(handler, body)


def cut(handler, asked):
    data = json.dumps(completion(asked, json.dumps({"paraphrases": rewritten(asked)}))).encode()
    send(handler, data[: len(data) // 2], length=len(data))
    handler.close_connection = True


def slow(seconds):
    return lambda _handler, _asked: time.sleep(seconds)


class ParaphraseServer:
    """`steps` are done one a request and then no more; `always` one for every request; else it paraphrases."""

    def __init__(self):
        self.steps, self.always, self.seen, self.keys = [], None, [], []
        self.now, self.most_at_once = 0, 0
        self.lock = threading.Lock()
        self.url = ""

    def handle(self, handler):
        asked = json.loads(handler.rfile.read(int(handler.headers["content-length"])))
        with self.lock:
            self.seen.append(asked)
            self.keys.append(handler.headers["authorization"])
            self.now += 1
            self.most_at_once = max(self.most_at_once, self.now)
            step = self.steps.pop(0) if self.steps else self.always
        time.sleep(0.01)  # so that requests overlap
        with self.lock:
            self.now -= 1
        if step is None:
            send(handler, completion(asked, json.dumps({"paraphrases": rewritten(asked)})))
        else:
            step(handler, asked)


@contextmanager
def paraphrase_server():
    script = ParaphraseServer()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            script.handle(self)

        def log_message(self, *_):
            """Keep the test output clean."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    script.url = f"http://127.0.0.1:{server.server_port}/v1"
    try:
        yield script
    finally:
        server.shutdown()
        server.server_close()
