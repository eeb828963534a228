"""The page and the figures of a whole cycle."""

import json
import logging
from pathlib import Path
from typing import Any

from prefect import task
from prefect.artifacts import create_markdown_artifact

from gateway_tuning.cycles.cycle import StageResult
from gateway_tuning.cycles.report import render_html, verdict
from gateway_tuning.cycles.summary import summarize
from gateway_tuning.evaluation.result import read_result
from tasks.patience import BRIEF
from tasks.runtime import runtime

logger = logging.getLogger("gateway_tuning.report")


@task(name="report cycle", **BRIEF)
def report_cycle(
    cycle_id: str,
    folder: Path,
    *,
    title: str = "Tuning cycle",
    feedback: StageResult | None = None,
    import_seconds: float | None = None,
) -> dict[str, Any]:
    """Write `summary.json` and `report.html` into the folder and return the summary."""
    rt = runtime()
    stages = rt.cycles.stages(cycle_id)
    ids = {name: stage.result.id for name, stage in stages.items()}
    evaluation = read_result(rt.evaluations.get(ids["evaluate"]).result) if "evaluate" in ids else None
    summary = summarize(
        rt.cycles.get(cycle_id),
        stages,
        feedback=feedback,
        manifest=rt.datasets.manifest(ids["dataset"]) if "dataset" in ids else None,
        candidate=rt.registry.get(ids["train"]) if "train" in ids else None,
        evaluation=evaluation,
        canary=rt.canaries.get(ids["canary"]) if "canary" in ids else None,
        looks=rt.canaries.looks(ids["canary"]) if "canary" in ids else (),
        import_seconds=import_seconds,
    )
    folder.mkdir(parents=True, exist_ok=True)
    _replace(folder / "summary.json", json.dumps(summary, indent=2) + "\n")
    _replace(folder / "report.html", render_html(summary, title=title, evaluation=evaluation))
    create_markdown_artifact(f"# {verdict(summary)}", key="cycle", description=cycle_id)
    return summary


def _replace(path: Path, text: str) -> None:
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)
