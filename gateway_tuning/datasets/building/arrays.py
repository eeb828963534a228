"""Arrays as they lie between two stages: npz without pickled objects."""

import io
from collections.abc import Mapping
from typing import Any

import numpy as np

from gateway_tuning.errors import IntegrityError

Arrays = dict[str, Any]


def encode(arrays: Mapping[str, Any]) -> bytes:
    sink = io.BytesIO()
    np.savez(sink, **arrays)
    return sink.getvalue()


def decode(data: bytes) -> Arrays:
    """Raises IntegrityError for what was cut off or changed."""
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as found:
            return {name: found[name] for name in found.files}
    except (ValueError, OSError, KeyError, EOFError) as error:
        raise IntegrityError(
            f"An object of a build in progress is damaged ({type(error).__name__}); run the build again"
        ) from error
