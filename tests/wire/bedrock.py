"""A Bedrock of our own on the wire that boto3 speaks: jobs by token, statuses that advance, results on a real S3.

Requests are held to the service's own model, patterns and lengths included, as AWS does.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import botocore.session
from botocore.validate import ParamValidator
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

ACCOUNT = "123456789012"
REGION = "us-east-1"
ENDED = "anthropic.claude-3-haiku-20240307-v1:0:200k"
TUNED = ("amazon.nova-micro-v1:0:128k", "meta.llama3-1-8b-instruct-v1:0:128k", ENDED)
OUTPUT = "model-customization-job-{id}/{part}"
PAGE = 2
STEPS = 4
PHASES = ("validationDetails", "dataProcessingDetails", "trainingDetails")


class RefusedError(Exception):
    def __init__(self, code: str, message: str, status: int = 400) -> None:
        self.code, self.message, self.status = code, message, status


@dataclass(slots=True)
class Job:
    request: dict[str, Any]
    number: int
    status: str = "InProgress"
    looks: int = 0
    failure: str | None = None

    @property
    def id(self) -> str:
        return f"{self.number:012d}"

    @property
    def base(self) -> str:
        return self.request["baseModelIdentifier"]

    @property
    def arn(self) -> str:
        return f"arn:aws:bedrock:{REGION}:{ACCOUNT}:model-customization-job/{self.base}/{self.id}"

    @property
    def model_arn(self) -> str:
        return f"arn:aws:bedrock:{REGION}:{ACCOUNT}:custom-model/{self.base}/{self.id}"

    @property
    def created(self) -> str:
        return (datetime(2026, 11, 1, tzinfo=UTC) + timedelta(minutes=self.number)).isoformat()


@dataclass(slots=True)
class FakeBedrock:
    """`s3` is a boto3 client, for what the service reads and writes. `says` replaces a status that is told."""

    s3: Any
    jobs: list[Job] = field(default_factory=list)
    throughputs: dict[str, dict[str, Any]] = field(default_factory=dict)
    deployments: dict[str, dict[str, Any]] = field(default_factory=dict)
    says: Callable[[Job], str] = lambda job: job.status
    looks_to_end: int = 3
    writes_metrics: bool = True
    names_are_unique: bool = True
    ended: frozenset[str] = frozenset({ENDED})
    creates: int = 0
    _numbers: Any = field(default_factory=lambda: count(1))
    _model: Any = field(default_factory=lambda: botocore.session.get_session().get_service_model("bedrock"))

    def app(self) -> Starlette:
        jobs, throughput = "/model-customization-jobs", "/provisioned-model-throughput"
        deployment = "/model-customization/custom-model-deployments"
        routes = [
            ("POST", f"{jobs}", self._create),
            ("GET", f"{jobs}", self._list),
            ("POST", f"{jobs}/{{id:path}}/stop", self._stop),
            ("GET", f"{jobs}/{{id:path}}", self._get),
            ("POST", "/listTagsForResource", self._tags),
            ("POST", throughput, self._provision),
            ("GET", f"{throughput}/{{id:path}}", self._throughput),
            ("DELETE", f"{throughput}/{{id:path}}", self._release),
            ("POST", deployment, self._deploy),
            ("GET", f"{deployment}/{{id:path}}", self._deployment),
            ("DELETE", f"{deployment}/{{id:path}}", self._undeploy),
            ("POST", "/model/{id:path}/converse", self._converse),
        ]
        return Starlette(routes=[_route(*route) for route in routes])

    def named(self, name: str) -> list[Job]:
        return [job for job in self.jobs if job.request["jobName"] == name]

    def _create(self, body: dict[str, Any], _request: Request) -> tuple[int, dict[str, Any]]:
        self._hold_to_model("CreateModelCustomizationJob", body)
        base, token = body["baseModelIdentifier"], body["clientRequestToken"]
        for job in self.jobs:
            if job.request["clientRequestToken"] == token:
                if job.request != body:
                    raise RefusedError(
                        "ConflictException", "The client request token was used with other parameters"
                    )
                return 201, {"jobArn": job.arn}
        if base in self.ended:
            raise RefusedError("ValidationException", f"The model {base} has reached the end of its life")
        if base not in TUNED:
            raise RefusedError(
                "ResourceNotFoundException", f"Could not resolve the foundation model {base}", 404
            )
        if self.names_are_unique and self.named(body["jobName"]):
            raise RefusedError("ValidationException", "The provided job name is currently in use")
        self.creates += 1
        self.jobs.append(Job(body, next(self._numbers)))
        return 201, {"jobArn": self.jobs[-1].arn}

    def _list(self, _body: Any, request: Request) -> tuple[int, dict[str, Any]]:
        part, start = (
            request.query_params.get("nameContains", ""),
            int(request.query_params.get("nextToken", 0)),
        )
        found = [job for job in self.jobs if part in job.request["jobName"]]
        if request.query_params.get("sortOrder") == "Descending":
            found.reverse()
        page = [
            {
                "jobArn": job.arn,
                "baseModelArn": f"arn:aws:bedrock:{REGION}::foundation-model/{job.base}",
                "jobName": job.request["jobName"],
                "status": self.says(job),
                "creationTime": job.created,
            }
            for job in found[start : start + PAGE]
        ]
        more = {"nextToken": str(start + PAGE)} if start + PAGE < len(found) else {}
        return 200, {"modelCustomizationJobSummaries": page, **more}

    def _get(self, _body: Any, request: Request) -> tuple[int, dict[str, Any]]:
        job = self._job(request)
        self._advance(job)
        asked = job.request
        told: dict[str, Any] = {
            "jobArn": job.arn,
            "jobName": asked["jobName"],
            "outputModelName": asked["customModelName"],
            "clientRequestToken": asked["clientRequestToken"],
            "roleArn": asked["roleArn"],
            "status": self.says(job),
            "creationTime": job.created,
            "baseModelArn": f"arn:aws:bedrock:{REGION}::foundation-model/{job.base}",
            "hyperParameters": asked["hyperParameters"],
            "trainingDataConfig": asked["trainingDataConfig"],
            "validationDataConfig": asked.get("validationDataConfig", {"validators": []}),
            "outputDataConfig": asked["outputDataConfig"],
            "customizationType": "FINE_TUNING",
        }
        if job.status == "InProgress":
            at = min(job.looks, len(PHASES)) - 1
            states = ["Completed"] * at + ["InProgress"] + ["NotStarted"] * (len(PHASES) - 1 - at)
            told["statusDetails"] = {
                name: {"status": state} for name, state in zip(PHASES, states, strict=True)
            }
        if job.status == "Completed":
            told["outputModelArn"] = job.model_arn
            told["trainingMetrics"] = {"trainingLoss": _loss(STEPS)}
            if "validationDataConfig" in asked:
                told["validationMetrics"] = [{"validationLoss": _loss(STEPS) + 0.125}]
        if job.failure is not None:
            told["failureMessage"] = job.failure
        return 200, told

    def _advance(self, job: Job) -> None:
        job.looks += 1
        if job.status == "Stopping":
            job.status = "Stopped"
        if job.status == "InProgress" and job.looks > self.looks_to_end:
            uris = [job.request["trainingDataConfig"]["s3Uri"]]
            uris += [
                one["s3Uri"] for one in job.request.get("validationDataConfig", {}).get("validators", [])
            ]
            try:
                for uri in uris:
                    _read(self.s3, uri)
            except self.s3.exceptions.NoSuchKey:
                job.status, job.failure = "Failed", "The training data could not be read from S3"
                return
            job.status = "Completed"
            if self.writes_metrics:
                self._write_metrics(job)

    def _write_metrics(self, job: Job) -> None:
        bucket, _, prefix = job.request["outputDataConfig"]["s3Uri"].removeprefix("s3://").partition("/")
        for part, column in (
            ("training_artifacts/step_wise_training_metrics.csv", "training_loss"),
            ("validation_artifacts/post_fine_tuning_validation/validation_metrics.csv", "validation_loss"),
        ):
            rows = [f"step_number,epoch_number,{column},perplexity"]
            rows += [f"{step},0,{_loss(step)},{2 ** _loss(step)}" for step in range(1, STEPS + 1)]
            key = f"{prefix}/{OUTPUT.format(id=job.id, part=part)}"
            self.s3.put_object(Bucket=bucket, Key=key, Body="\n".join(rows).encode())

    def _stop(self, _body: Any, request: Request) -> tuple[int, dict[str, Any]]:
        job = self._job(request)
        if job.status not in {"InProgress", "Stopping"}:
            raise RefusedError("ConflictException", f"The job is {job.status}")
        job.status = "Stopping"
        return 200, {}

    def _tags(self, body: dict[str, Any], _request: Request) -> tuple[int, dict[str, Any]]:
        job = next((job for job in self.jobs if job.arn == body["resourceARN"]), None)
        if job is None:
            raise RefusedError("ResourceNotFoundException", "No such resource", 404)
        return 200, {"tags": job.request.get("jobTags", [])}

    def _provision(self, body: dict[str, Any], _request: Request) -> tuple[int, dict[str, Any]]:
        self._hold_to_model("CreateProvisionedModelThroughput", body)
        arn = f"arn:aws:bedrock:{REGION}:{ACCOUNT}:provisioned-model/{next(self._numbers):012d}"
        self.throughputs[arn] = {
            "modelUnits": body["modelUnits"],
            "desiredModelUnits": body["modelUnits"],
            "provisionedModelName": body["provisionedModelName"],
            "provisionedModelArn": arn,
            "modelArn": body["modelId"],
            "desiredModelArn": body["modelId"],
            "foundationModelArn": f"arn:aws:bedrock:{REGION}::foundation-model/{TUNED[0]}",
            "status": "Creating",
            "creationTime": "2026-11-01T00:00:00Z",
            "lastModifiedTime": "2026-11-01T00:00:00Z",
        }
        return 201, {"provisionedModelArn": arn}

    def _throughput(self, _body: Any, request: Request) -> tuple[int, dict[str, Any]]:
        asked = request.path_params["id"]
        for one in self.throughputs.values():
            if asked in {one["provisionedModelArn"], one["provisionedModelName"]}:
                told = dict(one)
                one["status"] = "InService"
                return 200, told
        raise RefusedError("ResourceNotFoundException", "No such provisioned throughput", 404)

    def _release(self, body: Any, request: Request) -> tuple[int, dict[str, Any]]:
        _status, one = self._throughput(body, request)
        del self.throughputs[one["provisionedModelArn"]]
        return 200, {}

    def _deploy(self, body: dict[str, Any], _request: Request) -> tuple[int, dict[str, Any]]:
        self._hold_to_model("CreateCustomModelDeployment", body)
        arn = f"arn:aws:bedrock:{REGION}:{ACCOUNT}:custom-model-deployment/{next(self._numbers):012d}"
        self.deployments[arn] = {
            "customModelDeploymentArn": arn,
            "modelDeploymentName": body["modelDeploymentName"],
            "modelArn": body["modelArn"],
            "createdAt": "2026-11-01T00:00:00Z",
            "status": "Creating",
        }
        return 202, {"customModelDeploymentArn": arn}

    def _deployment(self, _body: Any, request: Request) -> tuple[int, dict[str, Any]]:
        asked = request.path_params["id"]
        for one in self.deployments.values():
            if asked in {one["customModelDeploymentArn"], one["modelDeploymentName"]}:
                told = dict(one)
                one["status"] = "Active"
                return 200, told
        raise RefusedError("ResourceNotFoundException", "No such deployment", 404)

    def _undeploy(self, body: Any, request: Request) -> tuple[int, dict[str, Any]]:
        _status, one = self._deployment(body, request)
        del self.deployments[one["customModelDeploymentArn"]]
        return 200, {}

    def _converse(self, body: dict[str, Any], request: Request) -> tuple[int, dict[str, Any]]:
        if request.path_params["id"] not in {**self.throughputs, **self.deployments}:
            raise RefusedError("ResourceNotFoundException", "Could not resolve the model", 404)
        said = " ".join(
            block["text"] for block in [*body.get("system", []), *body["messages"][-1]["content"]]
        )
        return 200, {
            "output": {"message": {"role": "assistant", "content": [{"text": f"You said: {said}"}]}},
            "stopReason": "end_turn",
            "usage": {"inputTokens": 7, "outputTokens": 5, "totalTokens": 12},
            "metrics": {"latencyMs": 1},
        }

    def _job(self, request: Request) -> Job:
        asked = request.path_params["id"]
        job = next((job for job in self.jobs if asked in {job.arn, job.request["jobName"]}), None)
        if job is None:
            raise RefusedError("ResourceNotFoundException", "The specified job does not exist", 404)
        return job

    def _hold_to_model(self, operation: str, body: dict[str, Any]) -> None:
        shape = self._model.operation_model(operation).input_shape
        report = ParamValidator().validate(body, shape)
        problem = report.generate_report() or next(_broken_patterns(shape, body, ""), None)
        if problem:
            raise RefusedError("ValidationException", problem)


def _route(method: str, path: str, act: Callable[[Any, Request], tuple[int, dict[str, Any]]]) -> Route:
    async def answer(request: Request) -> Response:
        raw = await request.body()
        try:
            status, told = act(json.loads(raw) if raw else None, request)
        except RefusedError as refusal:
            headers = {"x-amzn-ErrorType": refusal.code}
            return JSONResponse({"message": refusal.message}, refusal.status, headers)
        return JSONResponse(told, status)

    return Route(path, answer, methods=[method])


def _broken_patterns(shape: Any, value: Any, place: str) -> Any:
    """botocore checks types and lengths; AWS the patterns as well."""
    if shape.type_name == "structure":
        for name, member in shape.members.items():
            if name in value:
                yield from _broken_patterns(member, value[name], f"{place}.{name}")
    elif shape.type_name == "list":
        for item in value:
            yield from _broken_patterns(shape.member, item, place)
    elif shape.type_name == "string":
        pattern, longest = shape.metadata.get("pattern"), shape.metadata.get("max")
        if pattern and not re.fullmatch(pattern, value):
            yield f"Value at {place} failed to satisfy the pattern {pattern}"
        if longest is not None and len(value) > longest:
            yield f"Value at {place} is longer than {longest}"


def _read(s3: Any, uri: str) -> bytes:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return s3.get_object(Bucket=bucket, Key=key)["Body"].read()


def _loss(step: int) -> float:
    return round(2.0 / step, 4)
