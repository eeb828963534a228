"""How often a task is tried and how long it may take, said once: `@task(name=..., **BRIEF)`.

What starts together does not try again together: every pause is drawn from half to one and a half of what stands here.
"""

from collections.abc import Callable
from typing import Any, TypedDict

from gateway_tuning.errors import (
    ConfigurationError,
    ErasedError,
    ExpectationError,
    InputFileError,
    IntegrityError,
    NotFoundError,
    UnacceptableError,
)

_FINAL = (
    ConfigurationError,
    ErasedError,
    ExpectationError,
    InputFileError,
    IntegrityError,
    NotFoundError,
    UnacceptableError,
)


class Patience(TypedDict):
    retries: int
    retry_delay_seconds: list[float]
    retry_jitter_factor: float
    retry_condition_fn: Callable[[Any, Any, Any], bool]
    timeout_seconds: float


def may_pass(_task: Any, _run: Any, state: Any) -> bool:
    """Whether trying again may help: not where the same input fails in the same way again."""
    return not isinstance(state.result(raise_on_failure=False), _FINAL)


BRIEF = Patience(
    retries=2,
    retry_delay_seconds=[2, 10],
    retry_jitter_factor=0.5,
    retry_condition_fn=may_pass,
    timeout_seconds=300,
)
"""A few calls of the store, of Prefect or of the gateways."""

STAGE = Patience(
    retries=2,
    retry_delay_seconds=[5, 60],
    retry_jitter_factor=0.5,
    retry_condition_fn=may_pass,
    timeout_seconds=24 * 3600,
)
"""The work of a stage, which goes on where it was. The limit is for what hangs, not for what is large."""

FLOW_BRIEF_S = 900
"""Of a flow that looks and ends: it is scheduled every few minutes, one at a time."""
FLOW_STAGE_S = 2 * 24 * 3600
FLOW_JOB_S = 30 * 24 * 3600
"""Of a flow that waits for providers, whose jobs have limits of their own (`max_training_hours`)."""
