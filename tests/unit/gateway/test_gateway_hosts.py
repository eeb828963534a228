"""Whom the gateway asks: the store may be written to by others, the settings may not."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_tuning.errors import ConfigurationError
from gateway_tuning.gateway.door.upstreams import Upstreams
from gateway_tuning.registry.endpoint import Endpoint

MESSAGES = [{"role": "user", "content": "hello"}]
OURS = "models.example.com=OUR_KEY,vllm.svc:8000,vllm.svc:8000=VLLM_KEY,10.0.0.5:80,127.0.0.1:9000=MODEL_KEY,[::1]:9=K"


def refusal(base_url, key=None, listed=OURS):
    return Upstreams.parse(listed).refusal(Endpoint(base_url, "model", api_key_env=key))


@pytest.mark.parametrize(
    ("base_url", "key"),
    [
        ("https://api.openai.com/v1", "OPENAI_API_KEY"),
        ("https://api.openai.com:443/v1", "OPENAI_API_KEY"),
        ("https://API.OpenAI.com/v1", None),
        ("https://api.mistral.ai/v1", "MISTRAL_API_KEY"),
        ("https://api.together.xyz/v1", "TOGETHER_API_KEY"),
        ("https://api.together.ai/v1", "TOGETHER_API_KEY"),
        ("https://api.fireworks.ai/inference/v1", "FIREWORKS_API_KEY"),
        ("https://models.example.com/v1", "OUR_KEY"),
        ("http://vllm.svc:8000/v1", "VLLM_KEY"),
        ("https://vllm.svc:8000/v1", None),
        ("http://10.0.0.5/v1", None),
        ("http://127.0.0.1:8123/v1", None),
        ("http://localhost:8123/v1", "GATEWAY_TUNING_LOCAL_SERVER_KEY"),
        ("http://[::1]:8123/v1", "GATEWAY_TUNING_LOCAL_SERVER_KEY"),
        ("http://127.0.0.1:9000/v1", "MODEL_KEY"),
        ("http://[::1]:9/v1", "K"),
    ],
)
def test_listed_hosts_known_providers_and_this_machine_are_asked_with_their_own_keys(base_url, key):
    assert refusal(base_url, key) is None


@pytest.mark.parametrize(
    ("base_url", "key", "says"),
    [
        ("https://evil.example.com/v1", None, "not among the allowed upstreams"),
        ("https://api.openai.com.evil.com/v1", None, "api.openai.com.evil.com:443"),
        ("https://evil.com/api.openai.com", None, "evil.com:443"),
        ("http://api.openai.com/v1", "OPENAI_API_KEY", "http://api.openai.com:80"),  # a key for all to read
        ("https://api.openai.com:8443/v1", None, "api.openai.com:8443"),
        ("http://10.0.0.5:81/v1", None, "10.0.0.5:81"),
        ("http://0.0.0.0:8000/v1", None, "0.0.0.0:8000"),
        ("http://2130706433/v1", None, "2130706433:80"),
        ("http://127.1/v1", None, "127.1:80"),
        ("http://localhost.evil.com/v1", None, "localhost.evil.com"),
        ("https://api.openai.com@evil.com/v1", None, "no plain"),
        ("https://evil.com\\@api.openai.com/v1", None, "no plain"),
        ("https://api.openai.com/v1?x=", None, "no plain"),
        ("https://api.openai.com /v1", None, "no plain"),
        ("https://api.openai.com\n/v1", None, "no plain"),
        ("https://api.openai.com/v1\n", None, "no plain"),
        ("https://аpi.openai.com/v1", None, "no plain"),  # noqa: RUF001 - a Cyrillic letter is the point
        ("https://api.openai.com:99999/v1", None, "no plain"),
        ("file:///etc/passwd", None, "no plain"),
        ("//api.openai.com/v1", None, "no plain"),
        ("", None, "no plain"),
        ("https://api.openai.com/v1", "MISTRAL_API_KEY", "the key in MISTRAL_API_KEY is not bound"),
        ("https://models.example.com/v1", "OPENAI_API_KEY", "not bound"),
        ("http://vllm.svc:8000/v1", "OUR_KEY", "not bound"),
        ("http://10.0.0.5/v1", "GATEWAY_TUNING_LOCAL_SERVER_KEY", "not bound"),
        ("http://127.0.0.1:8123/v1", "GATEWAY_TUNING_RATING_TOKEN_KEY", "not bound"),
        ("http://127.0.0.1:8123/v1", "GATEWAY_TUNING_GATEWAY_STATUS_KEY", "not bound"),
        ("http://127.0.0.1:8123/v1", "OPENAI_API_KEY", "127.0.0.1:8123=OPENAI_API_KEY"),
        ("http://127.0.0.1:8123/v1", "MODEL_KEY", "not bound"),
        ("http://127.0.0.1:8123/v1", "AWS_SECRET_ACCESS_KEY", "not bound"),
    ],
)
def test_nobody_else_is_and_no_key_goes_where_it_is_not_bound_to(base_url, key, says):
    assert says in refusal(base_url, key)


@given(st.text(st.sampled_from("htps:/@\\.?#[]%evilcom openai0127_-\n\t"), max_size=40))
def test_what_is_asked_is_read_alike_by_the_check_and_by_the_client(url):
    """An address that passes has, as the HTTP client reads it, a host of the list or of this machine."""
    from yarl import URL

    if refusal(url, listed="openai.com,evil.io:80") is None:
        assert URL(url).host in {"openai.com", "evil.io", "localhost"} or URL(url).host.startswith("127.")
        assert URL(url).user is None


@pytest.mark.parametrize(
    "text", ["https://x.com", "x.com=", "a b", "x.com:0", "x.com:70000", "x.com=1A", "=KEY"]
)
def test_a_list_that_cannot_be_read_is_refused_with_the_remedy(text):
    with pytest.raises(ConfigurationError, match=r"GATEWAY_TUNING_GATEWAY_UPSTREAMS.*host:port=KEY_VARIABLE"):
        Upstreams.parse(f"ok.example.com,{text}")


@pytest.fixture
def attacker(monkeypatch):
    """A server at 0.0.0.0: it reaches this machine, and the rules take it for any other host. There is a key to get."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-the-operator")
    got = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            got.append(dict(self.headers))
            self.send_error(500)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("0.0.0.0", 0), Handler)  # noqa: S104 - see above
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    server.got = got
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("key", ["OPENAI_API_KEY", None])
def test_an_endpoint_that_was_pointed_to_an_attacker_gets_no_request_and_no_key(
    start_gateway, registry, attacker, until, key
):
    gateway = start_gateway()
    client = gateway.client()
    assert client.chat.completions.create(model="assistant", messages=MESSAGES).model == "assistant"

    address = f"http://0.0.0.0:{attacker.server_port}/v1"
    registry.serve("v1", "served-v1", base_url=address, api_key_env=key)
    until(lambda: httpx.get(f"{gateway.url}/healthz").json()["routes"]["refused"])

    for call in (
        lambda: client.chat.completions.create(model="assistant", messages=MESSAGES),
        lambda: client.embeddings.create(model="assistant", input="x"),
    ):
        with pytest.raises(openai.InternalServerError) as refused:
            call()
        assert (refused.value.status_code, refused.value.code) == (502, "upstream_not_allowed")
    health = httpx.get(f"{gateway.url}/healthz").json()
    assert health["status"] == "degraded"
    assert f"0.0.0.0:{attacker.server_port}" in health["routes"]["refused"]["v1"]
    assert attacker.got == []


def test_the_same_address_is_asked_once_the_operator_lists_it(start_gateway, registry, attacker):
    registry.serve("v1", "served-v1", base_url=f"http://0.0.0.0:{attacker.server_port}/v1")
    gateway = start_gateway(upstreams=Upstreams.parse(f"0.0.0.0:{attacker.server_port}"))

    with pytest.raises(openai.InternalServerError):
        gateway.client().chat.completions.create(model="assistant", messages=MESSAGES)

    assert len(attacker.got) == 1


def test_a_key_of_the_operator_is_not_sent_to_another_server_on_this_machine(
    start_gateway, registry, upstream, monkeypatch
):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-the-operator")
    registry.serve("v1", "served-v1", api_key_env="OPENAI_API_KEY")

    with pytest.raises(openai.InternalServerError):
        start_gateway().client().chat.completions.create(model="assistant", messages=MESSAGES)

    assert upstream.requests == []
