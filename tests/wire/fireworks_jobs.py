"""A server with the part of Fireworks' REST API that tunes, written from its reference."""

from dataclasses import dataclass, field

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.wire.jobs import STEPS, ServerJob, ServerJobs

MODELS = {"accounts/fireworks/models/llama-v3p1-8b-instruct"}
ACCOUNT = "/v1/accounts/acme/"
STATES = {
    "queued": "JOB_STATE_PENDING",
    "running": "JOB_STATE_RUNNING",
    "succeeded": "JOB_STATE_COMPLETED",
    "failed": "JOB_STATE_FAILED",
    "cancelled": "JOB_STATE_CANCELLED",
}
KINDS = {"supervisedFineTuningJobs": "supervisedFineTuningJobId", "dpoJobs": "dpoJobId"}


@dataclass(slots=True)
class FireworksServer:
    """`datasets` has their content, None before it was uploaded. `checks`: looks before an upload is ready."""

    jobs: ServerJobs = field(default_factory=ServerJobs)
    datasets: dict[str, bytes | None] = field(default_factory=dict)
    checks: int = 0
    page: int = 2

    def clear(self) -> None:
        self.jobs.clear()
        self.datasets.clear()
        self.checks = 0

    @property
    def app(self) -> Starlette:
        job = ACCOUNT + "{kind:str}/{id:str}"
        return Starlette(
            routes=[
                Route(ACCOUNT + "datasets", self._list_datasets),
                Route(ACCOUNT + "datasets", self._create_dataset, methods=["POST"]),
                Route(ACCOUNT + "datasets/{id:str}", self._dataset),
                Route(ACCOUNT + "datasets/{id:str}", self._delete_dataset, methods=["DELETE"]),
                Route(ACCOUNT + "datasets/{verb:str}", self._upload, methods=["POST"]),
                Route(ACCOUNT + "{kind:str}", self._list_jobs),
                Route(ACCOUNT + "{kind:str}", self._create, methods=["POST"]),
                Route(job, self._retrieve),
                Route(job, self._cancel, methods=["POST"]),
            ]
        )

    async def _create_dataset(self, request: Request) -> Response:
        id_ = (await request.json())["datasetId"]
        if id_ in self.datasets:
            return _error(409, "ALREADY_EXISTS", f"dataset {id_} already exists")
        self.datasets[id_] = None
        return JSONResponse(self._told(id_))

    async def _list_datasets(self, request: Request) -> Response:
        return self._paged(request, "datasets", [self._told(id_) for id_ in sorted(self.datasets)])

    async def _dataset(self, request: Request) -> Response:
        id_ = request.path_params["id"]
        if id_ not in self.datasets:
            return _error(404, "NOT_FOUND", f"dataset {id_} not found")
        return JSONResponse(self._told(id_))

    async def _delete_dataset(self, request: Request) -> Response:
        if request.path_params["id"] not in self.datasets:
            return _error(404, "NOT_FOUND", "dataset not found")
        del self.datasets[request.path_params["id"]]
        return JSONResponse({})

    async def _upload(self, request: Request) -> Response:
        id_ = request.path_params["verb"].removesuffix(":upload")
        if id_ not in self.datasets:
            return _error(404, "NOT_FOUND", "dataset not found")
        form = await request.form()
        self.datasets[id_] = await form["file"].read()
        return JSONResponse({"id": id_, "object": "file"})

    async def _create(self, request: Request) -> Response:
        kind, asked = request.path_params["kind"], await request.json()
        id_ = request.query_params[KINDS[kind]]
        if self.jobs.get(f"{kind}/{id_}") is not None:
            return _error(409, "ALREADY_EXISTS", f"job {id_} already exists")
        model = asked.get("trainingConfig", asked)["baseModel"]
        if model not in MODELS:
            return _error(400, "INVALID_ARGUMENT", f"invalid model {model}: it does not exist")
        wanted = [asked["dataset"], *([asked["evaluationDataset"]] if "evaluationDataset" in asked else [])]
        if any(self.datasets.get(name.rpartition("/")[2]) is None for name in wanted):
            return _error(400, "FAILED_PRECONDITION", "dataset is not ready")
        return JSONResponse(_job(self.jobs.add(f"{kind}/{id_}", asked)))

    async def _list_jobs(self, request: Request) -> Response:
        kind = request.path_params["kind"]
        jobs = [_job(job) for job in self.jobs.newest_first() if job.id.startswith(kind)]
        return self._paged(request, kind, jobs)

    async def _retrieve(self, request: Request) -> Response:
        job = self.jobs.get("{kind}/{id}".format(**request.path_params))
        if job is None:
            return _error(404, "NOT_FOUND", "job not found")
        job.look()
        return JSONResponse(_job(job))

    async def _cancel(self, request: Request) -> Response:
        id_, _colon, verb = "{kind}/{id}".format(**request.path_params).partition(":")
        job = self.jobs.get(id_)
        if job is None or verb != "cancel":
            return _error(404, "NOT_FOUND", "job not found")
        return JSONResponse({}) if job.cancel() else _error(400, "FAILED_PRECONDITION", "job has ended")

    def _told(self, id_: str) -> dict:
        state = "UPLOADING" if self.datasets[id_] is None else "READY"
        if state == "READY" and self.checks > 0:
            self.checks -= 1
            state = "UPLOADING"
        return {"name": f"accounts/acme/datasets/{id_}", "state": state}

    def _paged(self, request: Request, name: str, rows: list[dict]) -> Response:
        """Pages are short here, so that a client that reads one alone is found out."""
        start = int(request.query_params.get("pageToken", 0))
        end = start + self.page
        return JSONResponse(
            {
                name: rows[start:end],
                "nextPageToken": str(end) if end < len(rows) else "",
                "totalSize": len(rows),
            }
        )


def _job(job: ServerJob) -> dict:
    told = {name: job.asked.get(name) for name in ("dataset", "displayName")}
    percent = {} if "dpoJobs" in job.id else {"jobProgress": {"percent": int(100 * job.step / STEPS)}}
    held_out = job.asked.get("evaluationDataset")
    return {
        **told,
        **percent,
        **({} if held_out is None else {"evaluationDataset": held_out}),
        "name": f"accounts/acme/{job.id}",
        "createTime": f"2026-11-01T00:00:{job.number:02d}Z",
        "state": job.calls_it or STATES[job.state],
        "status": {"code": "OK" if job.state != "failed" else "INTERNAL", **job.failure},
        "outputModel": f"accounts/acme/models/{job.id.rpartition('/')[2]}"
        if job.state == "succeeded"
        else "",
    }


def _error(code: int, status: str, message: str) -> JSONResponse:
    return JSONResponse({"error": {"code": code, "message": message, "status": status}}, code)
