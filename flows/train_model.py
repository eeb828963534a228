"""Dataset to model version: declare the job, run it at the provider, register what it made."""

from prefect import flow

from gateway_tuning.cycles.cycle import StageResult
from gateway_tuning.cycles.plan import TrainingPlan
from tasks import training as jobs
from tasks.patience import FLOW_JOB_S
from tasks.runs import NOTED

_TRAINING = TrainingPlan()


@flow(name="train-model", flow_run_name="train {model} on {dataset_id}", timeout_seconds=FLOW_JOB_S, **NOTED)
def train_model(dataset_id: str, model: str = "assistant", training: TrainingPlan = _TRAINING) -> StageResult:
    """Tune a base model on a dataset. The same dataset and plan are trained once, however often this runs.

    Args:
        dataset_id: dataset to train on.
        model: name behind the gateway that the version belongs to.
        training: provider, base model and hyperparameters.
    """
    job = jobs.declare_job(dataset_id, training)
    return jobs.register_version(jobs.run_job(job, model), model)
