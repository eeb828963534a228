from itertools import count

import pytest
from pydantic import SecretStr

from gateway_tuning.datasets.example import Turn
from gateway_tuning.errors import ConflictError, NotFoundError, ProviderError, ProviderUnavailableError
from gateway_tuning.training.providers.bedrock import serving
from gateway_tuning.training.providers.bedrock.account import BedrockAccount
from tests.wire.bedrock import ACCOUNT, REGION, FakeBedrock
from tests.wire.faults import Faults, lost_reply, status
from tests.wire.server import running

MODEL = "arn:aws:bedrock:us-east-1:123456789012:custom-model/amazon.nova-micro-v1:0:128k/a1b2c3d4e5f6"
CREATE = r"/provisioned-model-throughput$"
QUESTION = [Turn("system", "Be kind."), Turn("user", "Hello?")]
_numbers = count(1)


@pytest.fixture(scope="module")
def fake():
    return FakeBedrock(s3=None)


@pytest.fixture(scope="module")
def wire(fake):
    faults = Faults()
    with running(faults.around(fake.app())) as url:
        yield faults, url


@pytest.fixture
def faults(wire):
    yield wire[0]
    wire[0].clear()


@pytest.fixture
def account(wire):
    role = f"arn:aws:iam::{ACCOUNT}:role/tuner"
    secret = SecretStr("secret")
    return BedrockAccount(REGION, role, "s3://tuning", endpoint_url=wire[1], key=secret, secret=secret)


@pytest.fixture
def name():
    return f"support_{next(_numbers)}"


def test_capacity_is_bought_answers_and_is_given_back(fake, account, name):
    bought = serving.provision(account, MODEL, name, units=2)
    assert (bought.status, bought.units, bought.is_ready) == ("Creating", 2, False)
    assert serving.throughput(account, bought.arn).is_ready

    answer = serving.converse(account, bought.arn, QUESTION, max_tokens=20)
    assert answer == serving.Answer("You said: Be kind. Hello?", "end_turn", 7, 5)

    serving.release(account, name)
    serving.release(account, name)
    assert bought.arn not in fake.throughputs
    with pytest.raises(NotFoundError):
        serving.throughput(account, bought.arn)


def test_a_model_is_deployed_on_demand_answers_and_is_taken_back(fake, account, name):
    made = serving.deploy(account, MODEL, name)
    assert (made.status, made.is_ready) == ("Creating", False)
    assert serving.deployment(account, name).is_ready
    assert serving.converse(account, made.arn, QUESTION, max_tokens=20).text == "You said: Be kind. Hello?"

    serving.undeploy(account, name)
    serving.undeploy(account, name)
    assert made.arn not in fake.deployments


def test_a_model_that_was_deployed_in_silence_is_not_deployed_twice(fake, faults, account, name):
    faults.on("POST", "/custom-model-deployments$", lost_reply())
    with pytest.raises(ProviderUnavailableError):
        serving.deploy(account, MODEL, name)
    serving.deploy(account, MODEL, name)
    assert [one["modelDeploymentName"] for one in fake.deployments.values()].count(name) == 1
    with pytest.raises(ConflictError, match="undeploy it"):
        serving.deploy(account, MODEL.replace("a1b2", "ffff"), name)


def test_capacity_that_was_bought_in_silence_is_not_bought_twice(fake, faults, account, name):
    faults.on("POST", CREATE, lost_reply())
    with pytest.raises(ProviderUnavailableError):
        serving.provision(account, MODEL, name)

    serving.provision(account, MODEL, name)

    assert [one["provisionedModelName"] for one in fake.throughputs.values()].count(name) == 1


def test_a_name_that_serves_another_model_is_a_conflict(account, name):
    serving.provision(account, MODEL, name)
    with pytest.raises(ConflictError, match="release it"):
        serving.provision(account, MODEL.replace("a1b2", "ffff"), name)


def test_a_model_without_capacity_says_that_it_must_be_provisioned(account):
    with pytest.raises(ProviderError, match="deploy or provision it first"):
        serving.converse(account, MODEL, QUESTION, max_tokens=20)


def test_a_model_that_is_not_ready_may_be_asked_again(faults, account):
    body = {"__type": "ModelNotReadyException", "message": "The model is loading"}
    faults.on("POST", "/converse$", status(429, body=body))
    with pytest.raises(ProviderUnavailableError, match="ModelNotReadyException"):
        serving.converse(account, MODEL, QUESTION, max_tokens=20)


def test_an_answer_without_text_is_an_error_and_no_empty_answer(faults, account):
    body = {"output": {"message": {"role": "assistant", "content": []}}, "stopReason": "guardrail_intervened"}
    faults.on("POST", "/converse$", status(200, body=body))
    with pytest.raises(ProviderError, match="guardrail_intervened"):
        serving.converse(account, MODEL, QUESTION, max_tokens=20)
