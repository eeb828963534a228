"""The running LiteLLM proxy: its server, its end, and what answers under a name of its model list."""

import sys
from collections.abc import Awaitable, Callable
from typing import Any

from gateway_tuning.gateway.door.upstreams import Upstreams
from gateway_tuning.registry.endpoint import Endpoint

_TARGET = ("model", "api_base", "custom_llm_provider", "organization", "extra_body", "extra_headers")


class AnyUpstream(Upstreams):
    """LiteLLM's own configuration says whom it asks; an endpoint's address in the store is not used here."""

    def refusal(self, endpoint: Endpoint) -> str | None:
        del endpoint
        return None


def proxy() -> Any:
    """LiteLLM's server, which has imported this; importing it here would begin another."""
    server = sys.modules.get("litellm.proxy.proxy_server")
    if server is None:
        raise RuntimeError("gateway_tuning.bridges.litellm runs inside LiteLLM's proxy alone")
    return server


def before_shutdown(action: Callable[[], Awaitable[None]]) -> None:
    """LiteLLM has no hook for its end, and a signal ends the process before its event loop cancels what still runs."""
    server = proxy()
    theirs = server.proxy_shutdown_event

    async def ours(*arguments: Any, **options: Any) -> None:
        await action()
        await theirs(*arguments, **options)

    server.proxy_shutdown_event = ours


def targets(name: str) -> frozenset[str]:
    router = proxy().llm_router
    if router is None:  # LiteLLM is still reading its configuration
        return frozenset({f"the model {name}, not yet known"})
    found = router.get_model_list(model_name=name) or []
    params = (dict(deployment.get("litellm_params") or {}) for deployment in found)
    return frozenset(
        " ".join(f"{key}={one[key]}" for key in _TARGET if one.get(key) is not None) for one in params
    )
