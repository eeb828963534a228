"""Progress of long work, on standard error and where somebody watches: a log or a pipe gets none of it."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Done = Callable[[float], None]  # how much is done by now, of the total


@contextmanager
def progress(what: str, *, total: float | None = None, prints: bool = False) -> Iterator[Done]:
    """A bar with the share done and the time left; a count and the time gone by where nobody knows the total.

    Nothing where the work `prints` to the terminal itself: one would write over the other.
    """
    if not sys.stderr.isatty() or (prints and sys.stdout.isatty()):
        yield lambda _done: None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        Progress,
        SpinnerColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    counted = (TextColumn("{task.completed:,.0f}"), TimeElapsedColumn())
    shared = (BarColumn(), TextColumn("{task.percentage:>3.0f} %"), TimeRemainingColumn())
    columns = (SpinnerColumn(), TextColumn("{task.description}"), *(counted if total is None else shared))
    # Else Rich would take what is printed to standard output for itself, and put it on standard error.
    with Progress(*columns, console=Console(stderr=True), transient=True, redirect_stdout=False) as bar:
        task = bar.add_task(what, total=total)
        yield lambda done: bar.update(task, completed=done)
