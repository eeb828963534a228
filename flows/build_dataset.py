"""Feedback to training data: anonymize, turn into examples, split without leaks, publish."""

from prefect import flow

from gateway_tuning.cycles.cycle import StageResult
from gateway_tuning.datasets.recipe import DatasetRecipe
from tasks import datasets, feedback
from tasks.patience import FLOW_STAGE_S
from tasks.runs import NOTED

_RECIPE = DatasetRecipe()


@flow(name="build-dataset", flow_run_name="dataset of {tenant}", timeout_seconds=FLOW_STAGE_S, **NOTED)
def build_dataset(
    tenant: str = "default", recipe: DatasetRecipe = _RECIPE, watermark: int | None = None
) -> StageResult:
    """Build a dataset from all usable feedback.

    Args:
        tenant: whose feedback is used.
        recipe: what to take and how to split.
        watermark: use feedback up to this sequence; all there is when empty.
    """
    return datasets.build_dataset(tenant, recipe, feedback.pin_watermark(tenant, watermark))
