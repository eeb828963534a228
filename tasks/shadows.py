"""Reports of shadows."""

from prefect import task
from prefect.artifacts import create_markdown_artifact

from gateway_tuning.rollout.shadows.report import report
from gateway_tuning.rollout.shadows.store import ShadowStore
from gateway_tuning.rollout.shadows.telling import markdown
from tasks.patience import BRIEF
from tasks.runtime import now, runtime


@task(name="report shadow", **BRIEF)
def report_shadow(shadow_id: str) -> str:
    """The outcome. A shadow whose time is over is ended first. Raises NotFoundError."""
    store = ShadowStore(runtime().engine)
    store.running(now())
    found = report(store.get(shadow_id), store.pairs(shadow_id))
    create_markdown_artifact(markdown(found), key="shadow", description=shadow_id)
    return found.outcome.value
