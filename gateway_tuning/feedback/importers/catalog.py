"""Every importer by the name of its tool, loaded when it is asked for. Others add theirs by an entry point."""

from importlib import import_module
from importlib.metadata import entry_points

from gateway_tuning.errors import ConfigurationError
from gateway_tuning.feedback.importers.protocol import Importer

ENTRY_POINT_GROUP = "gateway_tuning.importers"
_BUILT_IN = {  # each a module of this package with a `rows`
    "langfuse": "langfuse",
    "litellm": "litellm",
    "openai": "openai_chat",
    "tensorzero": "tensorzero",
}


def importer(name: str) -> Importer:
    """Raises ConfigurationError for a name that neither we nor an installed package has."""
    if name in _BUILT_IN:
        built_in: Importer = import_module(f"gateway_tuning.feedback.importers.{_BUILT_IN[name]}").rows
        return built_in
    for entry in entry_points(group=ENTRY_POINT_GROUP):
        if entry.name == name:
            installed: Importer = entry.load()
            return installed
    raise ConfigurationError(f"No importer {name!r}; there are: {', '.join(names())}")


def names() -> list[str]:
    return sorted({*_BUILT_IN, *(entry.name for entry in entry_points(group=ENTRY_POINT_GROUP))})
