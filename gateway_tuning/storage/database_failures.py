"""What a metadata store raises that is locked, gone or not reached, as an error of this project."""

from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa

from gateway_tuning.errors import StoreBusyError


@contextmanager
def answering(engine: sa.Engine) -> Iterator[None]:
    """Raises StoreBusyError, which names the store without its password, when it does not do what is asked inside."""
    try:
        yield
    except (sa.exc.OperationalError, sa.exc.InterfaceError, sa.exc.TimeoutError) as error:
        # SQLAlchemy's own text quotes the statement and its values; the driver's names neither.
        reason = str(getattr(error, "orig", None) or error).strip().partition("\n")[0]
        store = engine.url.set(query={}).render_as_string(hide_password=True)
        raise StoreBusyError(
            f"The metadata store {store} did not answer ({reason}); see that it runs and nobody holds it locked, "
            "then run again"
        ) from error
