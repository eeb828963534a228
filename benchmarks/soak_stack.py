"""The processes of a soak and their supervisor: what dies is started again, and how long that took is kept."""

import json
import os
import signal
import subprocess
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).parents[1]
MARK = "SOAK_FOLDER"  # in the environment of every process of a run, to find them all at its end
START_SECONDS = 240.0
SAMPLE_SECONDS = 2.0
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True, slots=True)
class Part:
    """`healthy` may raise OSError or ValueError for no. `since` is the Unix time of the process's start."""

    name: str
    command: Sequence[str]
    healthy: Callable[[float], bool]
    account: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Life:
    """Of one process. Times are seconds since the soak began."""

    part: str
    pid: int
    started: float
    healthy: float | None = None
    ended: float | None = None
    code: int | None = None
    wanted: bool = False  # ended by the soak itself


@dataclass(frozen=True, slots=True)
class Sample:
    """MiB resident: of the process itself, and with all below it."""

    at: float
    own: float
    tree: float


class Stack:
    """Started in order, each healthy before the next; stopped the other way round."""

    def __init__(self, parts: Sequence[Part], environment: Mapping[str, str], folder: Path) -> None:
        self.lives: list[Life] = []
        self.samples: dict[str, list[Sample]] = {part.name: [] for part in parts}
        self._parts = {part.name: part for part in parts}
        self._mark = str(folder)
        self._environment = {**environment, MARK: self._mark}
        self._folder = folder
        self._running: dict[str, tuple[subprocess.Popen[bytes], Life]] = {}
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._began = time.monotonic()
        self._threads: list[threading.Thread] = []

    @property
    def clock(self) -> float:
        return time.monotonic() - self._began

    def start(self, name: str) -> Life:
        """Start a part and wait until it is healthy. Raises TimeoutError with the end of its log."""
        life = self._spawn(name)
        self._await_health(life)
        if life.healthy is None:
            raise TimeoutError(f"{name} did not get healthy:\n{self.log(name)[-3000:]}")
        return life

    def watch(self) -> None:
        """From now on what ends is started again, and memory is sampled."""
        for work in (self._supervise, self._sample):
            self._threads.append(threading.Thread(target=work, daemon=True, name=work.__name__))
            self._threads[-1].start()

    def kill(self, name: str) -> Life:
        """Kill -9, as the kernel would when memory is out; the life that ended."""
        process, life = self._running[name]
        process.send_signal(signal.SIGKILL)
        return life

    def pause(self, name: str, seconds: float) -> None:
        """It answers nobody meanwhile, as behind a broken network."""
        process, _ = self._running[name]
        process.send_signal(signal.SIGSTOP)
        self._stopping.wait(seconds)
        process.send_signal(signal.SIGCONT)

    @contextmanager
    def without(self, name: str) -> Iterator[None]:
        """The part is away for the length of the block, and is not started again before its end."""
        part = self._parts[name]
        process, life = self._running[name]
        with self._lock:
            del self._running[name]
        life.wanted = True
        process.send_signal(signal.SIGKILL)
        life.code, life.ended = process.wait(), self.clock
        yield
        self.start(part.name)

    def back(self, name: str, before: Life, seconds: float = START_SECONDS) -> Life:
        """The part's next life after that one, once it is healthy. Raises TimeoutError."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            _, life = self._running[name]
            if life is not before and life.healthy is not None:
                return life
            time.sleep(0.1)
        raise TimeoutError(f"{name} did not come back within {seconds:.0f} s:\n{self.log(name)[-3000:]}")

    def pid(self, name: str) -> int:
        return self._running[name][0].pid

    def log(self, name: str) -> str:
        path = self._log(name)
        return path.read_text(errors="replace") if path.exists() else ""

    def stop(self) -> None:
        """Every process of this run, also those whose parent was killed."""
        self._stopping.set()
        for thread in self._threads:
            thread.join(10)
        for process, life in reversed(list(self._running.values())):
            life.wanted = True
            process.send_signal(signal.SIGTERM if life.part != "postgresql" else signal.SIGINT)
        for process, life in reversed(list(self._running.values())):
            try:
                life.code = process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                life.code = process.wait()
            life.ended = self.clock
        for left in self.left_over():
            with suppress(psutil.Error):
                left.kill()

    def left_over(self) -> list[psutil.Process]:
        """Processes of this run that are no part: those below one, and those whose parent was killed."""
        known = {process.pid for process, _ in self._running.values()}
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if process.environ().get(MARK) == self._mark and process.pid not in known:
                    found.append(process)
        return [process for process in found if process.pid != os.getpid()]

    def _log(self, name: str) -> Path:
        return self._folder / "logs" / f"{name}.log"

    def _spawn(self, name: str) -> Life:
        part = self._parts[name]
        log = self._log(name)
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            process = subprocess.Popen(
                list(part.command),
                cwd=part.account.get("cwd", ROOT),
                env={**self._environment, **part.environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                **{key: value for key, value in part.account.items() if key != "cwd"},
            )
        life = Life(name, process.pid, self.clock)
        self.lives.append(life)
        with self._lock:
            self._running[name] = (process, life)
        return life

    def _await_health(self, life: Life) -> None:
        part, since = self._parts[life.part], time.time()
        process, _ = self._running[life.part]
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and not self._stopping.is_set():
            if process.poll() is not None:
                return
            try:
                if part.healthy(since):
                    life.healthy = self.clock
                    return
            except (OSError, ValueError, KeyError):
                pass
            time.sleep(0.1)

    def _supervise(self) -> None:
        waiting: dict[str, threading.Thread] = {}
        while not self._stopping.wait(0.1):
            with self._lock:
                running = list(self._running.items())
            for name, (process, life) in running:
                if process.poll() is None or (name in waiting and waiting[name].is_alive()):
                    continue
                with self._lock:
                    if self._running.get(name, (None,))[0] is not process:  # taken away on purpose meanwhile
                        continue
                life.ended, life.code = self.clock, process.returncode
                waiting[name] = threading.Thread(target=self._again, args=(name,), daemon=True)
                waiting[name].start()

    def _again(self, name: str) -> None:
        """As a container runtime does: at once, then after longer and longer waits."""
        for wait in (0.2, 0.5, 1, 2, 5, 10, 20):
            if self._stopping.wait(wait):
                return
            life = self._spawn(name)
            self._await_health(life)
            if life.healthy is not None:
                return
            process, _ = self._running[name]
            if process.poll() is None:  # unhealthy, and no longer waited for
                process.kill()
                process.wait()
            life.ended, life.code = self.clock, process.returncode

    def _sample(self) -> None:
        while not self._stopping.wait(SAMPLE_SECONDS):
            with self._lock:
                running = list(self._running.items())
            for name, (process, _) in running:
                with suppress(psutil.Error):
                    seen = psutil.Process(process.pid)
                    own = seen.memory_info().rss
                    below = 0
                    for child in seen.children(recursive=True):
                        with suppress(psutil.Error):
                            below += child.memory_info().rss
                    self.samples[name].append(Sample(self.clock, own / 2**20, (own + below) / 2**20))


def call(url: str, body: object = None, *, key: str | None = None, method: str | None = None) -> Any:
    """JSON in, JSON out. Raises OSError (HTTPError with the status) and ValueError."""
    headers = {"content-type": "application/json"} | (
        {} if key is None else {"authorization": f"Bearer {key}"}
    )
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, headers, method=method)  # noqa: S310 - our own loopback
    with _OPENER.open(request, timeout=20) as answer:
        text = answer.read()
    return json.loads(text) if text.strip() else None
