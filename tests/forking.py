"""Processes that begin with the program loaded: copies of one that imported it, and killed as any other.

Where a test starts a program a dozen times, the imports would be most of what it does.
"""

import json
import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

ROOT = Path(__file__).parents[1]


@contextmanager
def loaded(
    program: str, *, modules: Sequence[str] = (), environment: Mapping[str, str] | None = None
) -> Iterator["Loaded"]:
    """A process that has imported `modules` and `program`, a `module:function` that takes the arguments."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.forking", program, *modules],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    found = Loaded(process)
    try:
        yield found
    finally:
        found.kill()
        process.communicate(timeout=30)


@dataclass
class Loaded:
    """Runs one copy at a time."""

    process: subprocess.Popen[bytes]
    pid: int | None = None

    def start(self, arguments: Sequence[str], log: Path) -> None:
        """Start a copy that adds its output to `log`."""
        assert self.pid is None, "the copy before has not ended"
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps([list(arguments), str(log)]).encode() + b"\n")
        self.process.stdin.flush()
        self.pid = self._read()

    def poll(self) -> int | None:
        """How the copy ended, as `Popen.poll` has it; None while it runs."""
        if not select.select([self.process.stdout], [], [], 0)[0]:
            return None
        self.pid = None
        return self._read()

    def kill(self) -> None:
        """Kill -9, if it has not ended by itself."""
        if self.pid is not None and self.poll() is None:
            os.kill(self.pid, signal.SIGKILL)
            self.pid = None
            self._read()

    def _read(self) -> int:
        # Unbuffered, or `select` would not see what was read ahead.
        assert self.process.stdout is not None
        line = b""
        while not line.endswith(b"\n"):
            byte = os.read(self.process.stdout.fileno(), 1)
            assert byte, f"no answer: the process ended with {self.process.wait()}"
            line += byte
        return int(line)


def main(program: str, modules: Sequence[str]) -> None:
    for name in modules:
        import_module(name)
    module, _, function = program.partition(":")
    run = getattr(import_module(module), function)
    # A copy has the thread alone that made it, and what others held stays locked.
    assert threading.active_count() == 1, f"importing {modules} started threads: {threading.enumerate()}"
    while line := sys.stdin.readline():
        arguments, log = json.loads(line)
        pid = os.fork()
        if not pid:
            _redirect(log)
            sys.exit(run(arguments))
        _tell(pid)
        _tell(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))


def _tell(number: int) -> None:
    sys.stdout.write(f"{number}\n")
    sys.stdout.flush()


def _redirect(log: str) -> None:
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for number, target in ((nothing, 0), (output, 1), (output, 2)):
        os.dup2(number, target)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
