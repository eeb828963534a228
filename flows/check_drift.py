"""Has what users ask changed since the stable model was trained?"""

from prefect import flow

from gateway_tuning.cycles.cycle import StageResult
from gateway_tuning.drift.live.policy import LiveDriftPolicy
from gateway_tuning.drift.settings import DriftSettings
from tasks import drift, live_drift
from tasks.patience import FLOW_STAGE_S
from tasks.runs import NOTED

_SETTINGS = DriftSettings()


@flow(name="check-drift", flow_run_name="drift of {dataset_id}", timeout_seconds=FLOW_STAGE_S, **NOTED)
def check_drift(
    dataset_id: str, stable: str, settings: DriftSettings = _SETTINGS, policy: LiveDriftPolicy | None = None
) -> StageResult:
    """Compare a dataset with the one that the stable version was trained on.

    Args:
        dataset_id: current window.
        stable: model version id whose dataset is the reference window.
        settings: what counts as drift.
        policy: what follows drift; nothing when left out, as in a cycle, whose gate decides. Its windows are those
            of watch-drift and mean nothing here.
    """
    report = drift.check_dataset_drift(dataset_id, stable, settings)
    if policy is None:
        return report
    followed = live_drift.act_on_drift(report.id, policy)
    return report.model_copy(update={"detail": report.detail | {"followed": followed}})
