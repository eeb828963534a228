"""Get endpoints for model versions: start a local server where files must be served, look up the others."""

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from gateway_tuning.errors import ConfigurationError
from gateway_tuning.registry.endpoint import Endpoint
from gateway_tuning.registry.model_version import ModelVersion
from gateway_tuning.registry.store import Registry
from gateway_tuning.settings import Settings
from gateway_tuning.storage.object_store import ObjectStore

LOCAL_PROVIDER = "llama"
ADAPTER_FILE = "adapter.gguf"


@contextmanager
def open_endpoints(
    versions: Sequence[ModelVersion], *, registry: Registry, objects: ObjectStore, settings: Settings
) -> Iterator[dict[str, Endpoint]]:
    """Endpoints by version id, good until the block ends.

    The versions of the local provider share one server, so that comparing them is fair.

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
        if local:
            found |= stack.enter_context(_serve_local(local, objects, settings))
        yield found


@contextmanager
def _serve_local(
    versions: Sequence[ModelVersion], objects: ObjectStore, settings: Settings
) -> Iterator[dict[str, Endpoint]]:
    from gateway_tuning.training.local import server
    from gateway_tuning.training.local.weights import BASE_MODEL, packaged_gguf

    for version in versions:
        if version.base_model != BASE_MODEL:
            raise ConfigurationError(
                f"{version.id} is based on {version.base_model}; only {BASE_MODEL} is packaged"
            )
    adapters = {
        version.id: _adapter(version, objects, settings.cache_dir) for version in versions if version.files
    }
    key = os.environ.get(server.KEY_ENV) or _local_key(settings) or server.random_key()
    # Endpoints name the variable, never the key; this process and the children it starts read it from there.
    os.environ[server.KEY_ENV] = key
    with server.serve_local(
        adapters, base_gguf=packaged_gguf(), api_key=key, log=settings.home / "logs" / "local-server.log"
    ) as running:
        yield {
            version.id: running.endpoints[version.id if version.files else BASE_MODEL] for version in versions
        }


def _adapter(version: ModelVersion, objects: ObjectStore, cache_dir: Path) -> Path:
    file = version.files.get(ADAPTER_FILE)
    if file is None:
        raise ConfigurationError(f"{version.id} has no {ADAPTER_FILE}; train it again to get one")
    return objects.download(file.key, cache_dir / "adapters" / f"{file.sha256}.gguf", sha256=file.sha256)


def _local_key(settings: Settings) -> str | None:
    return settings.local_server_key.get_secret_value() if settings.local_server_key else None
