"""What a command that failed says: the object, the remedy, and what may have been meant."""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any

import sqlalchemy as sa

from gateway_tuning.cli.console import read_settings
from gateway_tuning.errors import GatewayTuningError, NotFoundError
from gateway_tuning.storage import tables
from gateway_tuning.storage.database import connect_database, reading

_MEANT = 3  # ids that are told at most
_LOOKED_AT = 2_000  # ids that a wrong one is compared with
_COMPLETED = 50  # ids that a shell is given at most
_BEGINNING = 4  # characters by which ids are looked for first

_VERSION = (tables.model_versions.c.id,)
_DATASET = (tables.datasets.c.id,)
_MODEL = (tables.models.c.name,)
_JOB = (tables.tuning_jobs.c.key,)
# What the arguments of commands name.
_IDS: dict[str, tuple[sa.Column[Any], ...]] = {
    "after": _DATASET,
    "approval_id": (tables.approvals.c.id,),
    "before": _DATASET,
    "canary_id": (tables.canaries.c.id,),
    "candidate": _VERSION,
    "cycle_id": (tables.cycles.c.id,),
    "dataset": _DATASET,
    "dataset_id": _DATASET,
    "erasure_id": (tables.erasures.c.id,),
    "evaluation_id": (tables.evaluations.c.id,),
    "feedback_id": (tables.feedback.c.id, tables.quarantine.c.feedback_id),
    "fingerprint": (tables.quarantine.c.fingerprint,),
    "fingerprints": (tables.quarantine.c.fingerprint,),
    "key": _JOB,
    "key_id": (tables.api_keys.c.id, tables.gateway_keys.c.id),
    "model": (*_MODEL, *_VERSION),
    "name": _MODEL,
    "report_id": (tables.drift_reports.c.id,),
    "run_id": (tables.runs.c.id,),
    "search": (tables.searches.c.id,),
    "shadow_id": (tables.shadows.c.id,),
    "version_id": _VERSION,
}


def failure(error: Exception) -> str | None:
    """In a line, for what others raise where we know the remedy; None for a defect."""
    if isinstance(error, sa.exc.OperationalError | sa.exc.InterfaceError | sa.exc.TimeoutError):
        reason = str(getattr(error, "orig", None) or error).strip().partition("\n")[0]
        return (
            f"The metadata store did not do what was asked ({reason}); `gateway-tuning doctor` says where it is "
            "looked for and what is wrong"
        )
    return None


def suggestion(error: Exception, arguments: Mapping[str, Any]) -> str:
    """Ids like the one that is not there, as a question; empty where there is none like it."""
    if not isinstance(error, NotFoundError):
        return ""
    words = ((name, value if isinstance(value, list) else [value]) for name, value in arguments.items())
    for name, given in ((name, one) for name, ones in words if name in _IDS for one in ones):
        if isinstance(given, str) and given in str(error):
            meant = close(given, _known(given, _IDS[name]))
            if meant:
                return f". Did you mean {' or '.join(meant)}?"
    return ""


def close(given: str, known: Iterable[str]) -> list[str]:
    """Those that begin with what was given first, then those that are written much like it."""
    ids = sorted(set(known) - {given})
    begin = [one for one in ids if given and one.startswith(given)]
    alike = [one for one in get_close_matches(given, ids, n=_MEANT) if one not in begin]
    return [*begin, *alike][:_MEANT]


def beginning(given: str, argument: str) -> list[str]:
    """Ids that an argument may have and that begin so; none where the store does not answer at once."""
    found = {one for one in _known(given, _IDS[argument]) if one.startswith(given)}
    return sorted(found)[:_COMPLETED]


def _known(given: str, columns: Iterable[sa.Column[Any]]) -> list[str]:
    try:
        engine = connect_database(read_settings().resolved_database_url, busy_seconds=1)
        with reading(engine) as connection:
            found: list[str] = []
            for column in columns:
                ids = sa.select(column).where(column.is_not(None)).distinct().limit(_LOOKED_AT)
                alike = ids.where(column.startswith(given[:_BEGINNING], autoescape=True))
                found += [*connection.execute(alike).scalars(), *connection.execute(ids).scalars()]
            return found
    except (GatewayTuningError, sa.exc.SQLAlchemyError):
        return []  # the error that is told says enough; this would only have helped
