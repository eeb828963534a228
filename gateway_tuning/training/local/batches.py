"""From chats to batches: token ids, which of them are learned, and in which order. Pure but for the tokenizer."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from gateway_tuning.training.local.chats import END_OF_TURN, Chat, has_control_words, prompt_text


@dataclass(frozen=True, slots=True)
class TokenizedChat:
    """`tokens[answer_start:]` is the answer with its end-of-turn token: the only part that is learned."""

    tokens: tuple[int, ...]
    answer_start: int

    def __len__(self) -> int:
        return len(self.tokens)


@dataclass(frozen=True, slots=True)
class Packed:
    """Chats one after the other in one row, without padding; attention stays within each.

    Chat i is `inputs[starts[i] : starts[i + 1]]`. `targets[i]` is to be predicted at `inputs[places[i]]`.
    """

    inputs: list[int]
    starts: list[int]
    places: list[int]
    targets: list[int]


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


def batch_indices(count: int, batch_size: int, seed: int, step: int) -> tuple[int, ...]:
    """Which of `count` examples make up the batch of a step counted from 0: a function of its arguments alone.

    Every epoch takes each example once, in an order of its own.
    """
    epoch, position = divmod(step, -(-count // batch_size))
    return _order(count, seed, epoch)[position * batch_size : (position + 1) * batch_size]


def passes(chats: Sequence[TokenizedChat], tokens: int) -> list[list[TokenizedChat]]:
    """Split a batch into passes of at most so many tokens; a longer chat is a pass of its own."""
    parts: list[list[TokenizedChat]] = []
    room = 0
    for chat in chats:
        if not parts or len(chat) > room:
            parts.append([])
            room = tokens
        parts[-1].append(chat)
        room -= len(chat)
    return parts


def pack(chats: Sequence[TokenizedChat]) -> Packed:
    """The last token of a chat is only ever a target, so it is no input."""
    packed = Packed([], [0], [], [])
    for chat in chats:
        start = len(packed.inputs)
        packed.inputs.extend(chat.tokens[:-1])
        packed.starts.append(len(packed.inputs))
        packed.places.extend(range(start + chat.answer_start - 1, start + len(chat) - 1))
        packed.targets.extend(chat.tokens[chat.answer_start :])
    return packed


@lru_cache(maxsize=1)  # asked for anew at every step of an epoch
def _order(count: int, seed: int, epoch: int) -> tuple[int, ...]:
    order = list(range(count))
    random.Random(f"{seed}/{epoch}").shuffle(order)  # noqa: S311 - an order of examples, not a secret
    return tuple(order)
