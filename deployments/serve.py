"""`python -m deployments.serve`: what `gateway-tuning deploy` applies, and a worker for it.

At a Prefect server of its own, or at the one of PREFECT_API_URL. For one machine and for trying things out.
"""

import argparse
import os
import signal
import time
from contextlib import suppress
from pathlib import Path

from deployments.embedded_server import embedded_server
from deployments.worker import worker
from gateway_tuning.settings import Settings

POOL = "process"
RESTART_S = 2.0


def main() -> None:
    parser = argparse.ArgumentParser(prog="gateway-tuning serve-flows")
    parser.add_argument("--port", type=int, default=4200, help="Of Prefect's server and UI, if none is given")
    options = parser.parse_args()
    os.environ.setdefault("PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW", "ignore")
    os.environ.setdefault("PREFECT_WORKER_QUERY_SECONDS", "2")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with (
        suppress(KeyboardInterrupt),
        embedded_server(Path(Settings().home) / "prefect", port=options.port) as url,
    ):
        print(f"Prefect's UI: {url.removesuffix('/api')}", flush=True)  # noqa: T201 - for the person who started it
        pool = deploy(url)
        while True:  # a worker that dies is followed by another one
            with worker(pool) as process:
                code = process.wait()
            print(f"The worker ended ({code}); another one is started", flush=True)  # noqa: T201 - as above
            time.sleep(RESTART_S)


def deploy(url: str) -> str:
    """The name of the work pool that runs the flows."""
    from deployments.apply import PATIENCE_S, apply
    from deployments.applying.files import read_pool
    from gateway_tuning.runs.prefect_api import PrefectApi

    settings = Settings()
    auth = settings.prefect_api_auth
    prefect = PrefectApi(url, auth=auth.get_secret_value() if auth else None, timeout_s=PATIENCE_S)
    for _ in apply(prefect, settings, kind=POOL):
        pass
    prefect.close()
    return read_pool(POOL).name


if __name__ == "__main__":
    main()
