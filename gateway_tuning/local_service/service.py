"""Everything that the routes share."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from fastapi import Depends, Request

from gateway_tuning.local_service.store.events import EventLog
from gateway_tuning.local_service.store.files import FileStore
from gateway_tuning.local_service.store.jobs import JobStore
from gateway_tuning.local_service.store.models import ModelStore
from gateway_tuning.local_service.training.running import Runner
from gateway_tuning.training.provider import Provider

if TYPE_CHECKING:
    from gateway_tuning.local_service.servers import ModelServers


@dataclass(frozen=True, slots=True)
class Service:
    files: FileStore
    jobs: JobStore
    events: EventLog
    models: ModelStore
    runner: Runner
    servers: "ModelServers"
    provider: Provider


def now() -> float:
    """Seconds since 1970."""
    return time.time()


def open_service(folder: Path, cache_dir: Path, *, parallel: int = 1) -> Service:
    """On all that an earlier one left in `folder`; `parallel` jobs train at a time. Nothing runs yet."""
    from gateway_tuning.local_service.servers import ModelServers
    from gateway_tuning.training.providers.llama import LlamaProvider

    files, models = FileStore(folder / "files"), ModelStore(folder / "models")
    jobs, events = JobStore(folder / "jobs"), EventLog(folder / "jobs")
    files.sweep()
    models.sweep()
    provider = LlamaProvider(jobs_dir=folder / "training", cache_dir=cache_dir)
    runner = Runner(
        files=files,
        jobs=jobs,
        events=events,
        models=models,
        provider=provider,
        training_dir=provider.jobs_dir,
        base_config=lambda: converted_config(cache_dir),
        parallel=parallel,
        now=now,
    )
    servers = ModelServers(folder / "logs")
    return Service(files, jobs, events, models, runner, servers, provider)


def converted_config(cache_dir: Path) -> Path:
    """The base model's `config.json`, made where it is not there yet."""
    from gateway_tuning.training.local.model.weights import converted_weights

    return converted_weights(cache_dir) / "config.json"


def _service_of(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


Serving = Annotated[Service, Depends(_service_of)]
