"""The table that comes with the package, asked before a job is declared."""

import tomllib
from datetime import date
from functools import lru_cache
from importlib.resources import files

from gateway_tuning.errors import ClosedError
from gateway_tuning.training.job import TuningSpec
from gateway_tuning.training.lifecycle.table import Row, State, Verdict, verdict, way_out


@lru_cache(maxsize=1)
def rows() -> tuple[Row, ...]:
    text = files("gateway_tuning.training.lifecycle").joinpath("models.toml").read_text(encoding="utf-8")
    return tuple(Row(**row) for row in tomllib.loads(text)["model"])


def require_open(spec: TuningSpec, *, today: date) -> Verdict:
    """What is known of the base model; the caller tells it when it is ending.

    Raises:
        ClosedError: the provider takes no more jobs for it. The message names the way out.
    """
    found = verdict(rows(), spec.provider, spec.base_model, today)
    if found.state is State.CLOSED:
        raise ClosedError(f"{found.told}. {way_out(spec.method).replace('DATASET', spec.dataset_id)}")
    return found
