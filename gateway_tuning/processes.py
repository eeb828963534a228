"""Child processes that never outlive the process that needs them.

The child holds the read end of a pipe whose write end only the parent has. When the parent ends, however it
ends, the kernel closes the pipe and the child reads end-of-file. This needs no signal, no polling of process
ids and works for grandchildren started from threads, where Linux's parent-death signal does not.
"""

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path


def spawn(
    module: str, args: list[str], *, log: Path, env: Mapping[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """Start `python -m module args` with its output in `log`; it should call `when_parent_ends`."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        return subprocess.Popen(
            [sys.executable, "-m", module, *args],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            env={**os.environ, **(env or {})},
            start_new_session=True,  # Ctrl-C goes to the parent, which ends its children in order
        )


def when_parent_ends(action: Callable[[], None]) -> None:
    """Run `action` in a thread once standard input closes. Call it in a child made by `spawn`."""

    def watch() -> None:
        while os.read(0, 4096):
            continue
        action()

    threading.Thread(target=watch, name="parent-watch", daemon=True).start()


def stop(process: subprocess.Popen[bytes], *, grace_s: float = 5.0) -> None:
    """Ask, wait, then kill. Safe on a process that has ended."""
    if process.stdin is not None:
        process.stdin.close()
    process.terminate()
    try:
        process.wait(grace_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def free_port() -> int:
    """A loopback port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
