"""Where a provider answers with the models that it tuned, for those that speak OpenAI's chat API themselves."""

from collections.abc import Callable
from urllib.parse import urlsplit

from gateway_tuning.registry.endpoint import Endpoint
from gateway_tuning.settings import Settings

# By provider: the address that ends in /v1, and the variable that holds its key; the gateway binds the same ones.
_HOSTED: dict[str, Callable[[Settings], tuple[str, str | None]]] = {
    "openai": lambda settings: (
        settings.openai_base_url or "https://api.openai.com/v1",
        None if settings.openai_api_key is None else "OPENAI_API_KEY",
    ),
    "mistral": lambda settings: (f"{settings.mistral_base_url.rstrip('/')}/v1", "MISTRAL_API_KEY"),
    "together": lambda settings: (settings.together_base_url, "TOGETHER_API_KEY"),
    "fireworks": lambda settings: (
        f"{settings.fireworks_base_url.rstrip('/')}/inference/v1",
        "FIREWORKS_API_KEY",
    ),
}
_HOSTS = {"api.openai.com", "api.mistral.ai", "api.together.ai", "api.together.xyz", "api.fireworks.ai"}


def hosted_endpoint(provider: str, served_model: str, settings: Settings) -> Endpoint | None:
    """None for a provider whose models somebody else serves, who says where: `gateway-tuning models endpoint`."""
    where = _HOSTED.get(provider)
    if where is None:
        return None
    address, key = where(settings)
    return Endpoint(address.rstrip("/"), served_model, api_key_env=key)


def is_elsewhere(provider: str, settings: Settings) -> bool:
    """Whether another server with the provider's API is asked: what the provider itself closes is not closed there."""
    where = _HOSTED.get(provider)
    return where is not None and urlsplit(where(settings)[0]).hostname not in _HOSTS
