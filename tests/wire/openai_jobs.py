"""A server with OpenAI's fine-tuning API, written from its reference: files, jobs, events, checkpoints, result files."""

import base64
import itertools
from dataclasses import dataclass, field

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.wire.jobs import CANCELLED, FAILED, QUEUED, STEPS, SUCCEEDED, ServerJob, ServerJobs

MODELS = {"gpt-4o-mini-2024-07-18"}
KEY = "sk-test"


@dataclass(slots=True)
class OpenAIServer:
    """`files` has name and content by id. `as_base64`: result files come packed, as some accounts get them."""

    jobs: ServerJobs = field(default_factory=ServerJobs)
    files: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    as_base64: bool = False
    ignores_filter: bool = False
    knows_events: bool = True
    _numbers: itertools.count = field(default_factory=lambda: itertools.count(1))

    def clear(self) -> None:
        self.jobs.clear()
        self.files.clear()
        self.as_base64 = self.ignores_filter = False
        self.knows_events = True

    @property
    def app(self) -> Starlette:
        jobs = "/v1/fine_tuning/jobs"
        return Starlette(
            routes=[
                Route("/v1/files", self._list_files),
                Route("/v1/files", self._upload, methods=["POST"]),
                Route("/v1/files/{id}", self._delete_file, methods=["DELETE"]),
                Route("/v1/files/{id}/content", self._content),
                Route(jobs, self._list_jobs),
                Route(jobs, self._create, methods=["POST"]),
                Route(jobs + "/{id}", self._retrieve),
                Route(jobs + "/{id}/cancel", self._cancel, methods=["POST"]),
                Route(jobs + "/{id}/events", self._events),
                Route(jobs + "/{id}/checkpoints", self._checkpoints),
            ]
        )

    async def _upload(self, request: Request) -> Response:
        form = await request.form()
        id_ = f"file-{next(self._numbers)}"
        self.files[id_] = (form["file"].filename, await form["file"].read())
        return JSONResponse(self._file(id_, form["purpose"]))

    async def _list_files(self, request: Request) -> Response:
        return JSONResponse(_page([self._file(id_, "fine-tune") for id_ in self.files]))

    async def _delete_file(self, request: Request) -> Response:
        id_ = request.path_params["id"]
        if self.files.pop(id_, None) is None:
            return _error(404, f"No such File object: {id_}")
        return JSONResponse({"id": id_, "object": "file", "deleted": True})

    async def _content(self, request: Request) -> Response:
        job = self.jobs.get(request.path_params["id"].removeprefix("file-result-"))
        if job is None:
            return _error(404, "No such File object")
        rows = ["step,train_loss,train_accuracy,valid_loss,valid_mean_token_accuracy"]
        rows += [f"{step},{loss},0.5,{loss + 0.5 if step == STEPS else ''}," for step, loss in job.losses()]
        text = ("\n".join(rows) + "\n").encode()
        return Response(base64.b64encode(text) if self.as_base64 else text)

    async def _create(self, request: Request) -> Response:
        asked = await request.json()
        if asked["model"] not in MODELS:
            return _error(
                400,
                f"Model {asked['model']} is not available for fine-tuning or does not exist.",
                "model_not_available",
            )
        if asked["training_file"] not in self.files:
            return _error(400, f"Invalid file: {asked['training_file']}", "invalid_file")
        return JSONResponse(_job(self.jobs.add(None, asked)))

    async def _list_jobs(self, request: Request) -> Response:
        wanted = {
            name.removeprefix("metadata[").removesuffix("]"): value
            for name, value in request.query_params.items()
            if name.startswith("metadata[") and not self.ignores_filter
        }
        after, limit = request.query_params.get("after"), int(request.query_params.get("limit", 20))
        found = [
            job
            for job in self.jobs.newest_first()
            if wanted.items() <= (job.asked.get("metadata") or {}).items()
        ]
        if after is not None:
            found = found[[job.id for job in found].index(after) + 1 :]
        return JSONResponse(_page([_job(job) for job in found[:limit]], has_more=len(found) > limit))

    async def _retrieve(self, request: Request) -> Response:
        job = self.jobs.get(request.path_params["id"])
        if job is None:
            return _error(
                404, f"Could not find fine tune: {request.path_params['id']}", "fine_tune_not_found"
            )
        job.look()
        return JSONResponse(_job(job))

    async def _cancel(self, request: Request) -> Response:
        job = self.jobs.get(request.path_params["id"])
        if job is None:
            return _error(404, "Could not find fine tune", "fine_tune_not_found")
        if not job.cancel():
            return _error(400, f"Job has already completed: {job.state}")
        return JSONResponse(_job(job))

    async def _events(self, request: Request) -> Response:
        job = self.jobs.get(request.path_params["id"])
        if job is None or not self.knows_events:
            return _error(404, "Not found")
        told = [_event(job, 0, f"Created fine-tuning job: {job.id}", None)]
        told += [
            _event(job, step, f"Step {step}/{STEPS}: training loss={loss:.2f}", loss)
            for step, loss in job.losses()
        ]
        if job.state == SUCCEEDED:
            told.append(_event(job, STEPS + 1, "The job has successfully completed", None))
        return JSONResponse(_page(told[::-1]))

    async def _checkpoints(self, request: Request) -> Response:
        job = self.jobs.get(request.path_params["id"])
        if job is None or not self.knows_events:
            return _error(404, "Not found")
        return JSONResponse(_page([_checkpoint(job, step, loss) for step, loss in job.losses()[::-2]]))

    def _file(self, id_: str, purpose: str) -> dict:
        name, content = self.files[id_]
        return {
            "id": id_,
            "object": "file",
            "bytes": len(content),
            "created_at": 1_760_000_000,
            "filename": name,
            "purpose": purpose,
            "status": "processed",
        }


def _job(job: ServerJob) -> dict:
    status = job.calls_it or ("validating_files" if job.state == QUEUED and job.looks == 0 else job.state)
    done = job.state == SUCCEEDED
    return {
        "id": job.id,
        "object": "fine_tuning.job",
        "created_at": 1_760_000_000 + job.number,
        "status": status,
        "error": job.failure if job.state == FAILED else {},
        "fine_tuned_model": f"ft:{job.asked['model']}:acme::{job.id}" if done else None,
        "finished_at": 1_760_001_000 if job.state in {SUCCEEDED, FAILED, CANCELLED} else None,
        "hyperparameters": {"n_epochs": "auto"},
        "metadata": job.asked.get("metadata"),
        "method": job.asked.get("method"),
        "model": job.asked["model"],
        "organization_id": "org-1",
        "result_files": [f"file-result-{job.id}"] if done else [],
        "seed": job.asked.get("seed", 0),
        "trained_tokens": 5_768 if done else None,
        "training_file": job.asked["training_file"],
        "validation_file": job.asked.get("validation_file"),
    }


def _event(job: ServerJob, second: int, message: str, loss: float | None) -> dict:
    return {
        "id": f"ftevent-{job.number}-{second}",
        "object": "fine_tuning.job.event",
        "created_at": 1_760_000_000 + second,
        "level": "info",
        "message": message,
        "type": "message" if loss is None else "metrics",
        "data": {} if loss is None else {"step": second, "total_steps": STEPS, "train_loss": loss},
    }


def _checkpoint(job: ServerJob, step: int, loss: float) -> dict:
    return {
        "id": f"ftckpt-{job.number}-{step}",
        "object": "fine_tuning.job.checkpoint",
        "created_at": 1_760_000_000 + step,
        "fine_tuned_model_checkpoint": f"ft:{job.asked['model']}:acme::{job.id}:ckpt-step-{step}",
        "fine_tuning_job_id": job.id,
        "metrics": {"step": step, "train_loss": loss, "valid_loss": loss + 1, "full_valid_loss": loss + 0.5},
        "step_number": step,
    }


def _page(data: list, *, has_more: bool = False) -> dict:
    ends = {"first_id": data[0]["id"], "last_id": data[-1]["id"]} if data else {}
    return {"object": "list", "data": data, "has_more": has_more, **ends}


def _error(status: int, message: str, code: str | None = None) -> JSONResponse:
    error = {"message": message, "type": "invalid_request_error", "param": None, "code": code}
    return JSONResponse({"error": error}, status)
