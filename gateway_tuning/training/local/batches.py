"""From chats to batches: token ids, which of them are learned, and in which order. Pure but for the tokenizer."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from gateway_tuning.training.local.chats import END_OF_TURN, Chat, has_control_words, prompt_text

_WINDOW_BATCHES = 8


@dataclass(frozen=True, slots=True)
class TokenizedChat:
    """`tokens[answer_start:]` is the answer with its end-of-turn token: the only part that is learned."""

    tokens: tuple[int, ...]
    answer_start: int

    def __len__(self) -> int:
        return len(self.tokens)


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows padded on the right to one length.

    Under causal attention no real token sees the padding after it, so neither an attention mask nor a pad id that
    differs from the end-of-turn id is needed. `targets[i]` is to be predicted at `(rows[i], columns[i])`.
    """

    inputs: list[list[int]]
    rows: list[int]
    columns: list[int]
    targets: list[int]
    tokens: int  # without padding


def tokenize(chats: Sequence[Chat], tokenizer: Any, max_tokens: int) -> list[TokenizedChat]:
    """Chats longer than `max_tokens`, and those that hold the template's control words, are left out.

    A cut answer would teach the model to stop in mid-sentence; a cut prompt, to answer what was not asked.
    """
    usable = [chat for chat in chats if not has_control_words(chat)]
    prompts = tokenizer.encode_batch([prompt_text(chat) for chat in usable], add_special_tokens=False)
    answers = tokenizer.encode_batch([chat.answer + END_OF_TURN for chat in usable], add_special_tokens=False)
    tokenized = [
        TokenizedChat((*prompt.ids, *answer.ids), len(prompt.ids))
        for prompt, answer in zip(prompts, answers, strict=True)
    ]
    return [chat for chat in tokenized if len(chat) <= max_tokens]


def batch_indices(lengths: Sequence[int], batch_size: int, seed: int, step: int) -> list[int]:
    """Which examples make up the batch of a step counted from 0: a function of its arguments alone.

    Every epoch takes each example once. Neighbours in length share a batch within a shuffled window, which saves
    most of the padding; the order of batches is shuffled again.
    """
    per_epoch = -(-len(lengths) // batch_size)
    epoch, position = divmod(step, per_epoch)
    shuffle = random.Random(f"{seed}/{epoch}")  # noqa: S311 - an order of examples, not a secret
    order = list(range(len(lengths)))
    shuffle.shuffle(order)
    window = _WINDOW_BATCHES * batch_size
    ordered = [
        index
        for start in range(0, len(order), window)
        for index in sorted(order[start : start + window], key=lambda i: lengths[i])
    ]
    batches = [ordered[start : start + batch_size] for start in range(0, len(ordered), batch_size)]
    shuffle.shuffle(batches)
    return batches[position]


def collate(chats: Sequence[TokenizedChat]) -> Batch:
    """The last token of a row is only ever a target, so it is no input."""
    width = max(len(chat) for chat in chats) - 1
    batch = Batch([], [], [], [], sum(len(chat) for chat in chats))
    for row, chat in enumerate(chats):
        batch.inputs.append([*chat.tokens[:-1], *[0] * (width - len(chat) + 1)])
        for position in range(chat.answer_start, len(chat)):
            batch.rows.append(row)
            batch.columns.append(position - 1)
            batch.targets.append(chat.tokens[position])
    return batch
