"""`python -m deployments.serve`: every flow as a deployment, from one process.

For one machine and for trying things out; work pools carry production, see prefect.yaml.
"""

import argparse
import os
from pathlib import Path

from deployments.embedded_server import embedded_server
from gateway_tuning.settings import Settings


def main() -> None:
    parser = argparse.ArgumentParser(prog="gateway-tuning serve-flows")
    parser.add_argument("--port", type=int, default=4200, help="Of Prefect's server and UI, if none is given")
    parser.add_argument("--limit", type=int, default=4, help="Runs at a time")
    options = parser.parse_args()
    os.environ.setdefault("PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW", "ignore")
    home = Path(Settings().home)
    with embedded_server(home / "prefect", port=options.port) as url:
        print(f"Prefect's UI: {url.removesuffix('/api')}", flush=True)  # noqa: T201 - for the person who started it
        serve_all(options.limit)


def serve_all(limit: int) -> None:
    """Serve until interrupted. Schedules are those of prefect.yaml."""
    from prefect import serve

    from deployments.catalog import deployments

    serve(*deployments(), limit=limit, pause_on_shutdown=False)


if __name__ == "__main__":
    main()
