"""Mistral's documented files and fine-tuning jobs on the wire: for its own SDK to talk to."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Any
from uuid import UUID

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

KEY = "sk-test"
TUNED = ("ministral-8b-latest", "open-mistral-nemo")
ENDED = {"SUCCESS", "FAILED", "FAILED_VALIDATION", "CANCELLED"}
STEPS = 4
LONGEST_SUFFIX = 18


class RefusedError(Exception):
    def __init__(self, status: int, message: Any) -> None:
        self.status, self.message = status, message


@dataclass(slots=True)
class Stored:
    id: str
    name: str
    content: bytes


@dataclass(slots=True)
class Job:
    id: str
    request: dict[str, Any]
    created_at: int
    status: str = "QUEUED"
    looks: int = 0
    failure: str | None = None


@dataclass(slots=True)
class FakeMistral:
    """`says` replaces a status that is told."""

    files: dict[str, Stored] = field(default_factory=dict)
    jobs: list[Job] = field(default_factory=list)
    says: Callable[[Job], str] = lambda job: job.status
    creates: int = 0
    dry_runs: int = 0
    looks_to_end: int = 4
    knows_dry_runs: bool = True
    metadata: dict[str, Any] | None = None
    _numbers: Any = field(default_factory=lambda: count(1))

    def app(self) -> Starlette:
        jobs = "/v1/fine_tuning/jobs"
        routes = [
            ("POST", "/v1/files", self._upload),
            ("GET", "/v1/files", self._files),
            ("GET", "/v1/files/{id}", self._file),
            ("DELETE", "/v1/files/{id}", self._delete),
            ("POST", jobs, self._create),
            ("GET", jobs, self._list),
            ("GET", f"{jobs}/{{id}}", self._get),
            ("POST", f"{jobs}/{{id}}/cancel", self._cancel),
            ("POST", f"{jobs}/{{id}}/start", self._start),
        ]
        return Starlette(routes=[_route(*route) for route in routes])

    def suffixed(self, suffix: str) -> list[Job]:
        return [job for job in self.jobs if job.request["suffix"] == suffix]

    async def _upload(self, request: Request) -> dict[str, Any]:
        form = await request.form()
        if form["purpose"] != "fine-tune":
            raise RefusedError(422, "purpose")
        stored = Stored(self._id(), form["file"].filename, await form["file"].read())
        self.files[stored.id] = stored
        return _file(stored)

    async def _files(self, request: Request) -> dict[str, Any]:
        found = [one for one in self.files.values() if request.query_params.get("search", "") in one.name]
        return {"object": "list", "total": len(found), "data": [_file(one) for one in _page(request, found)]}

    async def _file(self, request: Request) -> dict[str, Any]:
        return {**_file(self._stored(request)), "deleted": False}

    async def _delete(self, request: Request) -> dict[str, Any]:
        del self.files[self._stored(request).id]
        return {"id": request.path_params["id"], "object": "file", "deleted": True}

    async def _create(self, request: Request) -> dict[str, Any]:
        body = json.loads(await request.body())
        if body["model"] not in TUNED:
            wrong = {
                "type": "value_error",
                "loc": ["body", "model"],
                "msg": "Invalid model for fine-tuning",
                "input": body,
            }
            raise RefusedError(422, {"detail": [wrong]})
        if len(body.get("suffix") or "") > LONGEST_SUFFIX:
            raise RefusedError(422, {"detail": [{"loc": ["body", "suffix"], "msg": "too long"}]})
        used = [file["file_id"] for file in body["training_files"]]
        if not used or any(
            file_id not in self.files for file_id in [*used, *(body.get("validation_files") or [])]
        ):
            raise RefusedError(400, "A training or validation file does not exist")
        body["training_files"] = used
        if self.knows_dry_runs and request.query_params.get("dry_run") == "true":
            self.dry_runs += 1
            tokens = sum(len(self.files[file_id].content) // 4 for file_id in used)
            return {
                "object": "job.metadata",
                "details": "This dry run does not start a job",
                "deprecated": True,
                "cost": 4.0,
                "cost_currency": "EUR",
                "train_tokens": tokens,
                "data_tokens": tokens,
                "expected_duration_seconds": 120,
                "training_steps": STEPS,
            }
        self.creates += 1
        self.jobs.append(Job(self._id(), body, 1_793_000_000 + self.creates))
        return self._told(self.jobs[-1])

    async def _list(self, request: Request) -> dict[str, Any]:
        suffix = request.query_params.get("suffix")
        found = [job for job in reversed(self.jobs) if suffix is None or job.request["suffix"] == suffix]
        return {
            "object": "list",
            "total": len(found),
            "data": [self._told(job) for job in _page(request, found)],
        }

    async def _get(self, request: Request) -> dict[str, Any]:
        job = self._job(request)
        self._advance(job)
        return self._detailed(job)

    async def _cancel(self, request: Request) -> dict[str, Any]:
        job = self._job(request)
        if job.status in ENDED:
            raise RefusedError(400, f"The job is {job.status}")
        job.status = "CANCELLATION_REQUESTED"
        return self._detailed(job)

    async def _start(self, request: Request) -> dict[str, Any]:
        job = self._job(request)
        if job.status != "VALIDATED":
            raise RefusedError(400, f"The job is {job.status}")
        job.request["auto_start"], job.status = True, "RUNNING"
        return self._detailed(job)

    def _advance(self, job: Job) -> None:
        if job.status in ENDED:
            return
        job.looks += 1
        if job.status == "CANCELLATION_REQUESTED":
            job.status = "CANCELLED"
            return
        if job.status == "QUEUED" and any(file not in self.files for file in job.request["training_files"]):
            job.status, job.failure = "FAILED_VALIDATION", "The training file is gone"
            return
        if job.looks < 2 or not job.request.get("auto_start"):
            job.status = "VALIDATING" if job.looks < 2 else "VALIDATED"
        else:
            job.status = "RUNNING" if job.looks < self.looks_to_end else "SUCCESS"

    def _told(self, job: Job) -> dict[str, Any]:
        asked = job.request
        return {
            "object": "job",
            "job_type": "completion",
            "id": job.id,
            "auto_start": bool(asked.get("auto_start")),
            "model": asked["model"],
            "status": self.says(job),
            "created_at": job.created_at,
            "modified_at": job.created_at + job.looks,
            "training_files": asked["training_files"],
            "validation_files": asked.get("validation_files"),
            "hyperparameters": {"training_steps": STEPS, **asked["hyperparameters"]},
            "suffix": asked["suffix"],
            "fine_tuned_model": f"ft:{asked['model']}:{asked['suffix']}:{job.id[:8]}"
            if job.status == "SUCCESS"
            else None,
            "trained_tokens": 4096 if job.status == "SUCCESS" else None,
            "metadata": self.metadata,
        }

    def _detailed(self, job: Job) -> dict[str, Any]:
        done = {"RUNNING": min(job.looks - 1, STEPS - 1), "SUCCESS": STEPS}.get(job.status, 0)
        checkpoints = [
            {
                "step_number": step,
                "created_at": job.created_at + step,
                "metrics": {
                    "train_loss": 2.0 / step,
                    "valid_loss": 2.5 / step,
                    "valid_mean_token_accuracy": 0.5,
                },
            }
            for step in range(1, done + 1)
        ]
        data = {"status": job.status} | ({"error": job.failure} if job.failure else {})
        events = [{"name": "status-updated", "created_at": job.created_at + job.looks, "data": data}]
        # The newest comes first.
        return {**self._told(job), "checkpoints": checkpoints[::-1], "events": events}

    def _job(self, request: Request) -> Job:
        job = next((job for job in self.jobs if job.id == request.path_params["id"]), None)
        if job is None:
            raise RefusedError(404, "No such fine-tuning job")
        return job

    def _stored(self, request: Request) -> Stored:
        stored = self.files.get(request.path_params["id"])
        if stored is None:
            raise RefusedError(404, "No such file")
        return stored

    def _id(self) -> str:
        return str(UUID(int=next(self._numbers)))


def _file(stored: Stored) -> dict[str, Any]:
    return {
        "id": stored.id,
        "object": "file",
        "bytes": len(stored.content),
        "created_at": 1_793_000_000,
        "filename": stored.name,
        "purpose": "fine-tune",
        "sample_type": "instruct",
        "source": "upload",
        "num_lines": stored.content.count(b"\n") + 1,
    }


def _page(request: Request, found: list) -> list:
    page, size = int(request.query_params.get("page", 0)), int(request.query_params.get("page_size", 100))
    return found[page * size : (page + 1) * size]


def _route(method: str, path: str, act: Callable[[Request], Any]) -> Route:
    async def answer(request: Request) -> Response:
        if request.headers.get("authorization") != f"Bearer {KEY}":
            return JSONResponse({"detail": "Unauthorized"}, 401)
        try:
            return JSONResponse(await act(request))
        except RefusedError as refusal:
            told = {"object": "error", "message": refusal.message, "type": "invalid_request_error"}
            return JSONResponse(told, refusal.status)

    return Route(path, answer, methods=[method])
