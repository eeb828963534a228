"""Chat JSONL for supervised tuning: `{"messages": [..., {"role": "assistant", "content": ...}]}`. Pure.

OpenAI's format, read by most services and by the local trainer.
"""

import json
from collections.abc import Iterator, Sequence

from gateway_tuning.datasets.example import Example, ExampleKind


def lines(examples: Sequence[Example]) -> Iterator[str]:
    """One line a demonstration; other kinds have no place in supervised tuning."""
    for example in examples:
        if example.kind is ExampleKind.DEMONSTRATION:
            messages = [{"role": turn.role, "content": turn.content} for turn in example.messages]
            messages.append({"role": "assistant", "content": example.answer})
            yield json.dumps({"messages": messages}, ensure_ascii=False)
