"""`python -m deployments.apply`: make Prefect's server hold what prefect.yaml and the files of deployments/ say.

Applied again it changes nothing. What somebody decided in Prefect's UI stays: a paused pool, deployment or schedule, an
automation that was switched off or on. What carries our tag and stands in no file any more is removed.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from deployments.applying.automations import apply_automations
from deployments.applying.blocks import apply_block, blocks_of
from deployments.applying.changes import Action, Change, count
from deployments.applying.deployments import apply_deployments
from deployments.applying.files import pool_kinds, read_automations, read_blocks, read_pool
from deployments.applying.pools import apply_pool
from deployments.catalog import ROOT, wanted
from gateway_tuning.errors import ConfigurationError, GatewayTuningError
from gateway_tuning.runs.prefect_api import PrefectApi
from gateway_tuning.settings import Settings

PATIENCE_S = 60.0  # a server of which much is asked at once takes a while for each
_STYLES = {Action.CREATED: "green", Action.CHANGED: "yellow", Action.REMOVED: "red", Action.UNCHANGED: "dim"}


def apply(
    prefect: PrefectApi,
    settings: Settings,
    *,
    kind: str,
    folder: Path | None = None,
    gpu: bool = False,
    dry_run: bool = False,
) -> Iterator[Change]:
    """In the order in which one needs the other; stopped on the way, it goes on when applied again.

    Args:
        prefect: server.
        settings: whose places blocks name.
        kind: of the work pool that runs the flows, as its file is named.
        folder: the project's folder where workers of the pool `process` run, if that is not this one; their Python is
            then the one that they find first.
        gpu: runs that train ask for a GPU, where the pool knows how.
        dry_run: tell only.

    Raises:
        ConfigurationError: a file cannot work as it is written.
        OrchestratorError: Prefect did not answer, or refused.
    """
    pool = read_pool(kind)
    entries = wanted(pool, (folder or ROOT) if pool.type == "process" else None, gpu=gpu)
    python = sys.executable if folder is None else "python"
    yield apply_pool(prefect, pool, python=python, dry_run=dry_run)
    for block in blocks_of(read_blocks(), pool):
        yield apply_block(prefect, block, settings, dry_run=dry_run)
    changes, ids = apply_deployments(prefect, entries, dry_run=dry_run)
    yield from changes
    yield from apply_automations(prefect, read_automations(), ids, dry_run=dry_run)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="gateway-tuning deploy")
    parser.add_argument("--pool", choices=pool_kinds(), default="process")
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--gpu", action="store_true")
    parser.add_argument("--dry-run", action="store_true")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    try:
        settings = Settings()
        prefect = PrefectApi.from_settings(settings, timeout_s=PATIENCE_S)
        if prefect is None:
            raise ConfigurationError(
                "Set PREFECT_API_URL to the server to deploy to, such as http://127.0.0.1:4200/api; without a server "
                "of your own, `gateway-tuning serve-flows` starts one"
            )
        prefect.check()
        changes = list(
            apply(
                prefect,
                settings,
                kind=options.pool,
                folder=options.folder,
                gpu=options.gpu,
                dry_run=options.dry_run,
            )
        )
    except GatewayTuningError as error:
        Console(stderr=True, highlight=False).print(f"[red]{error}[/red]", soft_wrap=True)
        return 1
    if options.json:
        sys.stdout.write(json.dumps([asdict(change) for change in changes], indent=2) + "\n")
    else:
        show(changes, options.pool, settings.prefect_api_url or "", dry_run=options.dry_run)
    return 0


def show(changes: list[Change], kind: str, url: str, *, dry_run: bool) -> None:
    console = Console(highlight=False)
    different = [change for change in changes if change.action is not Action.UNCHANGED]
    if different:
        table = Table(show_header=False, box=None, pad_edge=False)
        for change in different:
            action = f"[{_STYLES[change.action]}]{change.action}[/]"
            table.add_row(action, change.kind, change.name, ", ".join(change.fields))
        console.print(table)
    counts = count(changes)
    if not different:
        told = f"Nothing to change: all {len(changes)} objects at {url} are as the files say."
    else:
        parts = ", ".join(f"{number} {action}" for action, number in counts.items() if number)
        told = f"{parts}. This was a dry run: nothing was done." if dry_run else f"{parts}, at {url}."
    console.print(told, soft_wrap=True)
    if not dry_run:
        console.print(f"Runs need a worker: prefect worker start --pool {read_pool(kind).name}", style="dim")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
