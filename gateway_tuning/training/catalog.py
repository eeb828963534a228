"""Every training provider, importable without its SDK. Others add theirs by an entry point."""

from collections.abc import Callable
from importlib.metadata import entry_points

from gateway_tuning.errors import ConfigurationError
from gateway_tuning.settings import Settings
from gateway_tuning.training.provider import Provider

ENTRY_POINT_GROUP = "gateway_tuning.providers"


def _llama(settings: Settings) -> Provider:
    from gateway_tuning.training.providers.llama import LlamaProvider

    return LlamaProvider(jobs_dir=settings.jobs_dir, cache_dir=settings.cache_dir)


def _bedrock(settings: Settings) -> Provider:
    from gateway_tuning.training.providers.bedrock.account import BedrockAccount
    from gateway_tuning.training.providers.bedrock.provider import BedrockProvider

    return BedrockProvider(BedrockAccount.from_settings(settings))


def _mistral(settings: Settings) -> Provider:
    from gateway_tuning.training.providers.mistral.provider import MistralProvider
    from gateway_tuning.training.providers.mistral.wire import MistralAccount

    return MistralProvider(MistralAccount.from_settings(settings))


def _openai(settings: Settings) -> Provider:
    from gateway_tuning.training.providers.openai.provider import build

    return build(settings)


def _together(settings: Settings) -> Provider:
    from gateway_tuning.training.providers.together import build

    return build(settings)


def _fireworks(settings: Settings) -> Provider:
    from gateway_tuning.training.providers.fireworks import build

    return build(settings)


def _custom(settings: Settings) -> Provider:
    from gateway_tuning.training.providers.custom import build

    return build(settings)


_BUILT_IN: dict[str, Callable[[Settings], Provider]] = {
    "bedrock": _bedrock,
    "custom": _custom,
    "fireworks": _fireworks,
    "llama": _llama,
    "mistral": _mistral,
    "openai": _openai,
    "together": _together,
}


def provider(name: str, settings: Settings) -> Provider:
    """Raises ConfigurationError for a name that neither we nor an installed package has."""
    if name in _BUILT_IN:
        return _BUILT_IN[name](settings)
    for entry in entry_points(group=ENTRY_POINT_GROUP):
        if entry.name == name:
            build: Callable[[Settings], Provider] = entry.load()
            return build(settings)
    raise ConfigurationError(f"No training provider {name!r}; there are: {', '.join(names())}")


def names() -> list[str]:
    return sorted(_BUILT_IN.keys() | {entry.name for entry in entry_points(group=ENTRY_POINT_GROUP)})
