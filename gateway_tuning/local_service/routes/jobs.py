"""`/v1/fine_tuning/jobs`."""

import re
import secrets
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request

from gateway_tuning.errors import NotFoundError
from gateway_tuning.local_service.pages import page
from gateway_tuning.local_service.problems import RefusedError
from gateway_tuning.local_service.routes.job_request import JobRequest
from gateway_tuning.local_service.routes.models import BASE
from gateway_tuning.local_service.service import Service, Serving, now
from gateway_tuning.local_service.store.events import Event
from gateway_tuning.local_service.store.files import TRAINING
from gateway_tuning.local_service.store.jobs import PREFIX, Job
from gateway_tuning.local_service.store.models import TunedModel
from gateway_tuning.local_service.store.whole_files import derived_id, new_id
from gateway_tuning.local_service.training.ending import of_job

router = APIRouter(prefix="/v1/fine_tuning/jobs")
Limit = Annotated[int, Query(ge=1, le=1000)]


@router.post("")
def create(service: Serving, asked: JobRequest) -> dict[str, Any]:
    if asked.model.lower() != BASE:
        raise RefusedError(
            400,
            f"Model {asked.model[:100]} is not available for fine-tuning or does not exist; this service tunes {BASE}",
            param="model",
            code="model_not_available",
        )
    methods = sorted(service.provider.capabilities.exports.keys() & {"supervised", "dpo"})
    if asked.method.type not in methods:
        told = f"method.type: this service has {' and '.join(methods)}, not {asked.method.type}"
        raise RefusedError(400, told, param="method.type", code="unsupported_method")
    _check_file(service, "training_file", asked.training_file)
    if asked.validation_file is not None:
        _check_file(service, "validation_file", asked.validation_file)
    job = Job(
        id=new_id(PREFIX),
        created_at=now(),
        model=BASE,
        method=asked.method.type,
        hyperparameters=asked.chosen(),
        seed=secrets.randbelow(2**31) if asked.seed is None else asked.seed,
        training_file=asked.training_file,
        validation_file=asked.validation_file,
        suffix=asked.suffix,
        metadata=asked.metadata,
    )
    service.jobs.add(job)
    service.runner.tell(job.id, "created", f"Created fine-tuning job: {job.id}")
    service.runner.wake()
    return job.wire()


@router.get("")
def list_jobs(
    service: Serving, request: Request, after: str | None = None, limit: Limit = 20
) -> dict[str, Any]:
    wanted = _metadata_filter(request)
    jobs = [job for job in service.jobs.newest_first() if wanted is None or _fits(job, wanted)]
    return page([job.wire() for job in jobs], after=after, limit=limit)


@router.get("/{job_id}")
def retrieve(service: Serving, job_id: str) -> dict[str, Any]:
    return service.jobs.get(job_id).wire()


@router.post("/{job_id}/cancel")
def cancel(service: Serving, job_id: str) -> dict[str, Any]:
    job = service.jobs.get(job_id)
    if not service.runner.cancel(job_id):
        status = service.jobs.get(job_id).status
        raise RefusedError(400, f"Job has already ended: {job.id} is {status}", code="job_ended")
    return service.jobs.get(job_id).wire()


@router.get("/{job_id}/events")
def list_events(service: Serving, job_id: str, after: str | None = None, limit: Limit = 20) -> dict[str, Any]:
    events = service.events.of(service.jobs.get(job_id).id)
    return page([event.wire(job_id) for event in reversed(events)], after=after, limit=limit)


@router.get("/{job_id}/checkpoints")
def list_checkpoints(
    service: Serving, job_id: str, after: str | None = None, limit: Limit = 10
) -> dict[str, Any]:
    job = service.jobs.get(job_id)
    steps = {int(event.data["step"]): event for event in service.events.of(job.id) if event.data}
    found = [_checkpoint(job, model, steps) for model in reversed(of_job(service.models, job)) if steps]
    return page(found, after=after, limit=limit)


def _checkpoint(job: Job, model: TunedModel, steps: dict[int, Event]) -> dict[str, Any]:
    """With the figures of its step."""
    step = _final_step(steps) if model.step is None else model.step
    data = steps[step].data if step in steps else {}
    return {
        "object": "fine_tuning.job.checkpoint",
        "id": derived_id("ftckpt_", model.name),
        "created_at": int(model.created_at),
        "fine_tuned_model_checkpoint": model.name,
        "fine_tuning_job_id": job.id,
        "metrics": {name: data[name] for name in ("step", "train_loss", "valid_loss") if name in data},
        "step_number": step,
    }


def _final_step(steps: dict[int, Event]) -> int:
    """That whose adapter the job ends with: the first with the lowest validation loss, or the last without one."""
    looked_at = {
        step: event.data["valid_loss"] for step, event in steps.items() if "valid_loss" in event.data
    }
    return min(sorted(looked_at), key=looked_at.__getitem__) if looked_at else max(steps)


def _check_file(service: Service, param: str, file_id: str) -> None:
    try:
        file = service.files.get(file_id)
    except NotFoundError:
        raise RefusedError(
            400,
            f"{param}: there is no file {file_id[:64]}; upload it first",
            param=param,
            code="file_not_found",
        ) from None
    if file.purpose != TRAINING:
        raise RefusedError(
            400,
            f"{param}: {file.id} has the purpose {file.purpose!r}, not {TRAINING!r}",
            param=param,
            code="invalid_file_purpose",
        )


def _metadata_filter(request: Request) -> dict[str, str] | None:
    """`metadata[k]=v`, any number of them; `metadata=null` asks for jobs without metadata, here the empty filter."""
    query = request.query_params
    if query.get("metadata") == "null":
        return {}
    found = {
        match[1]: value
        for name, value in query.multi_items()
        if (match := re.fullmatch(r"metadata\[(.+)\]", name))
    }
    return found or None


def _fits(job: Job, wanted: dict[str, str]) -> bool:
    if not wanted:
        return not job.metadata
    return wanted.items() <= (job.metadata or {}).items()
