import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import pytest

from gateway_tuning.errors import ConfigurationError, ServingError
from gateway_tuning.processes import free_port
from gateway_tuning.training.local.model.weights import BASE_MODEL, packaged_gguf
from gateway_tuning.training.local.serving.server import _is_healthy, random_key, serve_local
from tests.wire.server import running

KEY = random_key()
QUESTIONS = ["How do I get a refund?", "How do I reset my password?", "Is it possible to cancel my plan?"]


@pytest.fixture(scope="module")
def server(adapter, tmp_path_factory):
    log = tmp_path_factory.mktemp("server") / "server.log"
    with serve_local(
        {"tuned": adapter / "adapter.gguf"}, base_gguf=packaged_gguf(), api_key=KEY, log=log
    ) as server:
        yield server


@pytest.fixture(scope="module")
def ask(server):
    from openai import OpenAI

    client = OpenAI(base_url=server.base_url, api_key=KEY, max_retries=0)

    def ask(name, question):
        endpoint = server.endpoints[name]
        answer = client.chat.completions.create(
            model=endpoint.model,
            messages=[{"role": "user", "content": question}],
            temperature=0,
            max_tokens=24,
            extra_body=endpoint.extra_body,
        )
        return answer.choices[0].message.content

    return ask


@pytest.mark.slow
def test_the_adapter_answers_in_the_house_style_and_the_base_model_does_not(ask, house_style):
    assert ask("tuned", QUESTIONS[0]).startswith(house_style)
    assert not ask(BASE_MODEL, QUESTIONS[0]).startswith(house_style)


@pytest.mark.slow
def test_interleaved_requests_to_base_and_adapter_never_mix(ask):
    pairs = [(name, question) for question in QUESTIONS for name in (BASE_MODEL, "tuned")]
    alone = {pair: ask(*pair) for pair in pairs}
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda pair: ask(*pair), pairs * 2))
    assert together == [alone[pair] for pair in pairs * 2]


@pytest.mark.slow
def test_the_same_prompt_to_base_and_adapter_in_turn_gives_each_its_own_answer(ask):
    answers = [(ask(BASE_MODEL, QUESTIONS[1]), ask("tuned", QUESTIONS[1])) for _ in range(2)]
    assert answers[0] == answers[1]
    assert answers[0][0] != answers[0][1]


@pytest.mark.slow
def test_a_request_that_names_no_adapter_gets_the_base_model(server, ask):
    from openai import OpenAI

    answer = OpenAI(base_url=server.base_url, api_key=KEY).chat.completions.create(
        model="x", messages=[{"role": "user", "content": QUESTIONS[0]}], temperature=0, max_tokens=24
    )
    assert answer.choices[0].message.content == ask(BASE_MODEL, QUESTIONS[0])


@pytest.mark.slow
def test_the_server_asks_for_its_key_and_invites_no_web_page(server):
    request = urllib.request.Request(
        f"{server.base_url}/chat/completions", data=b"{}", headers={"Origin": "http://elsewhere.example"}
    )
    with pytest.raises(urllib.error.HTTPError) as refusal:
        urllib.request.urlopen(request)
    assert refusal.value.code == 401
    assert refusal.value.headers.get("Access-Control-Allow-Origin", "") == ""


def test_a_server_that_cannot_start_says_why(tmp_path):
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF and nothing more")
    with (
        pytest.raises(ServingError, match=r"broken\.gguf"),
        serve_local({}, base_gguf=broken, api_key=KEY, log=tmp_path / "log"),
    ):
        pass


def test_no_proxy_of_the_environment_stands_between_the_server_and_who_waits_for_it(monkeypatch):
    async def models(scope, receive, send):
        if scope["path"] == "/v1/models":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"{}"})

    for name in ("http_proxy", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with running(models) as address:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port()}")
        assert _is_healthy(int(address.rpartition(":")[2]), KEY)


def test_an_adapter_may_not_take_the_base_models_name(tmp_path):
    with (
        pytest.raises(ConfigurationError, match=BASE_MODEL),
        serve_local({BASE_MODEL: tmp_path}, base_gguf=tmp_path, api_key=KEY, log=tmp_path / "log"),
    ):
        pass


@pytest.mark.slow
def test_the_server_ends_with_its_parent_however_that_ends(tmp_path):
    code = (
        "import os, sys; from pathlib import Path\n"
        "from gateway_tuning.training.local.model import weights\n"
        "from gateway_tuning.training.local.serving import server\n"
        "with server.serve_local({}, base_gguf=weights.packaged_gguf(), api_key='k', log=Path(sys.argv[1])) as s:\n"
        "    print(s.base_url, flush=True); os._exit(1)\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "log")]
    output = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    port = int(output.strip().removesuffix("/v1").rsplit(":", 1)[1])
    deadline = time.monotonic() + 20
    while _listens(port):
        assert time.monotonic() < deadline, "the server outlived its parent"
        time.sleep(0.1)


def _listens(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
