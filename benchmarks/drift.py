"""How often does the drift check raise a false alarm, what does it find, and what does a million rows take?

    .venv/bin/python -m benchmarks.drift alarms [--draws 1000] [--seconds 1500]
    .venv/bin/python -m benchmarks.drift power [--draws 40]
    .venv/bin/python -m benchmarks.drift scale [--rows 20000 200000 1000000]

Prompts are questions of FeedbackQA, its four sources the topics. Users are simulated: each has topics of their own
(Dirichlet, total 4: rows of one user agree with correlation 0.2), and answers, tokens and moods of their own kind; with
`own_words` they also greet and close in their own way, which is what row-wise classifiers take for drift. `alarms` draws both windows from the same users' world; `power` changes the current one.
`scale` measures our check and evidently's preset on the same eight columns, each size and each tool in a process of its
own; texts, which the preset is not given, come with our check on top.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

for threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(threads, "1")  # read when numpy is imported: figures are of one core

import numpy as np  # noqa: E402
from scipy import stats  # noqa: E402

from gateway_tuning.drift.check import Window, check_drift  # noqa: E402
from gateway_tuning.drift.result import DriftReport  # noqa: E402
from gateway_tuning.drift.settings import DriftSettings  # noqa: E402
from gateway_tuning.feedback.language import LanguageDetector  # noqa: E402

DATA = Path(__file__).parents[2] / "shared" / "data" / "feedbackqa"
SOURCES = {
    "Australia": ["Australia_valid"],
    "CDC": ["CDC_valid"],
    "UK": ["UK_valid"],
    "WHO": ["WHO_train", "WHO_valid"],
}
EVEN = (0.25, 0.25, 0.25, 0.25)
GREETINGS = (
    "",
    "",
    "",
    "hi",
    "hello",
    "good morning",
    "please tell me",
    "quick question:",
    "dear team,",
    "hey there",
)
CLOSINGS = ("", "", "", "thanks", "thank you so much", "pls", "regards", "asap", "much appreciated", "cheers")
KINDS = ("thumbs_up", "thumbs_down", "text", "correction")
QUICK = DriftSettings(permutations=499)


@cache
def questions() -> tuple[tuple[str, ...], ...]:
    def of(files: Sequence[str]) -> tuple[str, ...]:
        rows = [row for name in files for row in json.loads((DATA / f"{name}.json").read_text())]
        return tuple(sorted({row["question"] for row in rows}))

    return tuple(of(files) for files in SOURCES.values())


@cache
def _detector() -> LanguageDetector:
    return LanguageDetector()


@cache
def language_of(text: str) -> str | None:
    return _detector().language_of(text)


def window(
    label: str,
    rng: np.random.Generator,
    rows: int,
    mix: Sequence[float] = EVEN,
    new_kind: float = 0.0,
    *,
    own_words: bool = False,
    grouped: bool = True,
) -> Window:
    """Rows of users with eight each on average; `new_kind` is the share of a feedback type that was not there."""
    columns: list[tuple[str, str, str, str, float, float]] = []
    user = 0
    while len(columns) < rows:
        topics = rng.dirichlet(4 * np.asarray(mix) + 1e-9)
        greeting, closing = rng.choice(GREETINGS), rng.choice(CLOSINGS)
        verbosity = rng.normal(60, 15)
        mood = rng.dirichlet((2, 1, 1))
        for _ in range(1 + rng.poisson(7)):
            asked = questions()[rng.choice(4, p=topics)]
            prompt = asked[rng.integers(len(asked))]
            if own_words:
                prompt = f"{greeting} {prompt} {closing}".strip()
            words = max(1, int(rng.normal(verbosity, 15)))
            kind = "correction" if rng.random() < new_kind else KINDS[rng.choice(3, p=mood)]
            columns.append((prompt, "word " * words, kind, f"{label} {user}", len(prompt) / 4, words * 1.3))
        user += 1
    prompts, answers, kinds, users, asked_tokens, answered_tokens = zip(*columns[:rows], strict=True)
    tokens = {"prompt_tokens": asked_tokens, "answer_tokens": answered_tokens}
    return Window(label, prompts, answers, kinds, users if grouped else None, numbers=tokens)


def checked(reference: Window, current: Window, settings: DriftSettings = QUICK) -> DriftReport:
    return check_drift(reference, current, settings, language_of=language_of)


def alarms(draws: int, seconds: float, rows: int) -> None:
    started, states, named = time.process_time(), Counter[str](), Counter[str]()
    done = 0
    for done in range(1, draws + 1):
        rng = np.random.default_rng(done)
        report = checked(
            window("reference", rng, rows, own_words=True), window("current", rng, rows, own_words=True)
        )
        states[report.state] += 1
        named.update(metric.name for metric in report.metrics if metric.drifted)
        named["classifier"] += report.classifier is not None and report.classifier.drifted
        if done % 100 == 0:
            print(f"{done} draws: {dict(states)} {dict(+named)}", flush=True)
        if time.process_time() - started > seconds:
            break
    found = stats.binomtest(states["drift"], done).proportion_ci(method="wilson")
    print(f"A/A, {rows} rows a side of about {rows // 8} users, {done} draws: {dict(states)}")
    print(
        f"false alarms {states['drift'] / done:.1%} (95 % interval {found.low:.1%} to {found.high:.1%}); {+named}"
    )
    print(f"{(time.process_time() - started) / done:.2f} s of CPU a check")
    naive = sum(
        checked(
            window("reference", rng := np.random.default_rng(run), rows, own_words=True, grouped=False),
            window("current", rng, rows, own_words=True, grouped=False),
        ).state
        == "drift"
        for run in range(20)
    )
    print(f"the same, told nothing of users: {naive} of 20 are alarms")


Change = Callable[[np.random.Generator, int], tuple[Window, Window]]
CHANGES: dict[str, Change] = {
    "20 % of the rows on a new topic": lambda rng, rows: (
        window("reference", rng, rows, (0, 1 / 3, 1 / 3, 1 / 3)),
        window("current", rng, rows, (0.2, 0.8 / 3, 0.8 / 3, 0.8 / 3)),
    ),
    "20 points from one topic to another": lambda rng, rows: (
        window("reference", rng, rows, (0.25, 0.35, 0.15, 0.25)),
        window("current", rng, rows, (0.25, 0.15, 0.35, 0.25)),
    ),
    "20 % on a new topic, users greet": lambda rng, rows: (
        window("reference", rng, rows, (0, 1 / 3, 1 / 3, 1 / 3), own_words=True),
        window("current", rng, rows, (0.2, 0.8 / 3, 0.8 / 3, 0.8 / 3), own_words=True),
    ),
    "10 % of a new feedback type": lambda rng, rows: (
        window("reference", rng, rows),
        window("current", rng, rows, new_kind=0.1),
    ),
}


def power(draws: int, sizes: Sequence[int], changes: Sequence[str]) -> None:
    print(
        f"drift found, of {draws} draws".ljust(40)
        + "".join(f"{size:>16}" for size in sizes)
        + "  rows a side"
    )
    for name in changes:
        change, cells = CHANGES[name], list[str]()
        for size in sizes:
            found = sum(
                checked(*change(np.random.default_rng(10_000 + run), size)).state == "drift"
                for run in range(draws)
            )
            low = stats.binomtest(found, draws).proportion_ci(method="wilson").low
            cells.append(f"{found / draws:>8.1%} (>{low:.0%})".rjust(16))
        print(name.ljust(40) + "".join(cells), flush=True)


def scale(sizes: Sequence[int]) -> None:
    print(
        f"{'rows of both sides x 8':<24}{'ours, 8 columns':>26}{'ours, with the texts':>26}{'evidently preset':>26}"
    )
    for rows in sizes:
        cells = [_in_a_process(tool, rows) for tool in ("columns", "texts", "evidently")]
        print(f"{rows:<24,}" + "".join(cell.rjust(26) for cell in cells), flush=True)


def _in_a_process(tool: str, rows: int) -> str:
    command = [sys.executable, "-m", "benchmarks.drift", "measure", tool, str(rows)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        return f"failed: {result.stderr.strip().splitlines()[-1][:12]}"
    found = json.loads(result.stdout.splitlines()[-1])
    return f"{found['wall']:.1f} s, {found['cpu']:.1f} CPU, +{found['memory'] / 1024:.0f} MB"


def measure(tool: str, rows: int) -> None:
    """Time and growth of the peak memory of one check; what it is given stands in memory before."""
    half, rng = rows // 2, np.random.default_rng(0)
    sides = [_columns(rng, half, shifted) for shifted in (0.0, 0.3)]
    work: Callable[[], object]
    if tool == "evidently":
        import pandas as pd
        from evidently import DataDefinition, Dataset, Report
        from evidently.presets import DataDriftPreset

        definition = DataDefinition(
            numerical_columns=list(sides[0][0]), categorical_columns=list(sides[0][1])
        )
        frames = [pd.DataFrame({**numbers, **categories}) for numbers, categories, _ in sides]

        def work() -> object:
            before, after = (Dataset.from_pandas(frame, data_definition=definition) for frame in frames)
            return Report([DataDriftPreset()]).run(after, before).dict()
    else:
        texts = [_texts(rng, half) if tool == "texts" else None for _ in sides]
        windows = [
            Window(str(side), text, text, None, users, numbers=numbers, categories=categories)
            for side, ((numbers, categories, users), text) in enumerate(zip(sides, texts, strict=True))
        ]

        def work() -> object:
            return check_drift(windows[0], windows[1], DriftSettings())

    before, wall, cpu = (
        resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
        time.perf_counter(),
        time.process_time(),
    )
    work()
    found = {
        "wall": time.perf_counter() - wall,
        "cpu": time.process_time() - cpu,
        "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before,
    }
    print(json.dumps(found))


def _columns(
    rng: np.random.Generator, rows: int, shifted: float
) -> tuple[dict[str, list[float | None]], dict[str, list[str | None]], list[int]]:
    """Four numbers, four categories, and users with ten rows on average."""
    numbers = {
        name: rng.lognormal(4 + (shifted if name == "answer_tokens" else 0), 1, rows).round().tolist()
        for name in ("prompt_tokens", "answer_tokens", "turns", "latency_ms")
    }
    categories = {
        name: [f"{name} {value}" for value in rng.integers(0, many, rows).tolist()]
        for name, many in (("feedback_kind", 5), ("language", 12), ("refusal", 2), ("segment", 40))
    }
    return numbers, categories, rng.integers(0, max(1, rows // 10), rows).tolist()


def _texts(rng: np.random.Generator, rows: int) -> list[str]:
    asked = [question for source in questions() for question in source]
    return [
        f"{asked[number]} {row % 997}"
        for row, number in enumerate(rng.integers(0, len(asked), rows).tolist())
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parts = parser.add_subparsers(dest="part", required=True)
    one = parts.add_parser("alarms")
    one.add_argument("--draws", type=int, default=1_000)
    one.add_argument("--seconds", type=float, default=1_500, help="of CPU, after which it stops and says so")
    one.add_argument("--rows", type=int, default=480)
    one = parts.add_parser("power")
    one.add_argument("--draws", type=int, default=40)
    one.add_argument("--rows", type=int, nargs="+", default=[100, 200, 300, 500, 1_000])
    one.add_argument("--changes", nargs="+", choices=list(CHANGES), default=list(CHANGES))
    one = parts.add_parser("scale")
    one.add_argument("--rows", type=int, nargs="+", default=[20_000, 200_000, 1_000_000])
    one = parts.add_parser("measure")
    one.add_argument("tool", choices=["columns", "texts", "evidently"])
    one.add_argument("rows", type=int)
    given = parser.parse_args()
    if not DATA.is_dir():
        raise SystemExit(f"{DATA} is not on this machine: this benchmark needs FeedbackQA")
    if given.part == "alarms":
        alarms(given.draws, given.seconds, given.rows)
    elif given.part == "power":
        power(given.draws, given.rows, given.changes)
    elif given.part == "scale":
        scale(given.rows)
    else:
        measure(given.tool, given.rows)


if __name__ == "__main__":
    main()
