"""Arrays as they lie between two stages: npz without pickled objects."""

import io
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np

from gateway_tuning.errors import IntegrityError

# What `zipfile` raises of a changed byte: no archive, and a compression, a version or a password that none has.
_DAMAGE = (zipfile.BadZipFile, NotImplementedError, RuntimeError, ValueError, OSError, KeyError, EOFError)

Arrays = dict[str, Any]


def encode(arrays: Mapping[str, Any]) -> bytes:
    sink = io.BytesIO()
    np.savez(sink, **arrays)
    return sink.getvalue()


def decode(data: bytes) -> Arrays:
    """Raises IntegrityError for what was cut off, or changed so that it cannot be read."""
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as found:
            return {name: found[name] for name in found.files}
    except _DAMAGE as error:
        raise IntegrityError(
            f"An object of a build in progress is damaged ({type(error).__name__}); run the build again"
        ) from error
