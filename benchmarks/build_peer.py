"""The steps of a dataset build that datatrove has too, done by datatrove; `benchmarks.build --peer` calls it.

    PYTHON benchmarks/build_peer.py --records FOLDER --into FOLDER [--workers 1] [--words spaces] [--anonymize]

Runs under a Python that has datatrove 0.10 and imports nothing of this project. `--records` holds JSON lines, a file
for each worker, of `id`, `text` (prompt and answer) and what else is to be kept; `--into` must be empty. Prints one
JSON object: seconds of CPU (this process and all it started) and of the clock, after the imports; megabytes of this
process and of the largest it started; documents read, filtered and kept; seconds by stage.

What both do, and with what:

| step | datatrove | this project |
|---|---|---|
| read | JSON lines | rows of SQLite |
| length in words | `LambdaFilter`, 2 to 16,000 in all | 1 to 8,000 of prompt and of answer, characters besides |
| damage, orders to a model, refusals | `RegexFilter`, one short expression each | more and in four languages, quoted in a reason |
| repetition | `GopherRepetitionFilter`, lines and 4-grams above half | the same, of the answer alone |
| near-duplicates | MinHash of the document: 3-grams of words, 16 bands of 8 | prompt, answer and rival apart: 128 minima in 32 bands of 4, then estimated |
| write | Parquet, zstd | Parquet, zstd, with checksums and a manifest |
| personal data (`--anonymize`) | `PIIFormatter`: addresses of mail and of the public Internet | names, places and numbers too |

16 bands of 8 rows are the 128 hashes whose threshold, (1 / 16) ^ (1 / 8) = 0.71, is nearest to ours of 0.7. Digits and
accents are left as they are, as we leave them; datatrove would fold both, for more time.

This project does besides: caps and bursts of trust, votes, preference pairs, mined reformulations, groups of similar
prompts and splits by them with a proof, balance, the rejected examples with their reasons, and the fate of each record.
Datatrove does besides: logs and statistics of each step, and a sorted file for each band.

Nothing is fetched. `--words spaces` gives it a `WordTokenizer` that splits at white space: punctuation is gone by then,
so that the words are ours, and it takes a fraction of the time. `--words english` is its default for English, spaCy's
rules, which need no model.
"""

import argparse
import json
import os
import resource
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"

try:
    from datatrove.executor import LocalPipelineExecutor
    from datatrove.pipeline.dedup import (
        MinhashDedupBuckets,
        MinhashDedupCluster,
        MinhashDedupFilter,
        MinhashDedupSignature,
    )
    from datatrove.pipeline.dedup.minhash import MinhashConfig
    from datatrove.pipeline.filters import GopherRepetitionFilter, LambdaFilter, RegexFilter
    from datatrove.pipeline.formatters import PIIFormatter
    from datatrove.pipeline.readers import JsonlReader
    from datatrove.pipeline.writers import JsonlWriter, ParquetWriter
    from datatrove.utils.text import TextNormConfig
    from datatrove.utils.word_tokenizers import WordTokenizer, load_word_tokenizer
except ImportError as error:
    sys.exit(f"{sys.executable} lacks {error.name}; see the help of --peer for what to install")

MIN_WORDS, MAX_WORDS = 2, 16_000
DAMAGE = r"\ufffd|[\x00-\x08\x0e-\x1f\x7f]|\u00c3[\u0080-\u00bf]|\u00e2\u20ac"
ORDERS = (
    r"<\|(?:im_start|im_end|system|endoftext)\|>|\[/?INST\]|(?i:ignore|disregard|forget) (?:\w+ ){0,2}"
    r"(?:previous|prior|above) (?:instructions|rules)"
)
REFUSALS = r"(?i:as an AI (?:language )?model|I(?:'m| am) (?:sorry, but|unable to|not able to)|I (?:cannot|can't) help)"


class Spaces(WordTokenizer):
    """Words between white space. It is asked for nothing but words."""

    def word_tokenize(self, text: str) -> list[str]:
        return text.split()

    def sent_tokenize(self, text: str) -> list[str]:
        return [text]

    def span_tokenize(self, text: str) -> list[tuple[int, int]]:
        return [(0, len(text))]


def has_length(document: Any) -> bool:
    return MIN_WORDS <= len(document.text.split()) <= MAX_WORDS


def build(records: Path, into: Path, workers: int, words: Any, *, anonymize: bool) -> dict[str, Any]:
    """Each stage ends before the next begins, as datatrove has it."""
    minhash = MinhashConfig(
        n_grams=3,
        num_buckets=16,
        hashes_per_bucket=8,
        norm_config=TextNormConfig(norm_numbers=False, norm_unicode_diacritics=False),
    )
    sound, signatures, pairs, removed = (
        str(into / name) for name in ("sound", "signatures", "pairs", "removed")
    )
    filters = [
        LambdaFilter(has_length),
        RegexFilter(DAMAGE),
        RegexFilter(ORDERS),
        RegexFilter(REFUSALS),
        GopherRepetitionFilter(
            dup_line_frac=0.5,
            dup_para_frac=None,
            dup_line_char_frac=None,
            dup_para_char_frac=None,
            top_n_grams=(),
            dup_n_grams=((4, 0.5),),
            language=words,
        ),
    ]
    stages: dict[str, tuple[list[Any], int]] = {
        "filtered and signed": (
            [
                JsonlReader(str(records), add_file_path=False),
                *([PIIFormatter()] if anonymize else []),
                *filters,
                JsonlWriter(sound, compression=None),
                MinhashDedupSignature(signatures, config=minhash, language=words),
            ],
            workers,
        ),
        "pairs": (
            [MinhashDedupBuckets(signatures, pairs, config=minhash, lines_to_buffer=5000)],
            minhash.num_buckets,
        ),
        "clusters": ([MinhashDedupCluster(pairs, removed, config=minhash, lines_to_buffer=5000)], 1),
        "written": (
            [
                JsonlReader(sound, add_file_path=False),
                MinhashDedupFilter(removed),
                ParquetWriter(str(into / "kept"), compression="zstd"),
            ],
            workers,
        ),
    }
    started, before = time.perf_counter(), _cpu()
    seconds, counts = {}, {}
    for number, (name, (pipeline, tasks)) in enumerate(stages.items()):
        since = time.perf_counter()
        executor = LocalPipelineExecutor(
            pipeline,
            tasks=tasks,
            workers=min(workers, tasks),
            logging_dir=str(into / f"log-{number}"),
            start_method="spawn",  # as ours; what a fork server's children spend is told to nobody
        )
        counts[name] = [one.stats for one in executor.run().stats]
        seconds[name] = round(time.perf_counter() - since, 3)
    return {
        "version": version("datatrove"),
        "cpu": _cpu() - before,
        "wall": time.perf_counter() - started,
        "lead_mb": _own_peak(),
        "worker_mb": _memory(resource.RUSAGE_CHILDREN) if workers > 1 else 0.0,
        "documents": int(counts["filtered and signed"][0]["documents"].total),
        "sound": int(counts["written"][0]["documents"].total),
        "stages": seconds,
    }


def _cpu() -> float:
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


def _memory(whose: int) -> float:
    return resource.getrusage(whose).ru_maxrss / 1024


def _own_peak() -> float:
    """Where the kernel tells it, without what the process that started this one had."""
    status = Path("/proc/self/status")
    if not status.exists():
        return _memory(resource.RUSAGE_SELF)
    peak = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
    return int(peak.split()[1]) / 1024


def main() -> None:
    tokenizers: dict[str, Callable[[], Any]] = {
        "spaces": Spaces,
        "english": lambda: load_word_tokenizer("en"),
    }
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--records", type=Path, required=True)
    parser.add_argument("--into", type=Path, required=True)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--words", choices=sorted(tokenizers), default="spaces")
    parser.add_argument("--anonymize", action="store_true")
    options = parser.parse_args()
    words = tokenizers[options.words]()
    print(
        json.dumps(build(options.records, options.into, options.workers, words, anonymize=options.anonymize))
    )


if __name__ == "__main__":
    main()
