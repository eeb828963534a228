"""Serve tuned models on Bedrock, and ask what is served there.

A tuned model cannot be asked by its own ARN. Where its base model and region allow, it is deployed on demand and paid
by the token. Elsewhere it needs provisioned throughput, billed by the hour and model unit from its creation to its
deletion, whether it is asked or not; one with a commitment cannot be deleted before its end.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal

from gateway_tuning.datasets.example import Turn
from gateway_tuning.errors import ConflictError, NotFoundError, ProviderError
from gateway_tuning.training.providers.bedrock.account import BedrockAccount, asking

Commitment = Literal["OneMonth", "SixMonths"]


@dataclass(frozen=True, slots=True)
class Throughput:
    """`status` in the service's words: Creating, InService, Updating, Failed. `arn` is the model to ask."""

    arn: str
    name: str
    model_arn: str
    status: str
    units: int
    message: str = ""

    @property
    def is_ready(self) -> bool:
        return self.status == "InService"


@dataclass(frozen=True, slots=True)
class Deployment:
    """On demand. `status` in the service's words: Creating, Active, Failed. `arn` is the model to ask."""

    arn: str
    name: str
    model_arn: str
    status: str
    message: str = ""

    @property
    def is_ready(self) -> bool:
        return self.status == "Active"


@dataclass(frozen=True, slots=True)
class Answer:
    """`stop_reason` in the service's words, such as end_turn or max_tokens."""

    text: str
    stop_reason: str
    input_tokens: int | None
    output_tokens: int | None


def deploy(account: BedrockAccount, model_arn: str, name: str) -> Deployment:
    """Have a tuned model answer on demand. Of a name there is one, however often it is asked for.

    Raises:
        ConflictError: the name stands for another model.
        ProviderError: AWS refuses; not every base model and region knows this.
    """
    try:
        known = deployment(account, name)
    except NotFoundError:
        request = {"clientRequestToken": _token(name), "modelArn": model_arn, "modelDeploymentName": name}
        with asking(account, f"deploy {name}"):
            made = account.client("bedrock").create_custom_model_deployment(**request)
        return deployment(account, made["customModelDeploymentArn"])
    if known.model_arn != model_arn:
        raise ConflictError(
            f"Deployment {name} serves {known.model_arn}, not {model_arn}; undeploy it or use another name"
        )
    return known


def deployment(account: BedrockAccount, name_or_arn: str) -> Deployment:
    """Raises NotFoundError."""
    with asking(account, f"show the deployment {name_or_arn}"):
        seen = account.client("bedrock").get_custom_model_deployment(
            customModelDeploymentIdentifier=name_or_arn
        )
    return Deployment(
        arn=seen["customModelDeploymentArn"],
        name=seen["modelDeploymentName"],
        model_arn=seen["modelArn"],
        status=seen["status"],
        message=seen.get("failureMessage", ""),
    )


def undeploy(account: BedrockAccount, name_or_arn: str) -> None:
    """Doing it again changes nothing. Raises ConflictError: it is being created."""
    with suppress(NotFoundError), asking(account, f"delete the deployment {name_or_arn}"):
        account.client("bedrock").delete_custom_model_deployment(customModelDeploymentIdentifier=name_or_arn)


def provision(
    account: BedrockAccount,
    model_arn: str,
    name: str,
    *,
    units: int = 1,
    commitment: Commitment | None = None,
) -> Throughput:
    """Buy capacity for a tuned model; the bill begins at once. Of a name there is one, however often it is asked for.

    `name` has letters and digits with single - or _ between them, 63 at most. Without a commitment it is billed by
    the hour, until `release`.

    Raises:
        ConflictError: the name stands for another model's capacity.
        ProviderError: AWS refuses, for want of quota above all.
    """
    try:
        known = throughput(account, name)
    except NotFoundError:
        return _provisioned(account, model_arn, name, units, commitment)
    if known.model_arn != model_arn:
        raise ConflictError(
            f"Throughput {name} serves {known.model_arn}, not {model_arn}; release it or use another name"
        )
    return known


def _provisioned(
    account: BedrockAccount, model_arn: str, name: str, units: int, commitment: Commitment | None
) -> Throughput:
    request: dict[str, Any] = {
        "clientRequestToken": _token(name),
        "modelId": model_arn,
        "modelUnits": units,
        "provisionedModelName": name,
    }
    if commitment is not None:
        request["commitmentDuration"] = commitment
    with asking(account, f"provision throughput {name}"):
        arn = account.client("bedrock").create_provisioned_model_throughput(**request)["provisionedModelArn"]
    return throughput(account, arn)


def throughput(account: BedrockAccount, name_or_arn: str) -> Throughput:
    """Raises NotFoundError."""
    with asking(account, f"show the throughput {name_or_arn}"):
        seen = account.client("bedrock").get_provisioned_model_throughput(provisionedModelId=name_or_arn)
    return Throughput(
        arn=seen["provisionedModelArn"],
        name=seen["provisionedModelName"],
        model_arn=seen["modelArn"],
        status=seen["status"],
        units=seen["modelUnits"],
        message=seen.get("failureMessage", ""),
    )


def release(account: BedrockAccount, name_or_arn: str) -> None:
    """End the bill. Releasing again changes nothing.

    Raises:
        ConflictError: it is being created or changed, or its commitment has not ended.
    """
    with suppress(NotFoundError), asking(account, f"delete the throughput {name_or_arn}"):
        account.client("bedrock").delete_provisioned_model_throughput(provisionedModelId=name_or_arn)


def converse(
    account: BedrockAccount,
    model: str,
    conversation: Sequence[Turn],
    *,
    max_tokens: int,
    temperature: float = 0.0,
) -> Answer:
    """Ask a foundation model by its id, or a tuned one by the ARN of its throughput or deployment.

    Raises:
        ProviderUnavailableError: no answer; trying again may help.
        ProviderError: refused, or the answer holds no text.
    """
    request: dict[str, Any] = {
        "modelId": model,
        "messages": [
            {"role": turn.role, "content": [{"text": turn.content}]}
            for turn in conversation
            if turn.role != "system"
        ],
        "inferenceConfig": {"maxTokens": max_tokens, "temperature": temperature},
    }
    if system := [{"text": turn.content} for turn in conversation if turn.role == "system"]:
        request["system"] = system
    try:
        with asking(account, f"answer as {model}"):
            told = account.client("bedrock-runtime").converse(**request)
    except NotFoundError as error:
        raise ProviderError(
            f"{error}. A tuned model is asked by the ARN of its deployment or throughput: deploy or provision it first"
        ) from error
    text = "".join(block.get("text", "") for block in told["output"]["message"]["content"])
    if not text:
        raise ProviderError(
            f"{model} on Bedrock answered without text: {told['stopReason']}. Ask it otherwise"
        )
    usage = told.get("usage", {})
    return Answer(text, told["stopReason"], usage.get("inputTokens"), usage.get("outputTokens"))


def _token(name: str) -> str:
    """A request token takes no underscores."""
    return name.replace("_", "-")
