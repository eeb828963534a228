"""Whatever is tried again waits a while that differs, and nothing waits for ever."""

from importlib import import_module

import pytest
from prefect import Task

from deployments.catalog import entries, load_flow
from gateway_tuning.errors import ConfigurationError, ProviderUnavailableError
from tasks.patience import may_pass
from tests.flows.conftest import ROOT


def tasks():
    modules = [import_module(f"tasks.{path.stem}") for path in (ROOT / "tasks").glob("[!_]*.py")]
    found = {one.name: one for module in modules for one in vars(module).values() if isinstance(one, Task)}
    return list(found.values())


@pytest.mark.parametrize("task", tasks(), ids=lambda task: task.name)
def test_a_task_that_is_tried_again_does_so_at_a_time_of_its_own(task):
    if task.retries:
        assert task.retry_jitter_factor
        assert task.retry_condition_fn is not None


@pytest.mark.parametrize("entry", entries(), ids=lambda entry: entry["name"])
def test_a_flow_that_hangs_is_ended_and_one_that_is_scheduled_often_soon(entry):
    seconds = load_flow(entry["entrypoint"]).timeout_seconds

    assert seconds
    if any(schedule.get("interval", 3600) < 3600 for schedule in entry.get("schedules", [])):
        assert seconds <= 3600


class Failed:
    def __init__(self, error):
        self.error = error

    def result(self, *, raise_on_failure):
        return self.error


@pytest.mark.parametrize(
    ("error", "again"),
    [(ConfigurationError("x"), False), (ProviderUnavailableError("x"), True), (OSError("x"), True)],
)
def test_what_fails_the_same_way_each_time_is_not_tried_again(error, again):
    assert may_pass(None, None, Failed(error)) is again
