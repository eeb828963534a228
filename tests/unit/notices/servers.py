"""A webhook and a mail server that really listen, and answer as they are told."""

import base64
import datetime as dt
import ipaddress
import socketserver
import ssl
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec


@contextmanager
def webhook(*answers):
    """Answers with these statuses, or (status, headers), in turn, then with 200; yields its address and what came."""
    came, waiting = [], list(answers)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["content-length"])).decode()
            came.append((dict(self.headers.items()), body))
            status, headers = waiting.pop(0) if waiting else (200, {})
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    with _listening(ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as server:
        yield f"http://127.0.0.1:{server.server_port}/services/T0/SECRET", came


@contextmanager
def mail_server(folder, *, starttls=True, at_data="250 ok"):
    """Takes mail of `user`/`pass word`; yields its port, its certificate and what came."""
    certificate, key = _certificate(folder)
    with _listening(socketserver.ThreadingTCPServer(("127.0.0.1", 0), MailHandler)) as server:
        server.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server.context.load_cert_chain(certificate, key)
        server.starttls, server.at_data, server.came = starttls, at_data, []
        yield server.server_address[1], certificate, server.came


class MailHandler(socketserver.StreamRequestHandler):
    def say(self, line):
        self.wfile.write(f"{line}\r\n".encode())

    def handle(self):
        self.tls, self.user = False, None
        self.say("220 here")
        while line := self.rfile.readline().decode().strip():
            verb = line.split()[0].lower()
            getattr(self, f"on_{verb}", lambda _: self.say("250 ok"))(line)
            if verb == "quit":
                return

    def on_starttls(self, _line):
        self.say("220 go on")
        self.connection = self.server.context.wrap_socket(self.connection, server_side=True)
        self.rfile, self.wfile = self.connection.makefile("rb"), self.connection.makefile("wb", 0)
        self.tls = True

    def on_ehlo(self, _line):
        offers = ["here", *(["STARTTLS"] if self.server.starttls and not self.tls else []), "AUTH PLAIN"]
        for offer in offers[:-1]:
            self.say(f"250-{offer}")
        self.say(f"250 {offers[-1]}")

    def on_auth(self, line):
        _, user, given = base64.b64decode(line.split()[2]).decode().split("\0")
        self.user = user if given == "pass word" else None
        self.say("235 welcome" if self.user else "535 5.7.8 no, user")

    def on_data(self, _line):
        self.say("354 go on")
        lines = []
        while (one := self.rfile.readline().decode().rstrip("\r\n")) != ".":
            lines.append(one)
        if self.server.at_data.startswith("250"):
            self.server.came.append({"tls": self.tls, "user": self.user, "text": "\n".join(lines)})
        self.say(self.server.at_data)

    def on_quit(self, _line):
        self.say("221 bye")


@contextmanager
def _listening(server):
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _certificate(folder):
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    certificate, private = folder / "certificate.pem", folder / "key.pem"
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return certificate, private
