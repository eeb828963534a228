"""Every registry of model versions, importable without its client."""

from collections.abc import Callable

import sqlalchemy as sa

from gateway_tuning.errors import ConfigurationError
from gateway_tuning.registry.protocol import ModelRegistry
from gateway_tuning.settings import Settings


def _store(settings: Settings, engine: sa.Engine) -> ModelRegistry:
    from gateway_tuning.registry.store import Registry

    del settings
    return Registry(engine)


def _mlflow(settings: Settings, engine: sa.Engine) -> ModelRegistry:
    from gateway_tuning.registry.mlflow.registry import open_registry

    return open_registry(settings, engine)


_REGISTRIES: dict[str, Callable[[Settings, sa.Engine], ModelRegistry]] = {
    "store": _store,
    "mlflow": _mlflow,
}


def registry(name: str, settings: Settings, engine: sa.Engine) -> ModelRegistry:
    """Raises ConfigurationError for a name that is none, or a registry that is not set up."""
    if name not in _REGISTRIES:
        raise ConfigurationError(f"No registry {name!r}; there are: {', '.join(names())}")
    return _REGISTRIES[name](settings, engine)


def names() -> list[str]:
    return sorted(_REGISTRIES)
