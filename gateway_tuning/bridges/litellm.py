"""LiteLLM's proxy as a router of ours: the same arms as the gateway's, the same outcomes.

`callbacks: ["gateway_tuning.bridges.litellm.instance"]` in LiteLLM's `litellm_settings`; docs/how-to/bring-your-gateway.md
tells the rest.
"""

import asyncio
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from gateway_tuning.settings import Settings
from gateway_tuning.storage.database import open_database

if TYPE_CHECKING:
    from gateway_tuning.bridges.litellm_callback import TuningCallback


def open_callback(deployments: Mapping[str, str] | None = None) -> "TuningCallback":
    """For a module of your own beside LiteLLM's config: `deployments` has LiteLLM's model names by version.

    Reads the settings of the environment. Raises ConfigurationError, and SQLAlchemy's errors where there is no store.
    """
    from gateway_tuning.bridges.litellm_callback import TuningCallback

    settings = Settings()
    token_key, status_key = settings.rating_token_key, settings.gateway_status_key
    callback = TuningCallback(
        open_database(settings.resolved_database_url),
        deployments=deployments or {},
        rating_token_key=None if token_key is None else token_key.get_secret_value().encode(),
        status_key=None if status_key is None else status_key.get_secret_value(),
    )
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return callback  # the first chat starts it
    callback.start()  # LiteLLM reads its configuration inside its loop
    return callback


@cache
def _instance() -> "TuningCallback":
    return open_callback()


def __getattr__(name: str) -> Any:
    # Built when LiteLLM asks for it, so that a module of your own may import `open_callback` alone.
    if name == "instance":
        return _instance()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
