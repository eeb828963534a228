"""Carry an erasure to its certificate. Nothing here knows a user: the erasure's id is all."""

import logging

from prefect import task
from prefect.artifacts import create_markdown_artifact

from gateway_tuning.erasure.complete import complete, sweep
from gateway_tuning.erasure.places import Places
from gateway_tuning.erasure.store import Erasure, ErasureStore
from tasks.patience import BRIEF, STAGE
from tasks.runtime import now, runtime

logger = logging.getLogger("gateway_tuning.erasure")


@task(name="open erasures", **BRIEF)
def open_erasures() -> list[str]:
    return ErasureStore(runtime().engine).open()


@task(name="complete erasure", **STAGE)
def complete_erasure(erasure_id: str) -> str:
    """Returns the state: `completed`, or `incomplete` where something must be tried again later."""
    erasure = complete(_places(), erasure_id, now=now())
    create_markdown_artifact(_markdown(erasure), key="erasure", description=erasure.id)
    return erasure.state.value


@task(name="sweep after erasures", **STAGE)
def sweep_after_erasures() -> list[str]:
    """Remove what runs from before an erasure left behind later. Returns what could not be done."""
    left = sweep(_places(), now=now())
    for line in left:
        logger.warning("%s", line)
    return left


def _places() -> Places:
    rt = runtime()
    return Places.of(rt.settings, rt.engine, rt.objects)


def _markdown(erasure: Erasure) -> str:
    certificate = erasure.certificate or {}
    replaced: dict[str, str | None] = certificate.get("datasets", {})
    lines = [
        f"# Erasure `{erasure.id}`: {erasure.state}",
        f"Up to {erasure.erased_at:%Y-%m-%d %H:%M} UTC. {sum(erasure.counts.values())} rows removed at once.",
        "",
        "| dataset | replaced by |",
        "|---|---|",
        *(f"| {old} | {new or 'nothing'} |" for old, new in replaced.items()),
        "",
        *(f"- marked: {version}" for version in certificate.get("models_marked", [])),
        *(f"- not done: {line}" for line in certificate.get("not_done", [])),
    ]
    return "\n".join(lines)
