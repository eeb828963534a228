"""A server with the part of Together's REST API that tunes, written from its reference."""

import itertools
from dataclasses import dataclass, field

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.wire.jobs import QUEUED, STEPS, ServerJob, ServerJobs

MODELS = {"meta-llama/Meta-Llama-3.1-8B-Instruct-Reference"}
PRICE = 2_450_000_000  # nanodollars
STATUSES = {"succeeded": "completed", "failed": "error"}


@dataclass(slots=True)
class TogetherServer:
    jobs: ServerJobs = field(default_factory=ServerJobs)
    files: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    _numbers: itertools.count = field(default_factory=lambda: itertools.count(1))

    def clear(self) -> None:
        self.jobs.clear()
        self.files.clear()

    @property
    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/v1/files", self._list_files),
                Route("/v1/files/upload", self._upload, methods=["POST"]),
                Route("/v1/files/{id}", self._delete_file, methods=["DELETE"]),
                Route("/v1/fine-tunes", self._list_jobs),
                Route("/v1/fine-tunes", self._create, methods=["POST"]),
                Route("/v1/fine-tunes/{id}", self._retrieve),
                Route("/v1/fine-tunes/{id}/cancel", self._cancel, methods=["POST"]),
                Route("/v1/fine-tunes/{id}/checkpoints", self._checkpoints),
            ]
        )

    async def _upload(self, request: Request) -> Response:
        form = await request.form()
        if form["purpose"] != "fine-tune" or form["file_type"] != "jsonl":
            return _error(400, "unexpected purpose or type")
        id_ = f"file-{next(self._numbers)}"
        self.files[id_] = (form["file_name"], await form["file"].read())
        return JSONResponse(self._file(id_))

    async def _list_files(self, request: Request) -> Response:
        return JSONResponse({"data": [self._file(id_) for id_ in self.files]})

    async def _delete_file(self, request: Request) -> Response:
        id_ = request.path_params["id"]
        if self.files.pop(id_, None) is None:
            return _error(404, f"file {id_} not found")
        return JSONResponse({"id": id_, "deleted": True})

    async def _create(self, request: Request) -> Response:
        asked = await request.json()
        if asked["model"] not in MODELS:
            return _error(400, f"invalid model: {asked['model']} is not supported for fine-tuning")
        if len(asked["suffix"]) > 64 or asked["training_file"] not in self.files:
            return _error(400, "invalid request")
        return JSONResponse(_short(self.jobs.add(None, asked)))

    async def _list_jobs(self, request: Request) -> Response:
        return JSONResponse({"data": [_short(job) for job in self.jobs.newest_first()]})

    async def _retrieve(self, request: Request) -> Response:
        job = self.jobs.get(request.path_params["id"])
        if job is None:
            return _error(404, f"fine-tune {request.path_params['id']} not found")
        job.look()
        return JSONResponse(_short(job) | {"events": _events(job)})

    async def _cancel(self, request: Request) -> Response:
        job = self.jobs.get(request.path_params["id"])
        if job is None:
            return _error(404, "not found")
        return JSONResponse(_short(job)) if job.cancel() else _error(400, "job cannot be cancelled")

    async def _checkpoints(self, request: Request) -> Response:
        job = self.jobs.get(request.path_params["id"])
        if job is None:
            return _error(404, "not found")
        told = [
            {"checkpoint_type": "Intermediate", "created_at": "2026-11-01", "path": "s3://", "step": step}
            for step, _loss in job.losses()[1::2]
        ]
        return JSONResponse({"data": told})

    def _file(self, id_: str) -> dict:
        name, content = self.files[id_]
        return {"id": id_, "object": "file", "filename": name, "bytes": len(content), "purpose": "fine-tune"}


def _short(job: ServerJob) -> dict:
    status = job.calls_it or STATUSES.get(job.state, job.state)
    return {
        "id": job.id,
        "status": "pending" if job.state == QUEUED and job.looks == 0 and not job.calls_it else status,
        "created_at": f"2026-11-01T00:00:{job.number:02d}Z",
        "updated_at": "2026-11-01T00:00:00Z",
        "model": job.asked["model"],
        "model_output_name": f"acme/{job.asked['model'].split('/')[1]}-{job.asked['suffix']}-{job.number:08x}",
        "suffix": job.asked["suffix"],
        "training_file": job.asked["training_file"],
        "validation_file": job.asked.get("validation_file", ""),
        "token_count": 5_768 if job.state == "succeeded" else None,
        "total_price": PRICE if job.state == "succeeded" else 0,
    }


def _events(job: ServerJob) -> list[dict]:
    told = [{"object": "fine-tune-event", "type": "job_pending", "message": "Fine tune request created"}]
    told += [
        {"type": "training_step", "message": f"step {step}", "step": step, "total_steps": STEPS}
        for step, _loss in job.losses()
    ]
    if job.state == "failed":
        told.append({"type": "job_error", "message": job.failure.get("message", "")})
    return told


def _error(status: int, message: str) -> JSONResponse:
    return JSONResponse({"error": {"message": message, "type": "invalid_request_error"}}, status)
