"""kill -9 at every stage boundary and in mid-training; each next run goes on, and the last one finishes."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from deployments.demo import input_name
from gateway_tuning.storage.database import open_database, reading
from gateway_tuning.storage.tables import metadata
from tests.base_model import give_base_model
from tests.conftest import give_key
from tests.forking import Loaded, loaded

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

ROOT = Path(__file__).parents[2]
RECORDS = 210
STEPS = 10
TOKENS = 20  # of an answer: most of its time
# What a whole run imports; with the rest it would be done anew for each kill.
IMPORTED = ("flows.run_demo", "spacy", "great_expectations", "evidently.presets")


class Demo:
    """`gateway-tuning demo` on a shorter sample, as a process of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.feedback = folder / "feedback.jsonl"
        lines = (ROOT / "examples" / "feedback.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
        self.feedback.write_text("".join(lines[:RECORDS]), encoding="utf-8")
        self.home = folder / "demo" / "runs" / input_name(self.feedback, None)
        self.home.mkdir(parents=True)
        give_base_model(self.home / "cache")
        # With a key of its own, so short a sample may put too few prompts into the test split.
        engine = open_database(f"sqlite:///{self.home / 'gateway-tuning.db'}")
        give_key(engine)
        engine.dispose()

    def steps(self) -> int:
        """Training steps done so far, over all attempts."""
        logs = list((self.folder / "demo").glob("runs/*/jobs/*/progress.jsonl"))
        events = [json.loads(line) for log in logs for line in log.read_text().splitlines()]
        return max((event.get("step", 0) for event in events), default=0)

    @property
    def arguments(self) -> list[str]:
        return [
            str(self.feedback), "--folder", str(self.folder / "demo"),
            "--max-steps", str(STEPS), "--max-tokens", str(TOKENS),
        ]  # fmt: skip

    def run_until(self, moment: Callable[[str], bool], program: Loaded) -> str:
        """Run until `moment(output)`, and kill; returns the output."""
        log = self.folder / "output.log"
        log.write_bytes(b"")
        program.start(self.arguments, log)
        while not moment(log.read_text(encoding="utf-8")):
            ended = program.poll()
            text = log.read_text(encoding="utf-8")
            assert ended is None, f"the run ended before it could be killed:\n{text[-3000:]}"
            time.sleep(0.02)
        program.kill()
        return log.read_text(encoding="utf-8")

    def run(self) -> str:
        """Run to the end, as a person would; returns the output."""
        command = [sys.executable, "-m", "gateway_tuning.cli", "demo", *self.arguments]
        done = subprocess.run(
            command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
        )
        assert done.returncode == 0, done.stdout[-3000:]
        return done.stdout


@pytest.fixture
def prefect_server(tmp_path) -> Iterator[str]:
    """One server for all attempts: starting it anew each time would only make the test longer."""
    code = (
        "import sys, pathlib\n"
        "from deployments.embedded_server import embedded_server\n"
        "with embedded_server(pathlib.Path(sys.argv[1])) as url:\n"
        "    print(url, flush=True)\n"
        "    sys.stdin.read()\n"
    )
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PREFECT")}
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "prefect")],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    yield process.stdout.readline().strip()
    process.stdin.close()
    process.wait(30)


def says(text: str) -> Callable[[str], bool]:
    return lambda output: text in output


def test_a_demo_that_is_killed_everywhere_trains_once_and_ends_with_one_dataset(
    tmp_path, prefect_server, monkeypatch
):
    monkeypatch.setenv("PREFECT_API_URL", prefect_server)
    demo = Demo(tmp_path)
    moments: list[Callable[[str], bool]] = [
        says("cycle "),  # after the import
        says("dataset: started"),
        says("dataset: ds-"),
        lambda _output: demo.steps() >= 3,
        lambda _output: demo.steps() >= 6,
        says("train: assistant@"),
        says("evaluate: eval-"),
        says("drift: drift-"),
        says("gate: "),
        says("canary: canary-"),
        says("simulated requests"),
        says("look 2"),
    ]
    # Prefect reads its settings when it is imported.
    quiet = {
        "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "WARNING",
        "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
    }
    with loaded("deployments.demo:main", modules=IMPORTED, environment=os.environ | quiet) as program:
        outputs = [demo.run_until(moment, program) for moment in moments]
    outputs.append(demo.run())

    engine = open_database(f"sqlite:///{demo.home / 'gateway-tuning.db'}")
    with reading(engine) as connection:
        rows = {
            name: connection.execute(sa.select(metadata.tables[name])).mappings().all()
            for name in (
                "datasets",
                "tuning_jobs",
                "model_versions",
                "evaluations",
                "canaries",
                "cycles",
                "feedback",
            )
        }
    summary = json.loads((tmp_path / "demo" / "summary.json").read_text())
    datasets_named = {word for output in outputs for word in output.split() if word.startswith("ds-")}

    assert [len(rows[name]) for name in ("datasets", "tuning_jobs", "evaluations", "canaries", "cycles")] == [
        1
    ] * 5
    assert rows["tuning_jobs"][0]["status"] == "succeeded"
    assert len(rows["model_versions"]) == 2  # the base model and one candidate
    assert len({row["id"] for row in rows["feedback"]}) == len(rows["feedback"])
    assert {name.rstrip(":,") for name in datasets_named} == {summary["dataset"]["id"]}
    assert started_trainings(demo) == 1
    assert summary["status"] == "finished"
    assert no_process_left(demo.home)


def test_an_interrupted_demo_ends_at_once_says_how_to_go_on_and_leaves_nothing_running(tmp_path, monkeypatch):
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    demo = Demo(tmp_path)
    log = tmp_path / "output.log"
    arguments = ["demo", str(demo.feedback), "--folder", str(tmp_path / "demo"), "--max-steps", "1"]
    # Background jobs of a shell ignore SIGINT and would hand that down.
    code = "import signal; signal.signal(signal.SIGINT, signal.SIG_DFL); from gateway_tuning.cli import app; app()"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-c", code, *arguments], cwd=ROOT, stdout=output, stderr=output
        )
    while "dataset: started" not in log.read_text(encoding="utf-8"):
        assert process.poll() is None, log.read_text(encoding="utf-8")
        time.sleep(0.1)

    process.send_signal(signal.SIGINT)
    try:
        assert process.wait(30) == 130
    finally:
        process.kill()
    assert "goes on where this one was" in log.read_text(encoding="utf-8")
    assert no_process_left(tmp_path)


def started_trainings(demo: Demo) -> int:
    (log,) = demo.home.glob("jobs/*/progress.jsonl")
    return sum(json.loads(line).get("event") == "started" for line in log.read_text().splitlines())


def no_process_left(home: Path) -> bool:
    """Servers and trainers of killed runs end with their parents."""
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline:
        found = subprocess.run(["pgrep", "-f", str(home)], capture_output=True, text=True, check=False).stdout
        if not found.strip():
            return True
        time.sleep(0.5)
    return False
