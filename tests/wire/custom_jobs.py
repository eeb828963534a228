"""A trainer behind the routes of docs/how-to/add-a-provider.md; what it calls training is counting its lines."""

import json
from dataclasses import dataclass, field
from hashlib import sha256

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.wire.jobs import STEPS, SUCCEEDED, ServerJob, ServerJobs

MODELS = {"our-base-7b"}
HYPERPARAMETERS = {"epochs", "learning_rate"}
ADAPTER = b"weights of a kind"


@dataclass(slots=True)
class CustomServer:
    jobs: ServerJobs = field(default_factory=ServerJobs)
    files: dict[str, list[bytes]] = field(default_factory=dict)

    def clear(self) -> None:
        self.jobs.clear()
        self.files.clear()

    @property
    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/jobs", self._list),
                Route("/jobs/{key}", self._get),
                Route("/jobs/{key}", self._put, methods=["PUT"]),
                Route("/jobs/{key}/cancel", self._cancel, methods=["POST"]),
                Route("/jobs/{key}/files", self._discard, methods=["DELETE"]),
                Route("/jobs/{key}/result", self._result),
                Route("/jobs/{key}/result/adapter.bin", self._adapter),
            ]
        )

    async def _put(self, request: Request) -> Response:
        key, form = request.path_params["key"], await request.form()
        asked = json.loads(form["job"])
        known = self.jobs.get(key)
        if known is not None:
            if known.asked["facts"] == asked["facts"]:
                return JSONResponse(_job(known))
            return _error(409, "another job has this key")
        self.files[key] = [await part.read() for name, part in form.multi_items() if name != "job"]
        if asked["base_model"] not in MODELS:
            return _refused(self.files, key, f"invalid model {asked['base_model']}")
        if unknown := asked["hyperparameters"].keys() - HYPERPARAMETERS:
            return _refused(self.files, key, f"unknown hyperparameters: {', '.join(sorted(unknown))}")
        return JSONResponse(_job(self.jobs.add(key, asked)), 201)

    async def _get(self, request: Request) -> Response:
        job = self.jobs.get(request.path_params["key"])
        if job is None:
            return _error(404, "no such job")
        job.look()
        return JSONResponse(_job(job))

    async def _list(self, request: Request) -> Response:
        return JSONResponse({"jobs": [_job(job) for job in self.jobs.newest_first()]})

    async def _cancel(self, request: Request) -> Response:
        job = self.jobs.get(request.path_params["key"])
        if job is None:
            return _error(404, "no such job")
        job.cancel()
        return JSONResponse(_job(job))

    async def _discard(self, request: Request) -> Response:
        key = request.path_params["key"]
        if self.files.pop(key, None) is None and self.jobs.get(key) is None:
            return _error(404, "no such job")
        return JSONResponse({})

    async def _result(self, request: Request) -> Response:
        job = self.jobs.get(request.path_params["key"])
        if job is None or job.state != SUCCEEDED:
            return _error(404, "no result")
        return JSONResponse(
            {
                "served_model": f"our-base-7b:{job.id}",
                "metrics": {"train_loss": 0.5, "tokens": 5_768, "steps": STEPS},
                "files": [{"name": "adapter.bin", "sha256": sha256(ADAPTER).hexdigest()}],
            }
        )

    async def _adapter(self, request: Request) -> Response:
        return Response(ADAPTER)


def _job(job: ServerJob) -> dict:
    return {
        "key": job.id,
        "status": job.calls_it or job.state,
        "progress": job.step / STEPS,
        "message": job.failure.get("message", "") if job.state == "failed" else f"step {job.step}",
        "metrics": {"train_loss": job.losses()[-1][1]} if job.step else {},
        "checkpoints": [{"step": step, "metrics": {"train_loss": loss}} for step, loss in job.losses()],
        "facts": job.asked["facts"],
    }


def _refused(files: dict, key: str, message: str) -> JSONResponse:
    del files[key]
    return _error(422, message)


def _error(status: int, message: str) -> JSONResponse:
    return JSONResponse({"error": {"message": message}}, status)
