"""What is kept of a job: its model, the last checkpoints, its figures. Each may be done again after a crash."""

from collections.abc import Callable, Iterable
from pathlib import Path

from gateway_tuning.local_service.store.events import Event
from gateway_tuning.local_service.store.files import PREFIX, RESULTS, FileStore, StoredFile
from gateway_tuning.local_service.store.jobs import Job
from gateway_tuning.local_service.store.models import ModelStore, checkpoint_name, model_name
from gateway_tuning.local_service.store.models import TunedModel as StoredModel
from gateway_tuning.local_service.store.whole_files import derived_id
from gateway_tuning.local_service.training import checkpoints, results
from gateway_tuning.training.job import TunedModel

KEPT = 2  # besides the model at the end: OpenAI keeps three


def keep_model(models: ModelStore, job: Job, result: TunedModel, *, now: float) -> str:
    name = model_name(job)
    models.add(StoredModel(name=name, job_id=job.id, created_at=now), result.files["adapter.gguf"])
    return name


def keep_results(files: FileStore, job: Job, events: Iterable[Event], *, now: float) -> StoredFile:
    content = results.encoded(results.result_csv(events))
    id_ = derived_id(PREFIX, job.id, "results")
    return files.add([content], filename="step_metrics.csv", purpose=RESULTS, now=now, id_=id_)


def of_job(models: ModelStore, job: Job) -> list[StoredModel]:
    """Its checkpoints in the order of their steps, the final model last."""
    found = [model for model in models.oldest_first() if model.job_id == job.id]
    return sorted(found, key=lambda model: (model.step is None, model.step))


def keep_checkpoint(
    models: ModelStore, job: Job, training: Path, step: int, base_config: Callable[[], Path], *, now: float
) -> None:
    """As a model that can be asked; the oldest beyond those kept goes."""
    kept = [model for model in of_job(models, job) if model.step is not None]
    if any((model.step or 0) >= step for model in kept):
        return
    name = checkpoint_name(job, step)
    adapter = training / "checkpoints" / f"step-{step:06d}.gguf"
    if not checkpoints.write_adapter(training, step, base_config(), adapter):
        return
    models.add(StoredModel(name=name, job_id=job.id, created_at=now, step=step), adapter)
    adapter.unlink()
    for old in [*kept][: len(kept) + 1 - KEPT]:
        models.drop(old.name)


def drop_models(models: ModelStore, job: Job) -> None:
    for model in of_job(models, job):
        models.drop(model.name)
