"""One configuration of logs for every process: lines for people or JSON, with the ids of what is worked on.

Whatever an error of a library says stays out, for it may quote a user: its type and where it was raised are told. Our
own errors name objects and remedies, and are told whole.
"""

import json
import logging
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from copy import copy
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from gateway_tuning.errors import GatewayTuningError

Ids = Mapping[str, str]
Format = Literal["text", "json"]

OURS = "gateway_tuning"
_FRAMES = 12
_BOUND: ContextVar[Ids] = ContextVar("bound_ids", default={})  # noqa: B039 - it is replaced, never changed


@contextmanager
def bound(**ids: str | None) -> Iterator[None]:
    """Inside, every line carries these ids, such as `cycle`, `job`, `canary` or `request`; None is left out."""
    token = _BOUND.set({**_BOUND.get(), **{name: id_ for name, id_ in ids.items() if id_ is not None}})
    try:
        yield
    finally:
        _BOUND.reset(token)


def configure(level: str = "info", format_: Format = "text") -> None:
    """Log to standard error: what is ours from `level` on, and of libraries what is a warning at least.

    Libraries stay there whatever the level: at a lower one, clients of HTTP tell addresses with their secrets.
    Calling it again replaces what it did.
    """
    root = logging.getLogger()
    for handler in list(root.handlers):
        if isinstance(handler.formatter, PlainFormatter):
            root.removeHandler(handler)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter(format_))
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    logging.getLogger(OURS).setLevel(level.upper())


def join(level: str, format_: Format, handlers: Iterable[logging.Handler], also: Callable[[], Ids]) -> None:
    """Where another framework has set up handlers: let them tell no more of errors than our own would.

    Args:
        level: as for `configure`.
        format_: `json` for those that write to a console; `text` leaves the framework's own lines.
        handlers: the framework's.
        also: ids that the framework knows of, asked at each line.
    """
    logging.getLogger(OURS).setLevel(level.upper())
    for handler in handlers:
        if format_ == "json" and isinstance(handler, logging.StreamHandler):
            handler.setFormatter(JsonFormatter(also))
        elif not isinstance(handler.formatter, DiscreetFormatter):
            handler.setFormatter(DiscreetFormatter(handler.formatter or logging.Formatter()))


def formatter(format_: Format) -> "PlainFormatter":
    return JsonFormatter() if format_ == "json" else PlainFormatter()


class PlainFormatter(logging.Formatter):
    """`2026-11-01T12:00:00.000Z INFO gateway_tuning.cycle dataset: started [cycle=...]`."""

    def __init__(self, also: Callable[[], Ids] | None = None) -> None:
        super().__init__()
        self._also = also

    def format(self, record: logging.LogRecord) -> str:
        ids = " ".join(f"{name}={id_}" for name, id_ in self.ids().items())
        line = f"{_at(record)} {record.levelname} {record.name} {message_of(record)}"
        return f"{line}{_told(_fault(record))}{f' [{ids}]' if ids else ''}"

    def ids(self) -> Ids:
        return {**(self._also() if self._also is not None else {}), **_BOUND.get()}


class JsonFormatter(PlainFormatter):
    """An object a line: `at`, `level`, `logger`, `message`, the ids, `error`; `fields` of a record stand beside them."""

    def format(self, record: logging.LogRecord) -> str:
        fields: Mapping[str, Any] | None = getattr(record, "fields", None)
        line: dict[str, Any] = {
            "at": _at(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": message_of(record) if fields is None else record.name.rpartition(".")[2],
            **self.ids(),
            **(fields or {}),
        }
        if (fault := _fault(record)) is not None:
            line["error"] = fault
        return json.dumps(line, ensure_ascii=False, default=str)


class DiscreetFormatter(logging.Formatter):
    """Another formatter's lines, without what errors of libraries say."""

    def __init__(self, inner: logging.Formatter) -> None:
        super().__init__()
        self._inner = inner

    def format(self, record: logging.LogRecord) -> str:
        discreet = copy(record)
        discreet.msg, discreet.args = message_of(record), ()
        discreet.exc_info = discreet.exc_text = None
        return self._inner.format(discreet) + _told(_fault(record))


def message_of(record: logging.LogRecord) -> str:
    """With the bare names of errors that may quote somebody, where a line tells of one."""
    arguments = record.args
    if isinstance(arguments, tuple) and any(isinstance(one, BaseException) for one in arguments):
        try:
            return str(record.msg) % tuple(_quotable(one) for one in arguments)
        except (TypeError, ValueError):
            return str(record.msg)
    if isinstance(record.msg, BaseException):
        return str(_quotable(record.msg))
    return record.getMessage()


def _quotable(argument: object) -> object:
    if isinstance(argument, BaseException) and not isinstance(argument, GatewayTuningError):
        return _typed(argument)
    return argument


def _typed(error: BaseException) -> str:
    """Of the system's own errors with what the system calls them, which quotes no content."""
    told = f" ({error.strerror})" if isinstance(error, OSError) and error.strerror else ""
    return f"{type(error).__name__}{told}"


def _fault(record: logging.LogRecord) -> dict[str, Any] | None:
    error = record.exc_info[1] if record.exc_info else None
    if error is None:
        return None
    fault: dict[str, Any] = {"type": _typed(error), "frames": _frames(error)}
    if isinstance(error, GatewayTuningError):
        fault["message"] = str(error)
    causes: list[str] = []
    cause = error.__cause__ or error.__context__
    while cause is not None and len(causes) < _FRAMES:
        causes.append(_typed(cause))
        cause = cause.__cause__ or cause.__context__
    return {**fault, "causes": causes} if causes else fault


def _frames(error: BaseException) -> list[str]:
    """The innermost first."""
    found = [
        f"{Path(frame.filename).stem}.{frame.name}:{frame.lineno}"
        for frame in traceback.extract_tb(error.__traceback__)
    ]
    return found[: -_FRAMES - 1 : -1]


def _told(fault: Mapping[str, Any] | None) -> str:
    if fault is None:
        return ""
    said = f" ({fault['message']})" if "message" in fault else ""
    at = f" at {' < '.join(fault['frames'])}" if fault["frames"] else ""
    return f": {fault['type']}{said}{at}"


def _at(record: logging.LogRecord) -> str:
    return (
        datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    )
