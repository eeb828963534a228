"""Who does the jobs of a dataset build: threads or processes of this machine, or a Dask cluster."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from prefect import flow, task

from gateway_tuning.datasets.building.workshop import Crew, Workshop, do, processes, threads
from gateway_tuning.errors import ConfigurationError, missing_extra
from tasks.patience import STAGE
from tasks.runtime import runtime

_CHUNKS = 64  # of a stage's jobs, at most: a task on a cluster costs some 0.2 s

Stage = Callable[[Workshop, Any], Any]


@contextmanager
def open_crew(setting: str) -> Iterator[Crew]:
    """`threads:4`, `processes:4`, `dask:tcp://scheduler:8786`, or `dask:4` for a local cluster of so many workers.

    Raises:
        ConfigurationError: the setting says none of these.
    """
    kind, _, rest = setting.partition(":")
    if kind == "dask" and rest and not (rest.isdecimal() and not int(rest)):
        yield _on_dask(rest)
    elif kind == "threads" and rest.isdecimal() and int(rest):
        yield threads(runtime().workshop(), int(rest))
    elif kind == "processes" and rest.isdecimal() and int(rest):
        with processes(_workshop, int(rest)) as crew:
            yield crew
    else:
        raise ConfigurationError(
            f"GATEWAY_TUNING_BUILD_CREW is {setting!r}; write threads:N, processes:N, dask:ADDRESS or dask:N"
        )


@task(name="jobs of a build", persist_result=False, **STAGE)
def do_jobs(stage: Stage, jobs: Sequence[Any]) -> list[Any]:
    """Where it runs, settings name the same stores as here."""
    return [do(stage, _workshop(), job) for job in jobs]


def _on_dask(cluster: str) -> Crew:
    try:
        from prefect_dask.task_runners import DaskTaskRunner
    except ImportError:
        raise missing_extra("prefect-dask", "cluster") from None
    local = {"n_workers": int(cluster), "threads_per_worker": 1} if cluster.isdecimal() else None
    runner: Any = DaskTaskRunner(cluster_kwargs=local) if local else DaskTaskRunner(address=cluster)

    def work(stage: Stage, jobs: Sequence[Any]) -> list[Any]:
        size = max(1, -(-len(jobs) // _CHUNKS))
        chunks = [jobs[start : start + size] for start in range(0, len(jobs), size)]

        # What the jobs hold stays out of the flow's parameters, which Prefect's server keeps.
        @flow(name=f"build stage {stage.__name__}", task_runner=runner, persist_result=False)
        def do_stage() -> list[Any]:
            futures = [do_jobs.submit(stage, chunk) for chunk in chunks]
            return [report for future in futures for report in future.result()]

        return do_stage()

    return work


def _workshop() -> Workshop:
    return runtime().workshop()
