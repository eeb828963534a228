"""`gateway-tuning` in no time: each command is a copy of a process that has loaded the program.

`python -m tests.docs.program SOCKET` waits for commands; `install` writes a program that sends its own there. It is the
real command line in a process of its own, with the folder, environment, input and output of the shell that calls it.
"""

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

ROOT = Path(__file__).parents[2]
_LOADED = (
    *("gateway_tuning.cli", "gateway_tuning.storage.database", "gateway_tuning.storage.tables"),
    *(
        "gateway_tuning.storage.object_store",
        "gateway_tuning.registry.store",
        "gateway_tuning.datasets.catalog",
    ),
    *("rich.console", "rich.table", "pydantic_settings", "alembic.command"),
)
_CLIENT = """#!{python} -ISE
import array, json, os, socket, sys
line = socket.socket(socket.AF_UNIX)
line.connect({address!r})
call = json.dumps({{"arguments": sys.argv[1:], "folder": os.getcwd(), "environment": dict(os.environ)}}).encode()
socket.send_fds(line, [len(call).to_bytes(4, "big")], [0, 1, 2])
line.sendall(call)
sys.exit(int.from_bytes(line.recv(1), "big"))
"""


@contextmanager
def loaded(folder: Path) -> Iterator[Path]:
    """A folder with `gateway-tuning` in it, for a PATH, while the process behind it runs."""
    address, programs = folder / "program.socket", folder / "bin"
    programs.mkdir()
    client = programs / "gateway-tuning"
    client.write_text(_CLIENT.format(python=sys.executable, address=str(address)))
    client.chmod(0o755)
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.docs.program", str(address)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    try:
        yield programs
    finally:
        process.terminate()
        process.communicate(timeout=30)


def serve(address: str) -> None:
    for name in _LOADED:
        import_module(name)
    assert threading.active_count() == 1, "a copy has the thread alone that made it"
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(address)
        door.listen()
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        while True:
            line, _ = door.accept()
            with line:
                _answer(line)


def _answer(line: socket.socket) -> None:
    size, descriptors, _, _ = socket.recv_fds(line, 4, 3)
    call = b""
    while len(call) < int.from_bytes(size, "big"):
        call += line.recv(65536)
    pid = os.fork()
    if not pid:
        _become(json.loads(call), descriptors)
    for descriptor in descriptors:
        os.close(descriptor)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    line.sendall(bytes([status if status >= 0 else 128 - status]))


def _become(call: dict, descriptors: list[int]) -> None:
    for number, descriptor in enumerate(descriptors):
        os.dup2(descriptor, number)
    os.chdir(call["folder"])
    os.environ.clear()
    os.environ.update(call["environment"])
    sys.argv = ["gateway-tuning", *call["arguments"]]
    status = 1
    try:
        import_module("gateway_tuning.cli").app()
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(bool(end.code))
    finally:
        sys.stdout.flush()
        os._exit(status)


if __name__ == "__main__":
    serve(sys.argv[1])
