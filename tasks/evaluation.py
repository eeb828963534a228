"""Let candidate and baseline answer the held-out prompts, and keep every answer."""

import io
import logging
from dataclasses import asdict
from hashlib import sha256

import pyarrow.parquet as pq
from prefect import task
from prefect.artifacts import create_markdown_artifact

from gateway_tuning.cycles.cycle import StageResult
from gateway_tuning.datasets.published import read_split
from gateway_tuning.datasets.splits import TEST
from gateway_tuning.errors import ErasedError
from gateway_tuning.evaluation.settings import EvaluationSettings
from gateway_tuning.evaluation.store import StoredEvaluation
from gateway_tuning.serving import open_endpoints
from gateway_tuning.storage import layout
from tasks.runtime import now, runtime

logger = logging.getLogger("gateway_tuning.evaluation")

PREDICTIONS, REPORT = "predictions.parquet", "report.html"


@task(name="evaluate model", retries=2, retry_delay_seconds=[5, 30])
def evaluate_model(
    candidate_id: str, baseline_id: str, dataset_id: str, settings: EvaluationSettings
) -> StageResult:
    """Compare two versions on the test split. The same comparison is made once and then found again."""
    from gateway_tuning.evaluation.evaluate import evaluate, predictions_table
    from gateway_tuning.evaluation.report import render_html, render_markdown

    rt = runtime()
    identity = _identity(candidate_id, baseline_id, dataset_id, settings)
    known = rt.evaluations.find(identity)
    if known is not None:
        return _stage_result(known)
    candidate, baseline = rt.registry.candidate(candidate_id), rt.registry.get(baseline_id)
    manifest = rt.datasets.manifest(dataset_id)
    examples = read_split(rt.objects, manifest, TEST)
    with open_endpoints(
        [candidate, baseline], registry=rt.registry, objects=rt.objects, settings=rt.settings
    ) as endpoints:
        evaluation = evaluate(examples, endpoints[candidate_id], endpoints[baseline_id], settings)
    table = io.BytesIO()
    pq.write_table(predictions_table(evaluation, dataset_id), table, compression="zstd")
    rt.objects.write(layout.evaluation_file(identity, PREDICTIONS), table.getvalue())
    html = render_html(evaluation.result, title=f"{candidate_id} against {baseline_id}")
    rt.objects.write(layout.evaluation_file(identity, REPORT), html.encode())
    create_markdown_artifact(render_markdown(evaluation.result), key="evaluation", description=identity)
    stored = StoredEvaluation(
        id=identity,
        tenant=manifest.tenant,
        model=candidate.model,
        candidate=candidate_id,
        baseline=baseline_id,
        dataset_id=dataset_id,
        result=asdict(evaluation.result),
        created_at=now(),
    )
    try:
        return _stage_result(rt.evaluations.add(stored))
    except ErasedError:
        for name in (REPORT, PREDICTIONS):
            rt.objects.delete(layout.evaluation_file(identity, name))
        raise


def _identity(candidate_id: str, baseline_id: str, dataset_id: str, settings: EvaluationSettings) -> str:
    parts = [candidate_id, baseline_id, dataset_id, settings.model_dump_json()]
    return "eval-" + sha256("\x1f".join(parts).encode()).hexdigest()[:16]


def _stage_result(stored: StoredEvaluation) -> StageResult:
    detail = {
        name: stored.result[name] for name in ("state", "candidate", "baseline", "similarity", "accuracy")
    }
    return StageResult(id=stored.id, detail=detail)
