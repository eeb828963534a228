"""What the documentation says can be typed is typed, in the order of each page, in a home of its own."""

import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import time
import tomllib
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from tests.docs.blocks import ROOT, Block, blocks, pages, running

SHELL = ["bash", "-euo", "pipefail", "-c"]
# What a block exports is there in the next one.
IN_ONE_SHELL = "[ ! -e .exported ] || . ./.exported\n{}\nexport -p > .exported"
PORTS = {"serve-api": 8000, "serve-gateway": 8080}


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def is_slow(page: Path) -> bool:
    return any(block.is_slow for block in running(page))


RUNNING = [page for page in pages() if running(page)]
# What the reader of a page is to see at least, beside commands that end well.
TOLD = {
    "README.md": r"imported +\d{3}",
    "docs/start.md": r'"state":"stored".*\n?.*"hello"',
    "docs/how-to/map-an-export.md": r"imported +2\b",
    "docs/how-to/post-feedback.md": r'"state":"stored"',
}
QUICK = [page for page in RUNNING if not is_slow(page)]
SLOW = [page for page in RUNNING if is_slow(page)]


@pytest.fixture
def folder(tmp_path, filled_home):
    """Where the reader stands: the project's examples, and a home that was worked with."""
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    told = (ROOT / "examples" / "feedback.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    (tmp_path / "feedback.jsonl").write_text("".join(told[:20]), encoding="utf-8")
    shutil.copytree(filled_home.folder, tmp_path / "var")
    (tmp_path / "var" / "demo" / "runs").mkdir(parents=True)
    (tmp_path / "var" / "demo" / "runs" / "input").symlink_to(tmp_path / "var")
    return tmp_path


@pytest.fixture
def environment(programs):
    """No settings or keys of the machine that the tests run on."""
    kept = {name: os.environ[name] for name in ("LANG", "TMPDIR") if name in os.environ}
    path = f"{programs}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    (programs.parent / ".curlrc").write_text('fail-with-body\nsilent\nshow-error\nnoproxy = "*"\n')
    return kept | {"PATH": path, "COLUMNS": "200", "PYTHONPATH": str(ROOT), "HOME": str(programs.parent)}


def follow(page: Path, folder: Path, environment: dict[str, str], names: dict[str, str]) -> str:
    """Type every block of the page that runs, and give what was answered. The first that fails is told."""
    told, free = "", ports()
    with servers(folder, environment) as start:
        for block in running(page):
            code = translated(block, names, free)
            if "curl " in code and shutil.which("curl") is None:
                pytest.skip("curl is not installed here")
            if block.mark == ": serve":
                start(code, free)
                continue
            program = [*SHELL, IN_ONE_SHELL.format(code)] if block.is_shell else [sys.executable, "-c", code]
            done = subprocess.run(
                program, check=False, cwd=folder, env=environment, capture_output=True, text=True,
                timeout=300, stdin=subprocess.DEVNULL,
            )  # fmt: skip
            assert done.returncode == 0, f"{name_of(page)}:\n{code}\n{done.stdout}\n{done.stderr}"
            told += done.stdout
    return told


def translated(block: Block, names: dict[str, str], free: dict[int, int]) -> str:
    code = block.code
    for said, meant in names.items():
        code = code.replace(said, meant)
    for port, other in free.items():
        code = code.replace(f"127.0.0.1:{port}", f"127.0.0.1:{other}")
    return code


def ports() -> dict[int, int]:
    """The documented ports may be taken on this machine."""
    doors = {port: socket.create_server(("127.0.0.1", 0)) for port in PORTS.values()}
    free = {port: door.getsockname()[1] for port, door in doors.items()}
    for door in doors.values():
        door.close()
    return free


@contextmanager
def servers(folder: Path, environment: dict[str, str]):
    processes = []

    def start(code: str, free: dict[int, int]) -> None:
        for line in code.splitlines():
            command = line.partition("#")[0].split()
            assert command[:1] == ["gateway-tuning"], f"no server of ours: {line}"
            port = free[PORTS[command[1]]]
            with (folder / f"{command[1]}.log").open("w") as log:
                server = shlex.join(
                    [sys.executable, "-m", "gateway_tuning.cli", *command[1:], "--port", str(port)]
                )
                processes.append(
                    subprocess.Popen(
                        [*SHELL, f"[ ! -e .exported ] || . ./.exported\nexec {server}"],
                        cwd=folder, env=environment, stdout=log, stderr=log,
                    )
                )  # fmt: skip
            wait_for(port, processes[-1], folder / f"{command[1]}.log")

    try:
        yield start
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait(timeout=30)


def wait_for(port: int, process: subprocess.Popen, log: Path) -> None:
    for _ in range(600):
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=5).close()
        except (OSError, urllib.error.URLError):
            assert process.poll() is None, log.read_text()
            time.sleep(0.1)
        else:
            return
    raise AssertionError(log.read_text())


@pytest.mark.parametrize("page", QUICK, ids=name_of)
def test_what_a_page_says_can_be_typed_works(page, folder, environment, filled_home):
    follow(page, folder, environment, filled_home.names)


@pytest.mark.slow
@pytest.mark.parametrize("page", SLOW, ids=name_of)
def test_what_a_page_says_can_be_typed_works_where_it_takes_long(page, folder, environment, filled_home):
    told = follow(page, folder, environment, filled_home.names)

    assert re.search(TOLD.get(name_of(page), ""), told), told


def test_pages_that_run_are_found():
    assert {"README.md", "docs/start.md", "docs/how-to/datasets.md"} <= {name_of(page) for page in RUNNING}


@pytest.mark.parametrize("page", RUNNING, ids=name_of)
def test_no_mark_of_a_page_is_misspelt_or_stands_before_nothing(page):
    marks = re.findall(r"^<!-- run.*$", page.read_text(encoding="utf-8"), re.MULTILINE)

    assert len(marks) == len(running(page))


def test_a_command_that_fails_is_noticed(tmp_path, folder, environment):
    page = ROOT / "docs" / "none.md"
    wrong = [Block("", "gateway-tuning datasets show ds-none\n", "")]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tests.docs.test_blocks.running", lambda _page: wrong)
        with pytest.raises(AssertionError, match="ds-none"):
            follow(page, folder, environment, {})


PARSERS = {"json": json.loads, "toml": tomllib.loads, "yaml": yaml.safe_load}


@pytest.mark.parametrize("page", [page for page in pages() if blocks(page)], ids=name_of)
def test_every_block_of_data_can_be_read(page):
    for block in blocks(page):
        if block.language in PARSERS:
            PARSERS[block.language](block.code)
        if block.language == "python":
            compile(block.code, name_of(page), "exec")
