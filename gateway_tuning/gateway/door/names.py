"""Other names for models: what a client may ask for instead of the name in the registry."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from gateway_tuning.access.audit import AuditEvent, AuditLog
from gateway_tuning.errors import ConfigurationError, ConflictError, NotFoundError
from gateway_tuning.storage.database import first_insert_wins, reading
from gateway_tuning.storage.tables import aliases, model_names
from gateway_tuning.storage.tables import models as models_table

UNCLAIMED = "default"  # whose model it is where the store does not say
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@-]{0,99}")
_LIST_MODELS = "`gateway-tuning models list` shows those there are"


@dataclass(frozen=True, slots=True)
class ModelName:
    name: str
    model: str
    created_by: str
    created_at: datetime


class ModelNameStore:
    """Sets and removes names, each with its audit entry in the same transaction."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._audit = AuditLog(engine)

    def set(self, name: str, model: str, *, by: str, now: datetime) -> ModelName:
        """A name that stood for another model stands for this one now.

        Raises ConfigurationError, NotFoundError for a model that is not there, ConflictError for the name of a model.
        """
        if not _NAME.fullmatch(name):
            raise ConfigurationError(
                f"{name[:100]!r} is no model name: use 1 to 100 letters, digits and . _ : / @ -"
            )
        row = {"name": name, "model": model, "created_by": by, "created_at": now}
        with self._engine.begin() as connection:
            owners = known_models(connection)
            if name in owners:
                raise ConflictError(f"{name!r} is a model of the registry itself; choose another name")
            if model not in owners:
                raise NotFoundError(f"No model {model[:100]!r}; {_LIST_MODELS}")
            with first_insert_wins(connection):
                connection.execute(model_names.insert().values(row))
            connection.execute(model_names.update().where(model_names.c.name == name).values(row))
            event = AuditEvent(owners[model], by, "model-name.set", name, detail={"model": model})
            self._audit.append_in(connection, event, now=now)
        return ModelName(name, model, by, now)

    def remove(self, name: str, *, by: str, now: datetime) -> ModelName:
        """Raises NotFoundError."""
        this = model_names.c.name == name
        with self._engine.begin() as connection:
            row = connection.execute(sa.select(model_names).where(this)).one_or_none()
            if row is None:
                raise NotFoundError(
                    f"No model name {name[:100]!r}; `gateway-tuning gateway names list` shows all"
                )
            connection.execute(model_names.delete().where(this))
            tenant = known_models(connection).get(row.model, UNCLAIMED)
            event = AuditEvent(tenant, by, "model-name.remove", name, detail={"model": row.model})
            self._audit.append_in(connection, event, now=now)
        return ModelName(row.name, row.model, row.created_by, row.created_at)

    def all(self) -> list[ModelName]:
        query = sa.select(model_names).order_by(model_names.c.name)
        with reading(self._engine) as connection:
            return [
                ModelName(row.name, row.model, row.created_by, row.created_at)
                for row in connection.execute(query)
            ]


def known_models(connection: sa.Connection) -> dict[str, str]:
    """Tenant by model, of those that are claimed or served."""
    owners = dict.fromkeys(connection.scalars(sa.select(aliases.c.model).distinct()), UNCLAIMED)
    claimed = connection.execute(sa.select(models_table.c.name, models_table.c.tenant)).tuples()
    return {**owners, **dict(claimed.all())}


def require_models(connection: sa.Connection, wanted: Iterable[str], *, tenant: str) -> None:
    """Raises NotFoundError."""
    owners = known_models(connection)
    missing = sorted(model for model in wanted if owners.get(model) != tenant)
    if missing:
        raise NotFoundError(f"The tenant {tenant} has no model {', '.join(missing)}; {_LIST_MODELS}")
