"""The process that scores: reads a batch a line from standard input, writes a reply a line, ends with its parent.

`python -m gateway_tuning.gateway.scoring.child`. When the parent ends, however it ends, the kernel closes the pipe and
the next read is the last one.
"""

import json
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from typing import Any, BinaryIO

from gateway_tuning.errors import GatewayTuningError
from gateway_tuning.evaluation.scoring import catalog
from gateway_tuning.evaluation.scoring.protocol import Scorer
from gateway_tuning.gateway.scoring.texts import METRICS, Ask, items_of, unpacked

_NICE = 10  # answers go first


def main() -> None:
    os.nice(_NICE)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints is no reply
    try:
        scorers = {name: catalog.scorer(name) for name in METRICS}
    except GatewayTuningError as error:
        _send(replies, {"error": f"{type(error).__name__}: {error}"})
        return
    _send(replies, {"scorers": {scorer.card.name: scorer.version for scorer in scorers.values()}})
    while line := sys.stdin.buffer.readline():
        _send(replies, scored(unpacked(line), scorers))


def scored(batch: Sequence[Ask], scorers: Mapping[str, Scorer]) -> dict[str, Any]:
    """`scores` of each ask by the card's name; `faults` by it where a scorer broke, by the error's kind alone.

    Its message could quote a text.
    """
    items = items_of(batch)
    scores: list[dict[str, float | None]] = [{} for _ in batch]
    faults: dict[str, str] = {}
    for name, scorer in scorers.items():
        wanted = [number for number, ask in enumerate(batch) if name in ask.metrics]
        try:
            values = [one.value for one in scorer.score([items[number] for number in wanted])]
        except Exception as error:  # noqa: BLE001 - its metric is unknown, the others stand
            faults[scorer.card.name] = type(error).__name__
            values = [None] * len(wanted)
        for number, value in zip(wanted, values, strict=True):
            scores[number][scorer.card.name] = value
    return {"scores": scores, "faults": faults}


def _send(replies: BinaryIO, reply: dict[str, Any]) -> None:
    replies.write(json.dumps(reply).encode() + b"\n")
    replies.flush()


if __name__ == "__main__":
    main()
