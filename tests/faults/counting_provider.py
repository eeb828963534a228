"""A training service over HTTP that has no idempotency keys: every create makes a job, and all are counted.

Its state lives in the test's process, so that it outlives the processes that are killed. A job moves on by being
looked at.
"""

import json
import os
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from gateway_tuning.errors import NotFoundError, ProviderError, ProviderUnavailableError
from gateway_tuning.training.job import Checkpoint, JobStatus, ProviderJob, TunedModel
from gateway_tuning.training.provider import Capabilities, KnownJob


@dataclass
class Service:
    """`losses` are of the validation, one a look; without any a job succeeds at its third look."""

    losses: list = field(default_factory=list)
    jobs: dict = field(default_factory=dict)
    creates: int = 0
    cancels: int = 0

    @property
    def app(self):
        return Starlette(
            routes=[
                Route("/jobs", self.create, methods=["POST"]),
                Route("/jobs", self.all, methods=["GET"]),
                Route("/jobs/{id}", self.show, methods=["GET"]),
                Route("/jobs/{id}/cancel", self.cancel, methods=["POST"]),
            ]
        )

    def clear(self):
        self.jobs, self.creates, self.cancels = {}, 0, 0

    async def create(self, request: Request):
        self.creates += 1
        id_ = f"job-{self.creates}"
        self.jobs[id_] = {
            "id": id_,
            "status": "queued",
            "looks": 0,
            "checkpoints": [],
            **await request.json(),
        }
        return JSONResponse(self.jobs[id_])

    async def all(self, request: Request):
        del request
        return JSONResponse(list(self.jobs.values()))

    async def show(self, request: Request):
        job = self.jobs.get(request.path_params["id"])
        if job is None:
            return JSONResponse({}, status_code=404)
        if job["status"] in {"queued", "running"}:
            job["looks"] += 1
            job["status"] = "running" if self.losses or job["looks"] < 3 else "succeeded"
            seen = self.losses[: job["looks"]]
            job["checkpoints"] = [[step, loss] for step, loss in enumerate(seen, 1)]
        return JSONResponse(job)

    async def cancel(self, request: Request):
        job = self.jobs[request.path_params["id"]]
        self.cancels += 1
        if job["status"] in {"queued", "running"}:
            job["status"] = "cancelled"
        return JSONResponse(job)


@dataclass
class CountingProvider:
    """`effect` is called before every request and after its answer came."""

    url: str
    effect: Callable[[], None] = lambda: None
    stop_itself_at_look: int | None = None
    looks: int = 0

    @property
    def capabilities(self):
        return Capabilities({"supervised": "chat"}, None, 1)

    def submit(self, key, spec, files):
        del spec
        found = next((job for job in self._ask("GET", "/jobs") if job["key"] == key), None)
        return self._seen(
            found or self._ask("POST", "/jobs", {"key": key, "bytes": files.train.stat().st_size})
        )

    def poll(self, job_id):
        told = self._ask("GET", f"/jobs/{job_id}")
        self.looks += 1
        if self.looks == self.stop_itself_at_look:
            os.kill(os.getpid(), 19)  # SIGSTOP: with the answer in its hands and nothing of it recorded
        return self._seen(told)

    def cancel(self, job_id):
        self._ask("POST", f"/jobs/{job_id}/cancel")

    def collect(self, job_id):
        if self._ask("GET", f"/jobs/{job_id}")["status"] != "succeeded":
            raise ProviderError(f"Job {job_id} has no result")
        return TunedModel(served_model=f"served:{job_id}", metrics={"train_loss": 0.5})

    def discard(self, job_id):
        del job_id

    def known_jobs(self):
        return [KnownJob(job["key"], self._seen(job)) for job in reversed(self._ask("GET", "/jobs"))]

    def _ask(self, method, path, body=None):
        self.effect()
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, method=method)
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                told = json.loads(answer.read())
        except urllib.error.HTTPError as error:
            if error.code == 404:
                raise NotFoundError(path) from error
            raise ProviderUnavailableError(f"{error.code}") from error
        except (OSError, ValueError) as error:
            raise ProviderUnavailableError(str(error)) from error
        self.effect()
        return told

    def _seen(self, job):
        checkpoints = tuple(
            Checkpoint(step, {"validation_loss": loss}, f"served:{job['id']}:{step}")
            for step, loss in job["checkpoints"]
        )
        return ProviderJob(job["id"], JobStatus(job["status"]), None, job["status"], checkpoints=checkpoints)
