"""Get endpoints for model versions: start a local server where files must be served, look up the others."""

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path

from gateway_tuning.errors import ConfigurationError, NotFoundError
from gateway_tuning.registry.endpoint import Endpoint
from gateway_tuning.registry.model_version import ModelVersion
from gateway_tuning.registry.store import Registry
from gateway_tuning.settings import Settings
from gateway_tuning.storage.object_store import ObjectStore
from gateway_tuning.training.hosting import hosted_endpoint

LOCAL_PROVIDER = "llama"
ADAPTER_FILE = "adapter.gguf"


@contextmanager
def open_endpoints(
    versions: Sequence[ModelVersion], *, registry: Registry, objects: ObjectStore, settings: Settings
) -> Iterator[dict[str, Endpoint]]:
    """Endpoints by version id, good until the block ends.

    Each version of the local provider gets a server of its own: in a shared one, requests for different adapters
    are never batched together and the rarer adapter waits for the other, which would be taken for its latency.

    Raises:
        NotFoundError: a provider's version has no endpoint in the registry.
        ServingError: the local server did not start.
    """
    local = [version for version in versions if version.provider == LOCAL_PROVIDER]
    found = {
        version.id: registry.endpoint(version.id)
        for version in versions
        if version.provider != LOCAL_PROVIDER
    }
    with ExitStack() as stack:
        key = _share_key(settings) if local else ""
        for version in local:
            found[version.id] = stack.enter_context(_serve_local(version, key, objects, settings))
        yield found


def tell_hosted(version: ModelVersion, *, registry: Registry, settings: Settings, now: datetime) -> None:
    """Say where a version answers that its provider serves itself; what somebody has said already stays."""
    served = version.served_model or (version.base_model if version.job_key is None else None)
    found = None if served is None else hosted_endpoint(version.provider, served, settings)
    if found is None:
        return
    try:
        registry.endpoint(version.id)
    except NotFoundError:
        registry.set_endpoint(version.id, found, now=now, by=version.provider)


@contextmanager
def _serve_local(
    version: ModelVersion, key: str, objects: ObjectStore, settings: Settings
) -> Iterator[Endpoint]:
    from gateway_tuning.training.local.model.weights import BASE_MODEL, packaged_gguf
    from gateway_tuning.training.local.serving.server import serve_local

    if version.base_model != BASE_MODEL:
        raise ConfigurationError(
            f"{version.id} is based on {version.base_model}; this machine serves {BASE_MODEL} alone. Serve it with "
            "its adapter by vLLM or llama.cpp, and tune the packaged model where a cycle has to ask it"
        )
    adapters = {version.id: _adapter(version, objects, settings.cache_dir)} if version.files else {}
    log = settings.home / "logs" / f"{version.id.replace('/', '_')}.log"
    with serve_local(adapters, base_gguf=packaged_gguf(), api_key=key, log=log) as running:
        yield running.endpoints[version.id if version.files else BASE_MODEL]


def _share_key(settings: Settings) -> str:
    """The key of the local servers. Endpoints name its variable; this process and its children read it there."""
    from gateway_tuning.training.local.serving.server import KEY_ENV, random_key

    given = settings.local_server_key.get_secret_value() if settings.local_server_key else None
    key = os.environ.get(KEY_ENV) or given or random_key()
    os.environ[KEY_ENV] = key
    return key


def _adapter(version: ModelVersion, objects: ObjectStore, cache_dir: Path) -> Path:
    file = version.files.get(ADAPTER_FILE)
    if file is None:
        raise ConfigurationError(f"{version.id} has no {ADAPTER_FILE}; train it again to get one")
    return objects.download(file.key, cache_dir / "adapters" / f"{file.sha256}.gguf", sha256=file.sha256)
