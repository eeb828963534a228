"""What one cycle did, from the records it left. Pure: the same records give the same summary."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from gateway_tuning.cycles.cycle import Cycle, Stage, StageResult
from gateway_tuning.datasets.manifest import Manifest
from gateway_tuning.datasets.splits import SPLITS
from gateway_tuning.evaluation.result import EvaluationResult, SystemSummary
from gateway_tuning.evaluation.scored import Role
from gateway_tuning.registry.model_version import ModelVersion
from gateway_tuning.rollout.canary import Canary, Look


def summarize(
    cycle: Cycle,
    stages: Mapping[str, Stage],
    *,
    feedback: StageResult | None = None,
    manifest: Manifest | None = None,
    candidate: ModelVersion | None = None,
    evaluation: EvaluationResult | None = None,
    canary: Canary | None = None,
    looks: Sequence[Look] = (),
    import_seconds: float | None = None,
) -> dict[str, Any]:
    """JSON-able. A part that the cycle did not reach is None; `seconds` is by stage, in order."""
    return {
        "cycle": cycle.id,
        "model": cycle.model,
        "status": cycle.status.value,
        "outcome": cycle.outcome.value if cycle.outcome else None,
        "reasons": list(cycle.reasons),
        "feedback": _feedback(feedback),
        "dataset": _dataset(manifest),
        "training": _training(candidate),
        "evaluation": _evaluation(stages.get("evaluate"), evaluation),
        "drift": _drift(stages.get("drift")),
        "gate": _gate(stages.get("gate")),
        "canary": _canary(canary, looks),
        "seconds": _seconds(stages, canary, import_seconds),
    }


def _seconds(
    stages: Mapping[str, Stage], canary: Canary | None, import_seconds: float | None
) -> dict[str, float]:
    """Wall time by stage, in order. A canary lasts from its start to its end, pauses included."""
    seconds = {} if import_seconds is None else {"import": import_seconds}
    seconds |= {name: stage.seconds for name, stage in stages.items()}
    if canary is not None and canary.finished_at is not None:
        seconds["canary"] = (canary.finished_at - canary.started_at).total_seconds()
    return {name: round(value, 1) for name, value in seconds.items()}


def _feedback(result: StageResult | None) -> dict[str, Any] | None:
    if result is None:
        return None
    expectations = result.detail["expectations"]
    figures = (
        "read",
        "records",
        "imported",
        "replaced",
        "duplicates",
        "quarantined",
        "quarantined_by_reason",
    )
    return {name: result.detail[name] for name in figures} | {
        "expectations_met": None if expectations is None else expectations["success"]
    }


def _dataset(manifest: Manifest | None) -> dict[str, Any] | None:
    if manifest is None:
        return None
    counts = manifest.counts.model_dump()
    by_split = {split: counts["examples"][split] for split in SPLITS}
    return {"id": manifest.dataset_id} | counts | {"examples": by_split}


def _training(candidate: ModelVersion | None) -> dict[str, Any] | None:
    if candidate is None:
        return None
    return {
        "version": candidate.id,
        "base_model": candidate.base_model,
        "provider": candidate.provider,
        "job": candidate.job_key,
        "metrics": candidate.metrics,
        "files": {name: asdict(file) for name, file in candidate.files.items()},
    }


def _evaluation(stage: Stage | None, result: EvaluationResult | None) -> dict[str, Any] | None:
    """Figures of both models by metric, and the difference in the primary one."""
    if stage is None or result is None:
        return None
    compared = result.comparison(result.primary)
    systems = {role.value: result.system(role) for role in (Role.STABLE, Role.CANDIDATE)}
    return {
        "id": stage.result.id,
        "state": result.state,
        "primary": result.primary,
        "labels": {name: card.label for name, card in result.cards.items()},
        **{role: None if system is None else _system(system) for role, system in systems.items()},
        "difference": None if compared is None else asdict(compared.difference),
    }


def _system(system: SystemSummary) -> dict[str, Any]:
    return {
        "version": system.version,
        "asked": system.asked,
        "failed": system.failed,
        "means": system.means,
        "latency_ms_median": system.latency_ms_median,
    }


def _drift(stage: Stage | None) -> dict[str, Any] | None:
    if stage is None:
        return None
    return {"id": stage.result.id} | {
        name: stage.result.detail[name] for name in ("state", "reasons", "reference", "metrics")
    }


def _gate(stage: Stage | None) -> dict[str, Any] | None:
    return None if stage is None else {"decision": stage.result.id, "reasons": stage.result.detail["reasons"]}


def _canary(canary: Canary | None, looks: Sequence[Look]) -> dict[str, Any] | None:
    if canary is None:
        return None
    last = looks[-1] if looks else None
    verdict = last.verdict if last else {}
    return {
        "id": canary.id,
        "decision": canary.state if last is None or canary.state != "running" else last.decision,
        "state": canary.state,
        "reasons": list(canary.reasons or (last.reasons if last else ())),
        "looks": len(looks),
        "policy": canary.policy.model_dump(mode="json"),
        "metrics": verdict.get("results", []),
        "users": {arm: verdict.get(f"{arm}_users") for arm in ("canary", "control")},
        "score": verdict.get("score"),
        "simulated_requests": verdict.get("simulated_requests"),
        "history": [
            {"look": look.look, "share": look.share, "decision": look.decision, "at": look.at.isoformat()}
            for look in looks
        ],
    }
