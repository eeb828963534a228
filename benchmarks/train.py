"""Tokens a second of the local trainer beside TRL's SFTTrainer, on the same chats and the same device, in one run.

First both learn from the same batches, beginning with the same adapter, and their losses are printed side by side,
in float32 too, where nothing but a different computation could tell them apart: what is faster must not be something
else. Then each runs as it would by itself.

Utilisation counts 4 operations a parameter and token (a frozen weight has no gradient of its own) and causal
attention within each chat, over the card's dense bfloat16 rate; padding counts for nothing. Ours applies the output
layer to answers alone, so about a tenth of what is counted is saved rather than done.
"""

import argparse
import math
import os
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway_tuning.training.local.worker import ENVIRONMENT

os.environ.update(ENVIRONMENT)  # before torch is loaded, as in the worker

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from benchmarks import train_peer
from gateway_tuning.training.local.data.batches import TokenizedChat
from gateway_tuning.training.local.hyperparameters import LoraHyperparameters
from gateway_tuning.training.local.learning.learner import make_learner
from gateway_tuning.training.local.learning.supervised import learn
from gateway_tuning.training.local.model import lora
from gateway_tuning.training.local.model.weights import converted_weights

DENSE_BF16 = {"H100": 989e12, "H200": 989e12, "A100": 312e12}
RATE = 1e-4
SAME_STEPS = 6
MAX_TOKENS = 1024


@dataclass(frozen=True, slots=True)
class Timed:
    """`seconds` of each step after the first few; `start_s` is what those took beyond a usual step."""

    name: str
    losses: list[float]
    tokens: list[int]
    seconds: list[float]
    start_s: float
    peak_gb: float | None

    @property
    def rate(self) -> float:
        return sum(self.tokens) / sum(self.seconds)


def chats_of(lengths: Sequence[int], vocabulary: int) -> list[TokenizedChat]:
    """Random tokens of which few occur often, as in text; 30 to 70 % of a chat are its answer."""
    chance = random.Random("tokens")  # noqa: S311 - a benchmark's data
    return [
        TokenizedChat(
            tuple(int(min(vocabulary - 1, 3 * chance.paretovariate(0.8))) for _ in range(length)),
            round(length * chance.uniform(0.3, 0.7)),
        )
        for length in lengths
    ]


def lengths_of(count: int, mean: int) -> list[int]:
    """Lognormal with this mean before the cut at `MAX_TOKENS`."""
    chance, spread = random.Random("lengths"), 0.75  # noqa: S311 - a benchmark's data
    return [
        max(16, min(MAX_TOKENS, round(chance.lognormvariate(math.log(mean) - spread**2 / 2, spread))))
        for _ in range(count)
    ]


def ours(
    name: str,
    model: Any,
    batches: Sequence[Sequence[TokenizedChat]],
    hyperparameters: LoraHyperparameters,
    *,
    compiled: bool,
    warm: int,
) -> Timed:
    """Steps of the trainer itself, in the model's precision; the first `warm` are no part of the rate."""
    torch.use_deterministic_algorithms(mode=model.dtype is torch.bfloat16)  # as the trainer
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    learner = make_learner(model, hyperparameters, seed=0, compiled=compiled)
    losses, seconds = [], []
    for batch in batches:
        began = time.perf_counter()
        losses.append(learn(learner, batch, RATE))  # reads the loss, so the device is done
        seconds.append(time.perf_counter() - began)
    return timed(name, losses, batches, seconds, warm)


def timed(
    name: str,
    losses: list[float],
    batches: Sequence[Sequence[TokenizedChat]],
    seconds: list[float],
    warm: int,
) -> Timed:
    usual = statistics.median(seconds[warm:])
    tokens = [sum(map(len, batch)) for batch in batches]
    peak = torch.cuda.max_memory_allocated() / 1e9 if torch.cuda.is_available() else None
    return Timed(name, losses, tokens[warm:], seconds[warm:], sum(seconds[:warm]) - warm * usual, peak)


def batches_of(chats: Sequence[TokenizedChat], size: int, count: int) -> list[Sequence[TokenizedChat]]:
    return [[chats[(step * size + i) % len(chats)] for i in range(size)] for step in range(count)]


def operations(config: LlamaConfig, parameters: int, lengths: Sequence[int]) -> float:
    """Floating-point operations of forward and backward over chats of these lengths."""
    attention = 6 * config.num_hidden_layers * config.hidden_size * sum(length**2 for length in lengths)
    return 4.0 * parameters * sum(lengths) + attention


def compare_losses(rows: Sequence[tuple[str, list[float]]]) -> None:
    """Each row beside the first."""
    print("\nmean loss of each step, same batches, same first adapter")
    for name, losses in rows:
        apart = max(abs(a - b) / b for a, b in zip(losses, rows[0][1], strict=True))
        print(
            f"{name:58}",
            *(f"{loss:8.4f}" for loss in losses),
            f" at most {apart:.3%} from the first",
            flush=True,
        )


def table(rows: Sequence[Timed], used: Callable[[Timed], float] | None) -> None:
    print(
        f"\n{'':58} {'tokens/s':>9} {'spread':>7} {'ratio':>6} {'utilisation':>12} {'peak GB':>8} {'start s':>8}"
    )
    for row in rows:
        each = [tokens / second for tokens, second in zip(row.tokens, row.seconds, strict=True)]
        spread = (max(each) - min(each)) / statistics.median(each)
        share = f"{used(row):.1%}" if used else "-"
        peak = "-" if row.peak_gb is None else f"{row.peak_gb:.1f}"
        print(
            f"{row.name:58} {row.rate:9,.0f} {spread:7.0%} {row.rate / rows[0].rate:6.2f} {share:>12} {peak:>8} "
            f"{row.start_s:8.1f}",
            flush=True,
        )


def in_float32(
    model: Callable[[], Any], batches: Sequence[Sequence[TokenizedChat]], hyperparameters: LoraHyperparameters
) -> list[tuple[str, list[float]]]:
    """Losses of both; each takes a model of its own."""
    theirs, _ = train_peer.train(model(), batches, hyperparameters, RATE, checkpointing=False, exact=True)
    mine = ours("", model(), batches, hyperparameters, compiled=False, warm=0).losses
    return [("TRL in float32", theirs), ("ours in float32", mine)]


def on_cpu(steps: int, folder: Path) -> None:
    weights = converted_weights(folder)
    size, mean, warm = 4, 147, 1
    hyperparameters = LoraHyperparameters(batch_size=size, learning_rate=RATE, device="cpu")
    chats = chats_of(lengths_of(size * (warm + steps), mean), 49152)
    batches = batches_of(chats, size, warm + steps)

    def exact() -> Any:
        return lora.load_base(weights, "cpu").to(torch.float32)

    rows = []
    for turn in ("", ", again"):  # by turns: other work on the machine comes and goes
        mine = ours(
            f"ours{turn}", lora.load_base(weights, "cpu"), batches, hyperparameters, compiled=False, warm=warm
        )
        losses, seconds = train_peer.train(exact(), batches, hyperparameters, RATE, checkpointing=False)
        rows += [
            timed(f"TRL's SFTTrainer, bf16, no checkpointing{turn}", losses, batches, seconds, warm),
            mine,
        ]
        print(*(f"{row.name}: {row.rate:,.0f} tokens/s" for row in rows[-2:]), sep="\n", flush=True)
    same = in_float32(exact, batches[:2], hyperparameters)
    compare_losses([*same, *((row.name, row.losses[:2]) for row in rows[:2])])
    table(rows, None)


def on_gpu(steps: int, batch_size: int) -> None:
    config = LlamaConfig(
        vocab_size=128256,
        hidden_size=2048,
        intermediate_size=8192,
        num_hidden_layers=16,
        num_attention_heads=32,
        num_key_value_heads=8,
        max_position_embeddings=8192,
        tie_word_embeddings=True,
        attn_implementation="sdpa",
    )
    card = torch.cuda.get_device_name()
    rate = next((rate for part, rate in DENSE_BF16.items() if part in card), None)
    hyperparameters = LoraHyperparameters(rank=16, alpha=32.0, learning_rate=RATE, max_tokens=MAX_TOKENS)
    chats = chats_of(lengths_of(2048, 295), config.vocab_size)
    print(
        f"{card}, PyTorch {torch.__version__}; {len(chats)} chats of {statistics.mean(map(len, chats)):.0f} tokens"
    )

    def base() -> Any:
        """The same weights each time."""
        torch.manual_seed(0)
        with torch.device("cuda"):
            model = LlamaForCausalLM(config).to(torch.bfloat16)
        return model.requires_grad_(requires_grad=False).eval()

    count = base().num_parameters()

    def used(row: Timed) -> float:
        share = sum(sum(map(len, batch)) for batch in in_row[row.name]) / sum(row.tokens)
        done = sum(operations(config, count, [len(chat) for chat in batch]) for batch in in_row[row.name])
        return done / share / sum(row.seconds) / (rate or math.nan)

    def exact() -> Any:
        return base().to(torch.float32)

    warm = 3
    small, large = batches_of(chats, 8, warm + 2 * steps), batches_of(chats, batch_size, warm + steps)
    same = in_float32(exact, small[:SAME_STEPS], hyperparameters)
    torch.cuda.empty_cache()
    losses, seconds = train_peer.train(exact(), small, hyperparameters, RATE, checkpointing=True)
    rows = [timed("TRL's SFTTrainer as by default, batch 8", losses, small, seconds, warm)]
    in_row: dict[str, Sequence[Sequence[TokenizedChat]]] = {rows[0].name: small[warm:]}
    for name, batches, compiled in (
        ("ours, batch 8, compiled", small, True),
        ("ours, batch 8, eager", small, False),
        (f"ours, batch {batch_size}, eager", large, False),
        (f"ours, batch {batch_size}, compiled", large, True),
        (f"ours, batch {batch_size}, compiled, again", large, True),
    ):
        rows.append(ours(name, base(), batches, hyperparameters, compiled=compiled, warm=warm))
        in_row[name] = batches[warm:]
        print(f"{name}: {rows[-1].rate:,.0f} tokens/s", flush=True)
    compare_losses([*same, *((row.name, row.losses[:SAME_STEPS]) for row in rows[:3])])
    table(rows, used if rate else None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--steps", type=int, default=8, help="timed steps of each row")
    parser.add_argument(
        "--batch-size", type=int, default=256, help="chats a step of the large batches, on cuda"
    )
    arguments = parser.parse_args()
    torch.use_deterministic_algorithms(
        mode=True, warn_only=True
    )  # as the trainer; TRL may use what has no such form
    torch.utils.deterministic.fill_uninitialized_memory = False
    if arguments.device == "cuda":
        on_gpu(arguments.steps, arguments.batch_size)
    else:
        with tempfile.TemporaryDirectory() as folder:
            on_cpu(arguments.steps, Path(folder))


if __name__ == "__main__":
    main()
