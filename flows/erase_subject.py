"""Take an erased person out of everything that was made of their feedback. Also every hour, for what was left open."""

from prefect import flow

from tasks import erasure
from tasks.patience import FLOW_STAGE_S


@flow(name="erase-subject", timeout_seconds=FLOW_STAGE_S)
def erase_subject(erasure_id: str | None = None) -> dict[str, str]:
    """Erasure id to its state.

    Args:
        erasure_id: the erasure to complete; when empty all open ones, and what killed runs left behind.
    """
    if erasure_id is not None:
        return {erasure_id: erasure.complete_erasure(erasure_id)}
    states = {id_: erasure.complete_erasure(id_) for id_ in erasure.open_erasures()}
    erasure.sweep_after_erasures()
    return states
