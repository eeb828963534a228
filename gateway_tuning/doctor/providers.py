"""Training providers that are configured: whether their keys open anything. What is asked costs nothing."""

from collections.abc import Callable, Iterator

from gateway_tuning.doctor.finding import Finding, fault, not_configured, ok, warning
from gateway_tuning.errors import GatewayTuningError, MissingExtraError, ProviderUnavailableError
from gateway_tuning.settings import Settings
from gateway_tuning.training import catalog
from gateway_tuning.training.provider import ShowsJobs

# What of the settings says that somebody means to use it. Others, of installed packages, are always looked at.
_CONFIGURED: dict[str, Callable[[Settings], object]] = {
    "bedrock": lambda settings: settings.bedrock_role_arn or settings.bedrock_data_url,
    "custom": lambda settings: settings.custom_trainer_url,
    "fireworks": lambda settings: settings.fireworks_api_key,
    "mistral": lambda settings: settings.mistral_api_key,
    "openai": lambda settings: settings.openai_api_key or settings.openai_base_url,
    "together": lambda settings: settings.together_api_key,
}
_LOCAL = "llama"  # has no key; `models` looks at what it needs


def check_providers(settings: Settings) -> Iterator[Finding]:
    """Asks each for the newest of our jobs: a list, which no provider charges for."""
    for name in catalog.names():
        is_meant = name not in _CONFIGURED or _CONFIGURED[name](settings)
        if name == _LOCAL:
            continue
        if is_meant:
            yield _check(name, settings)
        else:
            yield not_configured(f"provider {name}", "no key or address is set")


def _check(name: str, settings: Settings) -> Finding:
    check = f"provider {name}"
    try:
        provider = catalog.provider(name, settings)
        if not isinstance(provider, ShowsJobs):
            return ok(check, "is installed; it has nothing that could be asked without a cost")
        next(iter(provider.known_jobs()), None)
    except MissingExtraError as error:
        return fault(check, str(error), "Install what it needs, or remove its settings")
    except ProviderUnavailableError as error:
        return warning(check, str(error), "Try again; where it stays so, look at the provider's status page")
    except GatewayTuningError as error:
        return fault(check, str(error), "Correct its key and address: docs/settings.md")
    return ok(check, "its key opens the list of jobs")
