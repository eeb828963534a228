"""The shadow in a real gateway, with real servers and one real scoring process. Each test has a model of its own."""

import itertools
import socket
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import httpx
import pytest
import sqlalchemy as sa

from gateway_tuning.rollout.canary_store import CanaryStore
from gateway_tuning.rollout.policy import CanaryPolicy
from gateway_tuning.rollout.shadows.shadow import TokenPrices
from gateway_tuning.rollout.shadows.store import ShadowStore
from gateway_tuning.storage.database import open_database
from gateway_tuning.storage.tables import canaries
from tests.unit.gateway.conftest import Gateway, Registry

MESSAGES = [{"role": "user", "content": "answer of which model?"}]
NUMBERS = itertools.count()
CLIENT = httpx.Client(timeout=20)


class Case:
    """A model `m`, its stable version `m-v1` and its candidate `m-v2`, each served under its own name."""

    def __init__(self, gateway, registry, model_server, until):
        self.model = f"m{next(NUMBERS)}"
        self.gateway, self.registry, self.until = gateway, registry, until
        self._server = model_server
        self.store = ShadowStore(registry.engine)
        self.stable, self.candidate = f"{self.model}-v1", f"{self.model}-v2"
        self.serve(self.stable)
        self.serve(self.candidate)
        registry.point(self.model, self.stable)
        self.until(lambda: self.chat().status_code == 200)

    def serve(self, version, behaviour="", **options):
        self.registry.serve(version, f"served-{version}{behaviour}", **options)

    def chat(self, headers=None, gateway=None, **options):
        body = {"model": self.model, "user": "ann", "messages": MESSAGES, **options}
        url = f"{(gateway or self.gateway).url}/v1/chat/completions"
        return CLIENT.post(url, json=body, headers=headers)

    def start(self, **options):
        now = datetime.now(UTC)
        usual = {
            "tenant": "t",
            "candidate": self.candidate,
            "share": 1.0,
            "max_requests": 100,
            "budget": None,
            "prices": None,
            "ends_at": now + timedelta(hours=1),
            "by": "ann",
            "now": now,
        }
        self.shadow = self.store.start(self.model, **(usual | options))
        return self.shadow

    def mirror(self, **options):
        """Ask until the gateway has seen that the shadow runs."""
        self.until(lambda: self.chat(**options).content and self.requests)

    @property
    def requests(self):
        return self.store.get(self.shadow.id).requests

    @property
    def pairs(self):
        return self.store.pairs(self.shadow.id)

    def asked(self, version=None):
        served = f"served-{version or self.candidate}"
        bodies = [one["body"] for one in list(self._server.requests)]
        return [body for body in bodies if body["model"].startswith(served)]


@pytest.fixture(scope="module")
def shared(tmp_path_factory, model_server):
    engine = open_database(f"sqlite:///{tmp_path_factory.mktemp('shadow') / 'gateway.db'}")
    gateway = Gateway(engine, request_timeout_s=60.0)
    yield gateway, Registry(engine, model_server.base_url)
    gateway.stop()
    engine.dispose()


@pytest.fixture
def case(shared, model_server, until):
    made = Case(*shared, model_server, until)
    yield made
    for shadow in made.store.all(made.model):
        made.store.stop(shadow.id, by="ann", now=datetime.now(UTC))


def test_both_answers_are_scored_and_kept_as_figures_alone(case):
    shadow = case.start(budget=Decimal(1), prices=TokenPrices(Decimal(10), Decimal(20), "USD"))
    case.mirror()
    case.until(lambda: case.pairs, 60)

    pair = case.pairs[0]
    assert CLIENT.get(f"{case.gateway.url}/healthz").json()["shadow"]["running"] == [shadow.id]

    names = {name.removesuffix("_lexical") for name in pair.candidate_scores}
    both = {"failed", "relevance", "refusal", "json_validity", "completion_tokens"}
    assert {name.removesuffix("_lexical") for name in pair.control_scores} == both
    assert names == both | {"semantic_similarity", "length_ratio", "same_tools"}
    assert pair.control_scores["relevance"] > 0
    assert pair.candidate_scores["semantic_similarity"] > 0.5
    assert pair.candidate_scores["length_ratio"] == 1.0
    assert pair.user_key == shadow.user_key("user:ann", pair.answer_id)
    assert pair.cost == Decimal("0.00013")  # 7 tokens read at 10, 3 written at 20 the million
    assert pair.candidate_ms > 0
    assert "answer of" not in str(pair)


@pytest.mark.parametrize("stream", [False, True])
def test_what_a_client_gets_is_the_same_to_the_byte_whatever_the_candidate_does(case, stream):
    """Headers too, but for the answer's own id and the time."""

    def seen():
        reply = case.chat(stream=stream)
        own = {"x-gateway-answer-id", "date"}
        named = {name: value for name, value in reply.headers.items() if name not in own}
        return reply.status_code, named, reply.content

    without = seen()
    case.start()
    errors = {"": None, "-500": "status_500", "-drop": "connection_lost", "-half": "invalid_json"}

    def holds_until_the_candidate_did(error):
        assert seen() == without
        return error in {pair.candidate_error for pair in case.pairs}

    for behaviour, error in errors.items():
        case.serve(case.candidate, behaviour)
        case.until(lambda error=error: holds_until_the_candidate_did(error), 60)
    assert without[0] == 200
    assert (b"two " if stream else case.stable.encode()) in without[2]


def test_the_candidate_is_asked_the_same_with_its_tools_but_whole_once_and_without_the_user(case):
    tools = [{"type": "function", "function": {"name": "look_up", "parameters": {"type": "object"}}}]
    case.start()

    case.mirror(stream=True, stream_options={"include_usage": True}, tools=tools, temperature=0.3)
    case.until(case.asked)

    served = f"served-{case.candidate}"
    assert case.asked()[0] == {"model": served, "messages": MESSAGES, "tools": tools, "temperature": 0.3}


def test_a_failure_of_the_stable_version_is_mirrored_so_that_it_counts(case):
    case.start()
    case.mirror()
    case.serve(case.stable, "-500")

    def failed():
        case.chat()
        return [pair for pair in case.pairs if pair.control_scores["failed"]]

    case.until(failed)
    (pair, *_) = failed()
    assert pair.candidate_scores["failed"] == 0
    assert "relevance" not in {name.removesuffix("_lexical") for name in pair.control_scores}


def said(*words):
    return [{"role": "user", "content": " ".join(words)}]


def test_simulated_users_are_not_mirrored(case):
    case.start()
    case.mirror()

    for _ in range(5):
        case.chat({"x-gateway-simulated": "1"}, messages=said("simulated"))

    assert_only_real_ones_are_asked(case, case.candidate, not_mirrored="simulated")


def test_answers_of_a_canary_are_not_mirrored(case):
    third = f"{case.model}-v3"
    case.serve(third)
    case.start(candidate=third)
    case.mirror()
    CanaryStore(case.registry.engine).start(
        f"canary-{case.model}",
        tenant="t",
        model=case.model,
        candidate=case.candidate,
        control=case.stable,
        policy=CanaryPolicy(),
        now=datetime.now(UTC),
    )
    set_canary(case, share=1.0)
    case.until(lambda: version_of(case.chat()) == case.candidate)

    for _ in range(5):
        assert version_of(case.chat(messages=said("by the canary"))) == case.candidate

    set_canary(case, share=0.0, state="rolled_back")
    case.until(lambda: version_of(case.chat()) == case.stable)
    assert_only_real_ones_are_asked(case, third, not_mirrored="by the canary")


def set_canary(case, **values):
    with case.registry.engine.begin() as connection:
        connection.execute(sa.update(canaries).values(values))


def version_of(reply):
    return reply.headers["x-gateway-model-version"]


def assert_only_real_ones_are_asked(case, candidate, *, not_mirrored):
    """Three later requests are waited for: what came before them has had its turn."""

    def asked():
        return [body["messages"] for body in case.asked(candidate)]

    for messages in [said("later", str(number)) for number in range(3)]:
        case.until(lambda messages=messages: case.chat(messages=messages) and messages in asked())
    assert said(not_mirrored) not in asked()


def test_two_gateways_together_ask_exactly_as_often_as_was_allowed(case):
    other = Gateway(case.registry.engine, request_timeout_s=5.0)
    try:
        case.until(lambda: case.chat(gateway=other).status_code == 200)
        shadow = case.start(max_requests=5)

        def all_asked():
            return case.chat() and case.chat(gateway=other) and case.store.get(shadow.id).state == "finished"

        case.until(all_asked)
        for gateway in (case.gateway, other) * 5:
            case.chat(gateway=gateway)
        case.until(lambda: len(case.pairs) == 5, 60)
    finally:
        other.stop()

    assert len(case.asked()) == 5
    assert case.requests == 5


def test_a_candidate_at_an_address_that_is_not_allowed_is_asked_nothing(case):
    case.start()
    case.mirror()
    case.serve(case.candidate, base_url="https://models.example.com/v1")

    def rests():
        before = case.requests
        for _ in range(10):
            assert case.chat().status_code == 200
        return case.requests == before

    case.until(rests)

    case.until(lambda: len(case.pairs) == case.requests)
    assert {pair.candidate_error for pair in case.pairs} == {None}


def test_a_candidate_that_hangs_takes_two_requests_and_no_answer_from_anybody(case):
    with socket.create_server(("127.0.0.1", 0)) as hanging:
        case.serve(case.candidate, base_url=f"http://127.0.0.1:{hanging.getsockname()[1]}/v1")
        case.start()
        case.until(lambda: case.chat().status_code == 200 and case.requests == 2)

        replies = [case.chat(stream=stream) for stream in (False, True) * 20]

        assert {reply.status_code for reply in replies} == {200}
        assert {reply.headers["x-gateway-model-version"] for reply in replies} == {case.stable}
        assert case.requests == 2
        assert case.pairs == []


def test_relevance_of_answers_is_written_to_their_outcomes(start_gateway, registry, until):
    gateway = start_gateway(relevance_share=1.0)
    body = {"model": "assistant", "messages": MESSAGES}
    for stream in (False, True):
        CLIENT.post(f"{gateway.url}/v1/chat/completions", json={**body, "stream": stream})

    until(lambda: all(one.relevance is not None for one in registry.outcomes(2)), 60)

    assert all(0 < one.relevance <= 1 for one in registry.outcomes())
    health = CLIENT.get(f"{gateway.url}/healthz").json()
    assert health["relevance"] == {"written": 2, "lost": 0, "skipped": {}, "error": None}
    assert (health["scoring"]["scored"], health["scoring"]["dropped"]) == (2, 0)
    assert health["shadow"]["running"] == []
    assert (
        'gateway_tuning_gateway_relevance_total{result="written"} 2.0'
        in CLIENT.get(f"{gateway.url}/metrics").text
    )
