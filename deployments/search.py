"""`python -m deployments.search SEARCH`: carry a search that stands in the store, as a flow run.

At the Prefect server of PREFECT_API_URL, or where that names none, at one that lives as long as this process.
"""

import argparse
import logging
import os
import sys

from rich.console import Console

from deployments.demo import Progress, send_what_waits
from deployments.embedded_server import embedded_server
from gateway_tuning.errors import GatewayTuningError
from gateway_tuning.settings import Settings
from gateway_tuning.training.search import report
from gateway_tuning.training.search.store import SearchStore

console = Console(highlight=False)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="gateway-tuning search resume")
    parser.add_argument("search")
    search_id = parser.parse_args(arguments).search
    try:
        run(search_id)
    except GatewayTuningError as error:
        console.print(f"[red]{error}[/red]")
        return 1
    except KeyboardInterrupt:
        console.print(f"Stopped. To go on: gateway-tuning search resume {search_id}")
        return 130
    return 0


def run(search_id: str) -> None:
    os.environ["PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL"] = "WARNING"
    os.environ["PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW"] = "ignore"
    with embedded_server(Settings().home / "prefect"):
        from flows.search_hyperparameters import search_hyperparameters
        from tasks.runtime import runtime

        logging.getLogger("gateway_tuning").addHandler(Progress())
        store = SearchStore(runtime().engine)
        search = store.get(search_id)
        try:
            search_hyperparameters(search.dataset_id, search.plan)
        finally:
            send_what_waits()
    console.print(report.verdict(store.get(search_id)))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
