"""The packaged base model, converted once in a test session: each conversion takes a core for a quarter of a minute."""

import atexit
import shutil
import tempfile
from functools import lru_cache
from pathlib import Path


@lru_cache
def _converted() -> Path:
    """The cache folder that holds it."""
    from gateway_tuning.training.local.model.weights import converted_weights

    cache = Path(tempfile.mkdtemp(prefix="gateway-tuning-base-"))
    atexit.register(shutil.rmtree, cache, ignore_errors=True)
    converted_weights(cache)
    return cache


def give_base_model(cache: Path) -> Path:
    """As if it had been converted into this cache folder already; the folder."""
    cache.mkdir(parents=True, exist_ok=True)
    (cache / "base-models").symlink_to(_converted() / "base-models")
    return cache
