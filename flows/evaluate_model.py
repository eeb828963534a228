"""Candidate against stable version on prompts that neither was trained on."""

from prefect import flow

from gateway_tuning.cycles.cycle import StageResult
from gateway_tuning.evaluation.settings import EvaluationSettings
from tasks import evaluation
from tasks.patience import FLOW_STAGE_S
from tasks.runs import NOTED

_SETTINGS = EvaluationSettings()


@flow(
    name="evaluate-model",
    flow_run_name="evaluate {candidate} against {baseline}",
    timeout_seconds=FLOW_STAGE_S,
    **NOTED,
)
def evaluate_model(
    candidate: str, baseline: str, dataset_id: str, settings: EvaluationSettings = _SETTINGS
) -> StageResult:
    """Ask two model versions the test split's prompts and compare their answers. A killed run is continued by the next.

    Args:
        candidate: model version id.
        baseline: model version id of the stable version.
        dataset_id: dataset whose test split is asked.
        settings: how many, how long, by what, how sure.
    """
    return evaluation.evaluate_model(candidate, baseline, dataset_id, settings)
