"""From chats to batches: token ids, which of them are learned, and in which order. Pure but for the tokenizer."""

import random
from collections.abc import Sequence, Sized
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeVar

from gateway_tuning.training.local.data.chats import Chat, has_control_words
from gateway_tuning.training.local.data.wording import PACKAGED, Wording

SizedExample = TypeVar("SizedExample", bound=Sized)
"""Its length is in tokens."""


@dataclass(frozen=True, slots=True)
class TokenizedChat:
    """`tokens[answer_start:]` is the answer with its end-of-turn token: the only part that is learned."""

    tokens: tuple[int, ...]
    answer_start: int

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def answer_tokens(self) -> int:
        return len(self.tokens) - self.answer_start


@dataclass(frozen=True, slots=True)
class Packed:
    """Chats one after the other in one row, without padding; attention stays within each.

    Chat i is `inputs[starts[i] : starts[i + 1]]`. `targets[i]` is to be predicted at `inputs[places[i]]`.
    """

    inputs: list[int]
    starts: list[int]
    places: list[int]
    targets: list[int]


def tokenize(
    chats: Sequence[Chat], tokenizer: Any, max_tokens: int, wording: Wording = PACKAGED
) -> list[TokenizedChat | None]:
    """None for chats longer than `max_tokens`, and for those that hold the template's control words.

    A cut answer would teach the model to stop in mid-sentence; a cut prompt, to answer what was not asked.
    """
    texts = [(wording.prompt(chat), wording.answer(chat)) for chat in chats]
    prompts, answers, wholes = (
        tokenizer.encode_batch(some, add_special_tokens=False)
        for some in (
            [prompt for prompt, _ in texts],
            [answer for _, answer in texts],
            ["".join(t) for t in texts],
        )
    )
    tokenized = [
        _joined(prompt.ids, answer.ids, whole.ids)
        for prompt, answer, whole in zip(prompts, answers, wholes, strict=True)
    ]
    return [
        None if len(found) > max_tokens or has_control_words(chat, wording.control_words) else found
        for chat, found in zip(chats, tokenized, strict=True)
    ]


def batch_indices(count: int, batch_size: int, seed: int, step: int) -> tuple[int, ...]:
    """Which of `count` examples make up the batch of a step counted from 0: a function of its arguments alone.

    Every epoch takes each example once, in an order of its own.
    """
    epoch, position = divmod(step, -(-count // batch_size))
    return _order(count, seed, epoch)[position * batch_size : (position + 1) * batch_size]


def passes(examples: Sequence[SizedExample], tokens: int) -> list[list[SizedExample]]:
    """Split a batch into passes of at most so many tokens; a longer example is a pass of its own."""
    parts: list[list[SizedExample]] = []
    room = 0
    for example in examples:
        if not parts or len(example) > room:
            parts.append([])
            room = tokens
        parts[-1].append(example)
        room -= len(example)
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


def _joined(prompt: list[int], answer: list[int], whole: list[int]) -> TokenizedChat:
    """Some tokenizers set a space before a text, which has no place before an answer: so the whole text's tokens.

    Unless a token spans the end of the prompt: the model never sees that one when it is asked.
    """
    goes_on = whole[: len(prompt)] == prompt
    return TokenizedChat(tuple(whole) if goes_on else (*prompt, *answer), len(prompt))


@lru_cache(maxsize=1)  # asked for anew at every step of an epoch
def _order(count: int, seed: int, epoch: int) -> tuple[int, ...]:
    order = list(range(count))
    random.Random(f"{seed}/{epoch}").shuffle(order)  # noqa: S311 - an order of examples, not a secret
    return tuple(order)
