"""Run by Alembic on the connection that `storage.database.upgrade` opened."""

from alembic import context

from gateway_tuning.storage.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,
    user_module_prefix="",
)
context.run_migrations()
