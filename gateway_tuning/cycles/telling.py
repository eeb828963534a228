"""A cycle in Markdown, for the page of the run that carried it."""

from collections.abc import Iterable

from gateway_tuning.cycles.cycle import Cycle, Stage


def markdown(cycle: Cycle, stages: Iterable[Stage]) -> str:
    """Every stage so far, then how it stands or why it ended."""
    done = list(stages)
    lines = [
        f"# Cycle `{cycle.id}` of {cycle.model}",
        f"Feedback up to {cycle.watermark}, against {cycle.incumbent}. Asked for by {cycle.started_by}.",
        "",
    ]
    if done:
        lines += ["| stage | left | took | at (UTC) |", "|---|---|---:|---|"]
        lines += [
            f"| {stage.stage} | `{stage.result.id}` | {stage.seconds:.1f} s | {stage.finished_at:%Y-%m-%d %H:%M} |"
            for stage in done
        ]
        lines.append("")
    stands = cycle.status if cycle.outcome is None else cycle.outcome
    lines.append(f"**{stands.replace('_', ' ').capitalize()}.**")
    lines += [f"- {reason}" for reason in cycle.reasons]
    return "\n".join(lines)
