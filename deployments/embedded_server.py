"""A Prefect server of one's own for those who run none: it lives as long as the process that started it.

Prefect's ephemeral server outlives a killed flow; this one ends with its parent, however that ends.
"""

import os
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gateway_tuning import processes
from gateway_tuning.errors import ServingError

START_SECONDS = 120.0


@contextmanager
def embedded_server(home: Path, *, port: int | None = None) -> Iterator[str]:
    """Start a server with its state below `home`, point this process at it, and yield the API's URL.

    Call it before Prefect is imported: Prefect reads its settings once. Where PREFECT_API_URL is set already,
    that server is used and nothing is started.
    """
    given = os.environ.get("PREFECT_API_URL")
    if given:
        yield given
        return
    port = port or processes.free_port()
    url = f"http://127.0.0.1:{port}/api"
    os.environ.setdefault("PREFECT_HOME", str(home.resolve()))
    os.environ.update(
        DO_NOT_TRACK="1",
        PREFECT_API_URL=url,
        PREFECT_SERVER_ANALYTICS_ENABLED="false",
        PREFECT_SERVER_UI_API_URL=url,
        PREFECT_LOGGING_EXTRA_LOGGERS="gateway_tuning",
        PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE="prefect.server.concurrency.lease_storage.filesystem",
    )
    log = home / "server.log"
    server = processes.spawn("deployments.embedded_server", [str(port)], log=log)
    try:
        _wait_until_healthy(server, url, log)
        yield url
    finally:
        processes.stop(server)


def _wait_until_healthy(server: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if server.poll() is not None:
            break
        try:
            with urllib.request.urlopen(f"{url}/health", timeout=2):  # noqa: S310 - a fixed loopback address
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    raise ServingError(f"Prefect's server did not start; its log is {log}")


def main(port: int) -> None:
    import uvicorn

    processes.when_parent_ends(lambda: os._exit(0))
    uvicorn.run(
        "prefect.server.api.server:create_app",
        factory=True,
        host="127.0.0.1",
        port=port,
        log_level="warning",
        timeout_keep_alive=5,
    )


if __name__ == "__main__":
    import sys

    main(int(sys.argv[1]))
