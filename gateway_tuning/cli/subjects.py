"""`gateway-tuning subjects`: erase a person, and show that it was done."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gateway_tuning.cli.console import AsJson, Tenant, actor, now, open_store, read_settings, show_table, told
from gateway_tuning.errors import InputFileError, IntegrityError

if TYPE_CHECKING:
    from gateway_tuning.erasure.places import Places

app = typer.Typer(no_args_is_help=True, help="Persons: erase one, and show that it was done.")


@app.command("erase")
@told
def erase(
    user_id: Annotated[
        str, typer.Argument(help="The user; `-` reads the id from standard input, so that no shell keeps it")
    ],
    tenant: Tenant = "default",
    background: Annotated[
        bool,
        typer.Option("--background", help="Remove the rows and leave the rest to the erase-subject flow"),
    ] = False,
) -> None:
    """Remove a person from feedback, datasets, exports, jobs and evaluations; mark the models that learned from them."""
    from gateway_tuning.erasure.begin import begin
    from gateway_tuning.erasure.complete import complete

    places = _places()
    user = sys.stdin.readline().rstrip("\r\n") if user_id == "-" else user_id
    erasure = begin(places.engine, tenant, user, requested_by=actor(), now=now())
    if not background:
        erasure = complete(places, erasure.id, now=now())
    for line in (erasure.certificate or {}).get("not_done", []):
        typer.secho(f"not done: {line}", fg="yellow", err=True)
    removed = ", ".join(f"{count} of {table}" for table, count in erasure.counts.items() if count) or "none"
    typer.echo(f"{erasure.id} {erasure.state}; rows removed: {removed}")


@app.command("resume")
@told
def resume(
    erasure_id: Annotated[str, typer.Argument(help="As `subjects list` shows it")],
    unknown_jobs_are_gone: Annotated[
        bool,
        typer.Option("--unknown-jobs-are-gone", help="Vouch for files of jobs that no provider here knows"),
    ] = False,
) -> None:
    """Go on with an erasure that is not completed."""
    from gateway_tuning.erasure.complete import complete

    erasure = complete(_places(), erasure_id, now=now(), unknown_jobs_are_gone=unknown_jobs_are_gone)
    for line in (erasure.certificate or {}).get("not_done", []):
        typer.secho(f"not done: {line}", fg="yellow", err=True)
    typer.echo(f"{erasure.id} {erasure.state}")


@app.command("list")
@told
def list_erasures(
    *,
    tenant: Annotated[str | None, typer.Option(help="All when left out")] = None,
    as_json: AsJson = False,
) -> None:
    """List erasures, newest first. None of them names a person."""
    from gateway_tuning.erasure.store import ErasureStore

    rows = [
        [found.id, found.tenant, found.state, found.erased_at, found.completed_at, found.requested_by]
        for found in ErasureStore(open_store(read_settings())).all(tenant)
    ]
    show_table(["erasure", "tenant", "state", "erased", "completed", "requested by"], rows, as_json=as_json)


@app.command("certificate")
@told
def show_certificate(erasure_id: Annotated[str, typer.Argument(help="As `subjects list` shows it")]) -> None:
    """Print the certificate as JSON."""
    from gateway_tuning.erasure.store import ErasureState, ErasureStore
    from gateway_tuning.errors import ConflictError

    erasure = ErasureStore(open_store(read_settings())).get(erasure_id)
    if erasure.state is not ErasureState.COMPLETED:
        raise ConflictError(
            f"Erasure {erasure_id} is {erasure.state}; run `gateway-tuning subjects resume {erasure_id}` first"
        )
    typer.echo(json.dumps(erasure.certificate, indent=2, sort_keys=True))


@app.command("verify")
@told
def verify_certificate(
    file: Annotated[Path, typer.Argument(help="A certificate, as `subjects certificate` prints it")],
) -> None:
    """Check a certificate against the audit log and search again; end with code 1 where it does not hold."""
    from gateway_tuning.erasure.certificate import verify

    try:
        certificate = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputFileError(f"{file} is no certificate: {error}") from error
    if not isinstance(certificate, dict):
        raise InputFileError(f"{file} is no certificate: it holds no JSON object")
    places = _places()
    found = verify(places.engine, places.objects, certificate, vault_key=places.vault_key)
    if not found.holds:
        raise IntegrityError(f"The certificate {file} does not hold: {'; '.join(found.problems)}")
    typer.echo(
        f"The certificate of {certificate['erasure']} holds: in the audit log, and nothing was found again"
    )


def _places() -> "Places":
    from gateway_tuning.erasure.places import Places
    from gateway_tuning.storage.object_store import ObjectStore

    settings = read_settings()
    objects = ObjectStore.from_settings(settings)
    return Places.of(settings, open_store(settings), objects)
