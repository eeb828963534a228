"""`gateway-tuning datasets retain, delete`: which datasets stay, and how one goes."""

import shutil
from typing import Annotated

import typer

from gateway_tuning.cli.console import AsJson, Tenant, actor, now, show_table, told
from gateway_tuning.cli.dataset_stores import DatasetId, Stores, open_stores

app = typer.Typer()


@app.command("retain")
@told
def retain_datasets(
    keep: Annotated[int, typer.Option(help="So many of the newest stay")],
    days: Annotated[float | None, typer.Option(help="So do all younger than this")] = None,
    tenant: Tenant = "default",
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would go, and delete nothing")] = False,
    as_json: AsJson = False,
) -> None:
    """Delete old datasets. What a model was trained on, an evaluation used or work is under way on stays."""
    from gateway_tuning.datasets.retention import RetentionPolicy, preview, retain

    policy, stores = RetentionPolicy(keep, days), open_stores()
    if dry_run:
        verdicts = preview(stores.engine, policy, tenant=tenant, now=now())
    else:
        verdicts, removed = retain(
            stores.engine, stores.objects, policy, tenant=tenant, actor=actor(), now=now()
        )
        for one in removed:
            _remove_copies(stores, one.dataset_id)
    goes = "would go" if dry_run else "deleted"
    rows = [[one.dataset_id, one.created_at, "; ".join(one.why) or goes] for one in verdicts]
    show_table(["dataset", "created", "stays as"], rows, as_json=as_json)
    going = sum(not one.stays for one in verdicts)
    typer.echo(f"{going} of {len(verdicts)} datasets {goes}", err=True)


@app.command("delete")
@told
def delete_dataset(
    dataset_id: DatasetId,
    tenant: Tenant = "default",
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Delete without asking")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Though a model was trained on it or an evaluation made")
    ] = False,
) -> None:
    """Delete a dataset: its objects go, and what the store says of it stays."""
    from gateway_tuning.datasets.retention import delete

    if not yes:
        typer.confirm(f"Delete dataset {dataset_id}? It cannot be brought back", abort=True)
    stores = open_stores()
    gone = delete(
        stores.engine, stores.objects, dataset_id, tenant=tenant, actor=actor(), now=now(), force=force
    )
    _remove_copies(stores, dataset_id)
    typer.echo(f"{dataset_id} is deleted, {gone.objects} objects beside its manifest")


def _remove_copies(stores: Stores, dataset_id: str) -> None:
    """Of this machine, which tuning jobs were given."""
    from gateway_tuning.training.job import exports_folder

    copies = exports_folder(stores.cache_dir, dataset_id)
    if copies.exists():
        shutil.rmtree(copies)
