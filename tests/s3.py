"""A real S3 protocol server for the tests, and a proxy before it that does what bad networks and servers do."""

import http.client
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count

import pytest
from pydantic import SecretStr

from gateway_tuning.processes import free_port
from gateway_tuning.storage.object_store import ObjectStore
from gateway_tuning.storage.s3_connection import MIB, S3Connection

SERVER = """
import os
os.environ["MOTO_S3_DEFAULT_MAX_KEYS"] = "{page}"
from gateway_tuning.processes import when_parent_ends
when_parent_ends(lambda: os._exit(0))
from moto.server import main
main(["-H", "127.0.0.1", "-p", "{port}"])
"""
PAGE = 50  # keys in one answer of a listing
SECRET = "top-secret"  # noqa: S105 - the server takes any
_numbers = count(1)


@pytest.fixture(scope="session")
def s3_port():
    """A server of its own on a free loopback port, stopped at the end. What it holds is in its memory."""
    pytest.importorskip("moto", reason="no S3 server: install the extra `dev`")
    with running_s3() as port:
        yield port


@pytest.fixture
def s3(s3_port):
    return reach(s3_port)


@pytest.fixture
def bucket(s3):
    return new_bucket(s3)


@pytest.fixture
def proxy(s3_port):
    proxy = Proxy(s3_port)
    proxy.start()
    yield proxy
    proxy.stop()


@contextmanager
def running_s3(port=None):
    port = port or free_port()
    process = subprocess.Popen(
        [sys.executable, "-c", SERVER.format(port=port, page=PAGE)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait_for(port, process)
        yield port
    finally:
        process.kill()  # nothing that it holds is wanted; asked to end, it takes 20 s
        process.wait()


def reach(port, **given):
    """Few and quick attempts: what the tests break stays broken until they mend it."""
    fields = {"attempts": 2, "read_timeout_s": 10.0, "part_bytes": 5 * MIB} | given
    return S3Connection(
        endpoint_url=f"http://127.0.0.1:{port}",
        region="us-east-1",
        key=SecretStr("access"),
        secret=SecretStr(SECRET),
        path_style=True,
        **fields,
    )


def new_bucket(connection, name=None):
    name = name or f"bucket-{time.monotonic_ns()}-{next(_numbers)}"
    ObjectStore(f"s3://{name}", connection)._place.fs.call_s3("create_bucket", Bucket=name)
    return name


def unfinished_uploads(store):
    return store._place._uploads("")


def _wait_for(port, process):
    for _ in range(600):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", "/")
            connection.getresponse().read()
        except OSError:
            if process.poll() is not None:
                break
            time.sleep(0.05)
        else:
            return
        finally:
            connection.close()
    raise TimeoutError(f"moto_server did not start on port {port}")


@dataclass(frozen=True)
class Request:
    number: int  # since the rule was set, from 1
    method: str
    path: str
    headers: Mapping[str, str]


@dataclass(frozen=True)
class Fault:
    """`status` answers itself, `cut` ends in the middle of its answer, `lost` does what is asked and hangs up."""

    delay_s: float = 0.0
    status: int | None = None
    cut: bool = False
    lost: bool = False


class Proxy:
    """Hands on to the S3 server what its rule lets through, and drops `without` from the headers of requests."""

    def __init__(self, upstream, without=()):
        self.upstream, self.without = upstream, {name.lower() for name in without}
        self.port = free_port()
        self.seen = []
        self._server = None
        self._lock = threading.Lock()
        self.set_rule(lambda _request: None)

    def set_rule(self, rule: Callable[[Request], Fault | None]):
        with self._lock:
            self._rule, self._count = rule, count(1)

    def start(self):
        if self._server is None:
            self._server = _Server(("127.0.0.1", self.port), _handler(self))
            threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self):
        """No connection is taken any more, and open ones end with their next request."""
        server, self._server = self._server, None
        if server is not None:
            server.shutdown()
            server.server_close()

    @property
    def is_up(self):
        return self._server is not None

    def fault_for(self, method, path, headers):
        with self._lock:
            request = Request(next(self._count), method, path, headers)
            self.seen.append(request)
            return self._rule(request) or Fault()


class _Server(ThreadingHTTPServer):
    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request, client_address):
        """A client that hung up is what is tested here."""


def _handler(proxy):
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _pass_on(self):
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            fault = proxy.fault_for(self.command, self.path, self.headers)
            if not proxy.is_up:
                self.close_connection = True
                return
            time.sleep(fault.delay_s)
            if fault.status is not None:
                self._answer(fault.status, [("Content-Type", "application/xml")], _error(fault.status))
                return
            status, headers, answer = self._ask(body)
            if fault.lost or (fault.cut and not answer):
                self.close_connection = True
                return
            self._answer(status, headers, answer, sent=len(answer) // 2 if fault.cut else len(answer))
            self.close_connection |= fault.cut

        def _ask(self, body):
            dropped = {"expect", "connection", *proxy.without}
            headers = {name: value for name, value in self.headers.items() if name.lower() not in dropped}
            upstream = http.client.HTTPConnection("127.0.0.1", proxy.upstream, timeout=60)
            try:
                upstream.request(self.command, self.path, body, headers)
                answer = upstream.getresponse()
                return answer.status, answer.getheaders(), answer.read()
            finally:
                upstream.close()

        def _answer(self, status, headers, body, sent=None):
            self.send_response_only(status)
            given = dict(headers)
            length = given.get("Content-Length", len(body)) if self.command == "HEAD" else len(body)
            for name, value in headers:
                if name.lower() not in {"content-length", "connection", "transfer-encoding"}:
                    self.send_header(name, value)
            self.send_header("Content-Length", str(length))
            self.end_headers()
            # What came after a HEAD would be taken for the next answer on the connection.
            self.wfile.write(b"" if self.command == "HEAD" else body[:sent])

        def log_message(self, *_arguments):
            """Quiet."""

        do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _pass_on  # noqa: N815 - the library's names

    return Handler


def _error(status):
    code = {403: "AccessDenied", 500: "InternalError", 501: "NotImplemented", 503: "SlowDown"}[status]
    return (
        f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>made by a test</Message></Error>".encode()
    )
