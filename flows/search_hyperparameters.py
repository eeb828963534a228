"""Hyperparameters for a dataset, under a budget. The defaults are trial 0, and the result says whether they are beaten."""

from prefect import flow
from prefect.task_runners import ThreadPoolTaskRunner

from gateway_tuning.cycles.cycle import StageResult
from gateway_tuning.training.search.plan import SearchPlan
from tasks import search
from tasks.patience import FLOW_JOB_S
from tasks.runs import NOTED


@flow(
    name="search-hyperparameters",
    flow_run_name="search on {dataset_id}",
    task_runner=ThreadPoolTaskRunner(max_workers=64),  # type: ignore[arg-type] # as Prefect documents it
    timeout_seconds=FLOW_JOB_S,
    **NOTED,
)
def search_hyperparameters(dataset_id: str, plan: SearchPlan) -> StageResult:
    """Train trials until a budget is used up. A run that was killed is continued by the next with the same arguments.

    Args:
        dataset_id: dataset to train on and, by its validation split, to compare on.
        plan: space, sampler, objective, budget. The result's `training` is the plan to train by.
    """
    search_id = search.open_search(dataset_id, plan)
    search.conduct_search(search_id)
    return search.show_search(search_id)
