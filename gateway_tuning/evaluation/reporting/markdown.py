"""The evaluation in short, as Markdown for an artifact. Texts of users stand in the page alone."""

from gateway_tuning.datasets.describing.markdown import cell
from gateway_tuning.evaluation.reporting.figures import percent
from gateway_tuning.evaluation.reporting.findings import unknowns, verdict
from gateway_tuning.evaluation.reporting.tables import metric_rows
from gateway_tuning.evaluation.result import EvaluationResult
from gateway_tuning.evaluation.scored import Role
from gateway_tuning.rollout.gate import GateDecision


def render_markdown(
    result: EvaluationResult,
    *,
    title: str = "Evaluation",
    gate: GateDecision | None = None,
    link: str | None = None,
) -> str:
    """Verdict, reasons, what is not known, and the comparison with the stable model; `link` leads to the page."""
    lines = [f"## {cell(title)}", "", f"**{cell(verdict(result, gate).sentence)}**", ""]
    lines += [f"- {cell(reason)}" for reason in (*result.reasons, *(gate.reasons if gate else ()))]
    if result.state != "no_data":
        lines += [*_systems(result), *_table(result)]
        lines += ["", "Not known:", "", *(f"- {cell(one)}" for one in unknowns(result))]
    if link is not None:
        lines += ["", f"[The whole report]({link})"]
    return "\n".join(lines) + "\n"


def _systems(result: EvaluationResult) -> list[str]:
    told = [""]
    for role in Role:
        system = result.system(role)
        if system is not None:
            failed = f", {system.failed:,} failed" if system.failed else ""
            told.append(f"- {role.value}: `{system.version}`, {system.asked:,} prompts{failed}")
    return told


def _table(result: EvaluationResult) -> list[str]:
    rows = metric_rows(result, Role.STABLE)
    if not rows:
        return []
    first = result.comparison(result.primary)
    level = "interval" if first is None else f"{percent(first.difference.level)} interval"
    return [
        "",
        f"| metric | candidate | stable | difference | {level} | finding |",
        "|---|---:|---:|---:|---:|---|",
        *(
            f"| {cell(row.label)}{' (decides)' if row.primary else ''} | {row.candidate} | {row.other} "
            f"| {row.difference} | {row.interval} | {row.finding} |"
            for row in rows
        ),
    ]
