"""The metadata store and the object storage: reached, of this version, and they do what we rely on."""

import secrets
import time
from collections.abc import Iterator
from pathlib import Path

import sqlalchemy as sa

from gateway_tuning.doctor.finding import Finding, fault, not_configured, ok, warning
from gateway_tuning.errors import ConfigurationError, GatewayTuningError
from gateway_tuning.settings import Settings
from gateway_tuning.storage.database import connect_database, reading, schema_of
from gateway_tuning.storage.database_failures import answering
from gateway_tuning.storage.local_files import PARTIAL
from gateway_tuning.storage.object_store import ObjectStore

STORE, OBJECTS = "metadata store", "object storage"
_BUSY_SECONDS = 3.0


def check_store(settings: Settings) -> Finding:
    """Nothing is changed, and a store that is not there is not made."""
    url = sa.make_url(settings.resolved_database_url)
    shown = url.set(query={}).render_as_string(hide_password=True)
    if url.get_backend_name() == "sqlite" and not Path(url.database or "").is_file():
        return not_configured(
            STORE,
            f"there is no {shown} yet",
            "The first command that needs it makes it, as `gateway-tuning store upgrade`",
        )
    try:
        engine = connect_database(settings.resolved_database_url, busy_seconds=_BUSY_SECONDS)
        with answering(engine):
            schema = schema_of(engine)
    except ConfigurationError as error:  # of a later version
        return fault(STORE, str(error), "Install the version of the project that the store is of")
    except (GatewayTuningError, sa.exc.SQLAlchemyError, ImportError) as error:
        return fault(
            STORE,
            _line(error),
            "Start the database, or correct GATEWAY_TUNING_DATABASE_URL; `gateway-tuning store upgrade` makes the "
            "tables of a new one",
        )
    if schema.current != schema.newest:
        return fault(
            STORE,
            f"{shown} has schema {schema.current or 'none'}, and this version needs {schema.newest}",
            "Make a backup, then `gateway-tuning store upgrade`",
        )
    return ok(STORE, f"{shown} answers, schema {schema.current}")


def check_objects(settings: Settings) -> Iterator[Finding]:
    """Writes an object, reads it, and removes it again."""
    try:
        objects = ObjectStore.from_settings(settings)
        key = f"{secrets.token_hex(8)}{PARTIAL}"  # swept with what was broken off, were it ever left
        digest = objects.write(key, b"written by gateway-tuning doctor")
        try:
            objects.read(key, sha256=digest)
        finally:
            objects.delete(key)
        is_conditional = objects.honours_conditions
    except (GatewayTuningError, OSError, ImportError, ValueError) as error:
        yield fault(
            OBJECTS,
            f"{settings.resolved_object_storage_url}: {_line(error)}",
            "Start the storage, or correct GATEWAY_TUNING_OBJECT_STORAGE_URL and the settings of S3; "
            "`gateway-tuning store make-bucket` makes a bucket that is missing",
        )
        return
    yield ok(OBJECTS, f"{objects.url} is written, read and deleted")
    if is_conditional:
        yield ok("conditional writes", "the storage itself refuses a second writer")
    else:
        yield warning(
            "conditional writes",
            "the storage ignores conditions: of two writers at one moment both may be told that theirs stands",
            "Nothing is lost by it, for the metadata store decides; an S3 server with `If-None-Match` says so itself",
        )


def check_clock(settings: Settings) -> Finding:
    """Against the database server; an SQLite file is of this machine."""
    check = "clock"
    if not settings.resolved_database_url.startswith("postgresql"):
        return not_configured(
            check, "the store is on this machine, so there is no other clock to compare with"
        )
    try:
        engine = connect_database(settings.resolved_database_url, busy_seconds=_BUSY_SECONDS)
        with answering(engine), reading(engine) as connection:
            ahead = connection.execute(
                sa.text("SELECT EXTRACT(EPOCH FROM clock_timestamp()) - :mine"), {"mine": time.time()}
            ).scalar_one()
    except (GatewayTuningError, sa.exc.SQLAlchemyError, ImportError) as error:
        return fault(check, f"the database's clock could not be read: {_line(error)}", "Start the database")
    return skew(check, float(ahead), "the database server")


def skew(check: str, seconds: float, of_whom: str) -> Finding:
    told = f"{of_whom}'s clock is {abs(seconds):.1f} s {'ahead of' if seconds > 0 else 'behind'} this one"
    remedy = "Let both machines take their time from NTP; tokens, leases and looks of a canary hang on it"
    if abs(seconds) > 60:  # noqa: PLR2004 - a minute: tokens are refused, leases taken over
        return fault(check, told, remedy)
    return warning(check, told, remedy) if abs(seconds) > 5 else ok(check, told)  # noqa: PLR2004 - seconds


def _line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__
