"""`gateway-tuning store`: the places that everything else needs, and which version they are of."""

import typer

from gateway_tuning.cli.console import AsJson, put_json, read_settings, told

app = typer.Typer(
    no_args_is_help=True, help="The metadata store's schema and the bucket of the object storage."
)


@app.command()
@told
def show(*, as_json: AsJson = False) -> None:
    """Say where the stores are and which schema the metadata store has; nothing is changed."""
    from gateway_tuning.storage.database import connect_database, schema_of
    from gateway_tuning.storage.database_failures import answering
    from gateway_tuning.storage.layout import LAYOUT_VERSION

    settings = read_settings()
    engine = connect_database(settings.resolved_database_url)
    with answering(engine):
        schema = schema_of(engine)
    if as_json:
        put_json(
            {
                "metadata_store": engine.url.set(query={}).render_as_string(),
                "schema": schema.current,
                "newest_schema": schema.newest,
                "object_storage": settings.resolved_object_storage_url,
                "layout": LAYOUT_VERSION,
            }
        )
        return
    current = schema.current or "none"
    state = (
        "up to date" if schema.current == schema.newest else f"`store upgrade` brings it to {schema.newest}"
    )
    typer.echo(f"Metadata store: {engine.url.set(query={}).render_as_string()}, schema {current}: {state}")
    typer.echo(f"Object storage: {settings.resolved_object_storage_url}, layout {LAYOUT_VERSION}")


@app.command()
@told
def upgrade() -> None:
    """Bring the metadata store to the schema of this version, all of it or nothing. Make a backup before."""
    from gateway_tuning.storage.database import new_database, schema_of
    from gateway_tuning.storage.database import upgrade as migrate
    from gateway_tuning.storage.database_failures import answering

    url = read_settings().resolved_database_url
    engine = new_database(url)
    with answering(engine):
        before = schema_of(engine)
        migrate(engine)
    found = before.current or "none"
    typer.echo(
        f"The store has schema {found} already"
        if found == before.newest
        else f"Schema {found} is {before.newest} now"
    )


@app.command("make-bucket")
@told
def make_bucket() -> None:
    """Make the bucket of the object storage where there is none, for servers of your own; a file:// root needs none."""
    from gateway_tuning.storage.object_store import ObjectStore

    objects = ObjectStore.from_settings(read_settings())
    typer.echo(f"{objects.url}: {'made' if objects.make_root() else 'was there'}")
