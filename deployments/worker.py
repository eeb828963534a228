"""`python -m deployments.worker POOL`: a Prefect worker that ends, with its runs, when its parent does.

How many runs there are at a time the pool says, not the worker: one with a limit of its own dies of a suspended run that
is resumed while its process still ends ("this borrower is already holding one of this CapacityLimiter's tokens").
"""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from gateway_tuning import processes

STOP_SECONDS = 10.0


@contextmanager
def worker(pool: str) -> Iterator[subprocess.Popen[bytes]]:
    """Start one in a process group of its own, which its runs belong to and which is ended as a whole."""
    command = [sys.executable, "-m", "deployments.worker", pool]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)
    try:
        yield process
    finally:
        _end_group(process)


def _end_group(process: subprocess.Popen[bytes]) -> None:
    """Runs are asked first, so that they can still tell Prefect."""
    for wanted in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, wanted)
        except ProcessLookupError:
            break
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            continue
    process.wait()


def main(pool: str) -> None:
    from prefect.workers.process import ProcessWorker

    processes.when_parent_ends(lambda: os.killpg(0, signal.SIGKILL))
    asyncio.run(ProcessWorker(work_pool_name=pool, name="serve-flows").start())


if __name__ == "__main__":
    main(sys.argv[1])
