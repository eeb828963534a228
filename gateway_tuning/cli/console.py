"""What all commands share: how results and errors are told, and where settings come from."""

import getpass
import os
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ParamSpec, TypeVar

import typer

from gateway_tuning.errors import GatewayTuningError, InputFileError

if TYPE_CHECKING:
    import sqlalchemy as sa

    from gateway_tuning.settings import Settings

P = ParamSpec("P")
R = TypeVar("R")

Tenant = Annotated[str, typer.Option(help="Whose data")]
AsJson = Annotated[bool, typer.Option("--json", help="As JSON: all of it, what is unknown as null")]
Limit = Annotated[int, typer.Option(min=1, help="Newest so many")]

_BROKEN_PIPE = 141  # as a shell tells of a program that SIGPIPE ended
_SHORT = 12  # characters of a key in a table
_PIPED_COLUMNS = 2_000  # a line stays a line where no terminal must break it


@dataclass(frozen=True, slots=True)
class Shown:
    """A cell that stands in a table as `text`, and in JSON as `value`."""

    value: Any
    text: str | None


def short(key: str | None) -> Shown:
    """A key by its first characters; in JSON it stands in full."""
    return Shown(key, None if key is None else key[:_SHORT])


def actor() -> str:
    """Who gives the command, for the audit log."""
    return f"cli:{getpass.getuser()}"


def told(command: Callable[P, R]) -> Callable[P, R]:
    """Errors that have a remedy are told in a line and end with 1; anything else is a defect and keeps its trace."""

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except (typer.Exit, typer.Abort):
            raise
        except BrokenPipeError:
            # Whoever read the output has seen enough. What is still buffered goes nowhere.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(_BROKEN_PIPE) from None
        except Exception as error:
            from gateway_tuning.cli.failures import failure, suggestion

            line = str(error) if isinstance(error, GatewayTuningError) else failure(error)
            if line is None:
                raise
            typer.secho(line + suggestion(error, kwargs), fg="red", err=True)
            raise typer.Exit(1) from error

    return run


def read_settings() -> "Settings":
    from gateway_tuning.settings import Settings

    return Settings()


def open_store(settings: "Settings") -> "sa.Engine":
    from gateway_tuning.storage.database import open_database

    return open_database(settings.resolved_database_url)


def now() -> datetime:
    return datetime.now(UTC)


def show_table(columns: Sequence[str], rows: Iterable[Sequence[Any]], *, as_json: bool = False) -> None:
    """As JSON it is an array of objects, whose names are the columns' in snake case."""
    if as_json:
        names = [re.sub(r"\W+", "_", column.lower()).strip("_") for column in columns]
        put_json([dict(zip(names, map(_value, row), strict=True)) for row in rows])
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    is_piped = not sys.stdout.isatty() and "COLUMNS" not in os.environ
    table = Table(*columns, box=None, pad_edge=False, header_style="dim", show_header=any(columns))
    for row in rows:
        # As text: what stands in square brackets would be taken for markup.
        table.add_row(*(Text(_cell(value)) for value in row))
    Console(highlight=False, width=_PIPED_COLUMNS if is_piped else None).print(table)


def put_json(value: Any) -> None:
    """One line on standard output; times in ISO 8601, decimals as text."""
    import orjson

    options = orjson.OPT_NON_STR_KEYS | orjson.OPT_UTC_Z
    typer.echo(orjson.dumps(value, default=_plain, option=options).decode())


def _value(cell: Any) -> Any:
    return cell.value if isinstance(cell, Shown) else cell


def _plain(value: Any) -> Any:
    if isinstance(value, set | frozenset):
        return sorted(value)
    if hasattr(value, "model_dump"):  # pydantic's, without importing it
        return value.model_dump(mode="json")
    return str(value)


def _cell(value: Any) -> str:
    if isinstance(value, Shown):
        value = value.text
    if value is None:
        return "-"
    return f"{value:%Y-%m-%d %H:%M}" if isinstance(value, datetime) else str(value)


def put_file(path: Path, text: str) -> None:
    """A file appears whole or not at all."""
    part = path.with_name(f"{path.name}.part")
    try:
        part.write_text(text, encoding="utf-8")
        part.replace(path)
    except OSError as error:
        raise InputFileError(f"{path} cannot be written: {error.strerror}") from error
    finally:
        part.unlink(missing_ok=True)
