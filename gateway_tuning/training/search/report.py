"""A search as people read it. Pure."""

from collections.abc import Sequence

from gateway_tuning.datasets.describing.markdown import cell
from gateway_tuning.training.search.trial import Search, Trial

COLUMNS = ("trial", "what", "state", "value", "hyperparameters", "job", "cost", "message")


def rows(search: Search, trials: Sequence[Trial]) -> list[list[str]]:
    return [_row(search, trial) for trial in trials]


def verdict(search: Search) -> str:
    if search.result is None:
        return "under way; `gateway-tuning search resume` goes on where no run does"
    return f"{search.result['told']}. Ended by {search.ended_by}"


def markdown(search: Search, trials: Sequence[Trial]) -> str:
    where = f"{search.plan.training.base_model} at {search.plan.training.provider} on dataset `{search.dataset_id}`"
    lines = [
        f"# Search `{search.id}`",
        f"{where}, {_goal(search)}",
        "",
        cell(verdict(search)),
        "",
        f"| {' | '.join(COLUMNS)} |",
        "|---:|---|---|---:|---|---|---:|---|",
        *(f"| {' | '.join(map(cell, row))} |" for row in rows(search, trials)),
    ]
    return "\n".join(lines)


def _goal(search: Search) -> str:
    objective = search.plan.objective
    return (
        f"{'lowest' if objective.minimized else 'highest'} {objective.metric.replace('_', ' ')} on validation"
    )


def _row(search: Search, trial: Trial) -> list[str]:
    chosen = ", ".join(f"{name}={_figure(value)}" for name, value in trial.hyperparameters.items())
    seed = f", seed={trial.seed}" if trial.seed != search.plan.training.seed else ""
    cost = "-" if trial.committed is None else f"{trial.committed} {search.plan.budget.currency}"
    return [
        str(trial.number),
        trial.role.value,
        trial.state.value,
        "-" if trial.value is None else f"{trial.value:.4f}",
        f"{chosen or 'the defaults'}{seed}",
        trial.job_key[:12],
        cost,
        trial.message,
    ]


def _figure(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
