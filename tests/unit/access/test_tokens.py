"""Attacks on tokens, with real keys and, for key sets, a real HTTP server."""

import base64
import hashlib
import hmac
import http.server
import json
import threading
import time
import uuid
from datetime import UTC, datetime, timedelta

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from gateway_tuning.access.jwks import KeySet
from gateway_tuning.access.permissions import Role
from gateway_tuning.access.principal import Principal, PrincipalKind, Refused
from gateway_tuning.access.tokens import TokenVerifier
from gateway_tuning.errors import ConfigurationError
from gateway_tuning.settings import Settings

SECRET = b"tests-" * 8
ISSUER, AUDIENCE = "https://issuer.test", "gateway-tuning"
ED = ed25519.Ed25519PrivateKey.generate()
EC = ec.generate_private_key(ec.SECP256R1())
RSA = rsa.generate_private_key(65537, 2048)
SHORT_RSA = rsa.generate_private_key(65537, 1024)  # noqa: S505 - to be refused
KEYS = {
    "ed": (OKPAlgorithm, ED, "EdDSA"),
    "ec": (ECAlgorithm, EC, "ES256"),
    "rsa": (RSAAlgorithm, RSA, "RS256"),
}


def public_jwk(kid, algorithm=None, key=None):
    if algorithm is None:
        algorithm, key, _ = KEYS[kid]
    return json.loads(algorithm.to_jwk(key.public_key())) | {"kid": kid, "use": "sig"}


def claims(**changes):
    """A change by a `timedelta` is a time from now."""
    now = datetime.now(UTC)
    changes = {
        name: now + value if isinstance(value, timedelta) else value for name, value in changes.items()
    }
    made = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "u-17",
        "jti": uuid.uuid4().hex,
        "iat": now,
        "nbf": now,
        "exp": now + timedelta(minutes=15),
        "tenant": "acme",
        "role": "ModelManager",
    } | changes
    return {name: value for name, value in made.items() if value is not None}


def signed(key=SECRET, algorithm="HS256", headers=None, **changes):
    return jwt.encode(claims(**changes), key, algorithm=algorithm, headers=headers)


@pytest.fixture
def verifier():
    return TokenVerifier(issuer=ISSUER, audience=AUDIENCE, secret=SECRET)


@pytest.fixture
def key_file(tmp_path):
    path = tmp_path / "jwks.json"
    path.write_text(json.dumps({"keys": [public_jwk(kid) for kid in KEYS]}))
    return path


@pytest.fixture
def with_keys(key_file):
    return TokenVerifier(issuer=ISSUER, audience=AUDIENCE, keys=KeySet(str(key_file)))


def test_a_good_token_names_its_caller_tenant_and_roles(verifier):
    principal = verifier.verify(signed())

    assert principal == Principal("user:u-17", "acme", frozenset({Role.MODEL_MANAGER}), PrincipalKind.USER)


def test_roles_of_other_applications_count_for_nothing(verifier):
    principal = verifier.verify(signed(role=None, roles=["root", "ModelViewer", "FeedbackWriter"]))

    assert principal.roles == {Role.MODEL_VIEWER, Role.FEEDBACK_WRITER}


@pytest.mark.parametrize("kid", KEYS)
def test_a_token_of_each_kind_of_key_in_the_set_is_good(with_keys, kid):
    _, key, algorithm = KEYS[kid]

    assert isinstance(with_keys.verify(signed(key, algorithm, {"kid": kid})), Principal)


def minutes(number):
    return timedelta(minutes=number)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"aud": "another"}, "Audience"),
        ({"aud": []}, "aud"),
        ({"iss": "https://evil.test"}, "Issuer"),
        ({"exp": minutes(-1)}, "Expired"),
        ({"nbf": minutes(2)}, "Immature"),
        ({"iat": minutes(2), "exp": minutes(10)}, "Immature"),
        ({"exp": minutes(61)}, "made out for"),
        ({"exp": minutes(60 * 24 * 365)}, "made out for"),
        ({"sub": ""}, "subject"),
        ({"sub": "x" * 191}, "subject"),
        ({"sub": "a\nb"}, "subject"),
        ({"sub": 17}, "Subject"),
        ({"tenant": ""}, "tenant"),
        ({"tenant": "a/b"}, "tenant"),
        ({"tenant": ["acme"]}, "tenant"),
        ({"role": "root"}, "no role"),
        ({"role": None}, "no role"),
        ({"role": None, "roles": {"ModelAdmin": True}}, "no role"),
    ],
)
def test_a_token_with_wrong_claims_is_refused(verifier, changes, reason):
    refused = verifier.verify(signed(**changes))

    assert isinstance(refused, Refused)
    assert reason in refused.reason


@pytest.mark.parametrize("claim", ["exp", "iat", "nbf", "iss", "aud", "sub", "jti", "tenant"])
def test_a_token_that_lacks_a_claim_is_refused(verifier, claim):
    refused = verifier.verify(signed(**{claim: None}))

    assert isinstance(refused, Refused)
    assert claim in refused.reason


def test_an_unsigned_token_is_refused(verifier, with_keys):
    unsigned = signed(None, "none")
    stripped = signed().rpartition(".")[0] + "."

    for token in (unsigned, stripped):
        assert isinstance(verifier.verify(token), Refused)
        assert isinstance(with_keys.verify(token), Refused)


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
@pytest.mark.parametrize("kid", KEYS)
def test_a_public_key_used_as_a_shared_secret_signs_nothing(with_keys, kid, algorithm):
    """PyJWT would not make such a token, so it is made by hand."""
    pem = (
        KEYS[kid][1]
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )

    def part(value):
        return base64.urlsafe_b64encode(json.dumps(value, default=datetime.timestamp).encode()).rstrip(b"=")

    head = part({"alg": algorithm, "typ": "JWT", "kid": kid}) + b"." + part(claims())
    digest = hmac.digest(pem, head, getattr(hashlib, algorithm.replace("HS", "sha")))
    token = (head + b"." + base64.urlsafe_b64encode(digest).rstrip(b"=")).decode()

    assert isinstance(with_keys.verify(token), Refused)


@pytest.mark.parametrize("kid", ["ec", "rsa", "unknown", "", None, 7, "../../etc/passwd"])
def test_a_token_whose_key_id_is_not_that_of_its_key_is_refused(with_keys, kid):
    text = signed(ED, "EdDSA")
    _, payload, _ = text.split(".")
    header = base64.urlsafe_b64encode(json.dumps({"alg": "EdDSA", "kid": kid}).encode()).rstrip(b"=").decode()
    signature = base64.urlsafe_b64encode(ED.sign(f"{header}.{payload}".encode())).rstrip(b"=").decode()

    assert isinstance(with_keys.verify(f"{header}.{payload}.{signature}"), Refused)


@pytest.mark.parametrize(
    "headers",
    [
        {"jku": "https://evil.test/jwks.json"},
        {"x5u": "https://evil.test/cert.pem"},
        {"jwk": public_jwk("ed")},
        {"x5c": ["MIIB"]},
        {"crit": ["exp"]},
    ],
)
def test_a_token_that_brings_its_own_key_is_refused_even_if_rightly_signed(with_keys, headers):
    refused = with_keys.verify(signed(ED, "EdDSA", {"kid": "ed", **headers}))

    assert isinstance(refused, Refused)
    assert next(iter(headers)) in refused.reason


@pytest.mark.parametrize(
    "text",
    ["", "a", "a.b.c", "..", "é.é.é", "x" * 9000, signed()[:-2], signed() + "A"],
    ids=["nothing", "a word", "three words", "dots", "accents", "too long", "cut off", "a letter more"],
)
def test_what_is_no_token_is_refused(verifier, text):
    assert isinstance(verifier.verify(text), Refused)


def test_another_secret_signs_nothing(verifier):
    assert isinstance(verifier.verify(signed(b"other-" * 8)), Refused)


def test_a_verified_token_is_known_for_a_moment_but_not_past_its_end(verifier):
    token = signed()
    verifier.verify(token)
    now = datetime.now(UTC)

    assert isinstance(verifier.recent(token, now), Principal)
    assert verifier.recent(token, now + timedelta(minutes=15)) is None
    assert verifier.recent(token + "A", now) is None


# Key sets


class KeyServer:
    """Serves whatever `reply` says and counts who asks."""

    def __init__(self):
        outer = self
        self.asked = 0
        self.reply = (200, {}, b"{}")

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                outer.asked += 1
                status, headers, body = outer.reply
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/jwks.json"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def publish(self, *kids):
        self.reply = (200, {}, json.dumps({"keys": [public_jwk(kid) for kid in kids]}).encode())

    def stop(self):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def key_server():
    server = KeyServer()
    yield server
    server.stop()


class Clock:
    def __init__(self):
        self.now = time.monotonic()

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def remote(key_server, clock):
    return TokenVerifier(issuer=ISSUER, audience=AUDIENCE, keys=KeySet(key_server.url, clock=clock))


def ed_token():
    return signed(ED, "EdDSA", {"kid": "ed"})


def test_a_key_set_is_fetched_once_and_again_for_a_new_key_at_most_once_a_minute(remote, key_server, clock):
    key_server.publish("ec")
    first = remote.verify(signed(EC, "ES256", {"kid": "ec"}))
    key_server.publish("ec", "ed")
    for _ in range(50):
        assert isinstance(remote.verify(ed_token()), Refused)
    asked_in_the_first_minute = key_server.asked
    clock.now += 61

    assert isinstance(first, Principal)
    assert asked_in_the_first_minute == 1
    assert isinstance(remote.verify(ed_token()), Principal)
    assert key_server.asked == 2


def test_a_withdrawn_key_opens_nothing_once_the_set_is_read_again(remote, key_server, clock):
    key_server.publish("ec", "ed")
    before = remote.verify(ed_token())
    key_server.publish("ec")
    clock.now += 601

    assert isinstance(before, Principal)
    assert isinstance(remote.verify(ed_token()), Refused)


def test_a_redirect_is_not_followed(remote, key_server):
    elsewhere = KeyServer()
    elsewhere.publish("ed")
    key_server.reply = (302, {"location": elsewhere.url}, b"")

    refused = remote.verify(ed_token())
    elsewhere.stop()

    assert refused.unavailable
    assert elsewhere.asked == 0


@pytest.mark.parametrize(
    "reply",
    [
        (500, {}, b""),
        (200, {}, b"not json"),
        (200, {}, b"[]"),
        (200, {}, b'{"keys": 7}'),
        (200, {}, b'{"keys": ["a"]}'),
        (200, {}, b'{"keys": []}'),
        (200, {}, b" " * 1_000_001),
    ],
)
def test_an_issuer_that_answers_nonsense_makes_tokens_uncheckable_not_good(remote, key_server, reply):
    key_server.reply = reply

    refused = remote.verify(ed_token())

    assert isinstance(refused, Refused)
    assert refused.unavailable


def test_the_last_keys_serve_for_an_hour_while_the_issuer_is_away_and_no_longer(remote, key_server, clock):
    key_server.publish("ed")
    remote.verify(ed_token())
    key_server.reply = (503, {}, b"")

    clock.now += 1800
    within = remote.verify(ed_token())
    clock.now += 1801
    after = remote.verify(ed_token())

    assert isinstance(within, Principal)
    assert isinstance(after, Refused)
    assert after.unavailable


@pytest.mark.parametrize(
    "key",
    [
        {"kty": "oct", "k": base64.urlsafe_b64encode(SECRET).decode(), "kid": "x", "alg": "HS256"},
        public_jwk("x", RSAAlgorithm, SHORT_RSA),
        json.loads(OKPAlgorithm.to_jwk(ED)) | {"kid": "x"},
        public_jwk("ed") | {"use": "enc"},
        public_jwk("ec") | {"alg": "HS256"},
        {name: value for name, value in public_jwk("ed").items() if name != "kid"},
        public_jwk("ed") | {"x": "!"},
    ],
    ids=[
        "symmetric",
        "short RSA",
        "private",
        "for encryption",
        "of another algorithm",
        "nameless",
        "damaged",
    ],
)
def test_a_set_of_unfit_keys_is_refused_at_the_start(tmp_path, key):
    path = tmp_path / "jwks.json"
    path.write_text(json.dumps({"keys": [key]}))

    with pytest.raises(ConfigurationError, match=r"jwks\.json holds no key"):
        KeySet(str(path))


def test_keys_do_not_come_over_plain_http_from_elsewhere():
    with pytest.raises(ConfigurationError, match="https"):
        KeySet("http://issuer.test/jwks.json")


# Settings


def from_settings(**values):
    return TokenVerifier.from_settings(Settings(_env_file=None, **values))


def test_without_settings_there_are_no_tokens_and_no_default_secret():
    assert from_settings() is None


GOOD = {"jwt_secret": SECRET.decode(), "jwt_issuer": ISSUER, "jwt_audience": AUDIENCE}


def test_whole_settings_make_a_verifier():
    assert isinstance(from_settings(**GOOD).verify(signed()), Principal)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"jwt_issuer": None}, "JWT_ISSUER"),
        ({"jwt_issuer": ""}, "JWT_ISSUER"),
        ({"jwt_audience": None}, "JWT_AUDIENCE"),
        ({"jwt_secret": None}, "JWT_SECRET"),
        ({"jwt_secret": ""}, "32"),
        ({"jwt_secret": "x" * 31}, "31 bytes"),
        ({"jwt_jwks": "https://issuer.test/jwks.json"}, "not both"),
        ({"jwt_secret": None, "jwt_jwks": "nowhere.json"}, r"nowhere\.json"),
    ],
)
def test_settings_that_are_incomplete_or_weak_do_not_start(changes, named):
    with pytest.raises(ConfigurationError, match=named):
        from_settings(**GOOD | changes)
