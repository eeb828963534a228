"""What a step learns from, by method: read from an export, and made into token ids. Pure but for files and tokenizer."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway_tuning.training.local.data.batches import TokenizedChat, tokenize
from gateway_tuning.training.local.data.chats import Chat, read_chats
from gateway_tuning.training.local.data.preferences import Labelled, Pair, read_labelled, read_pairs
from gateway_tuning.training.local.data.wording import PACKAGED, Wording

EXPORTS = {"supervised": "chat", "dpo": "trl-dpo", "kto": "trl-kto"}
"""The format of a training file by method."""

_READERS: dict[str, Callable[[Path], Sequence[Any]]] = {
    "supervised": read_chats,
    "dpo": read_pairs,
    "kto": read_labelled,
}


@dataclass(frozen=True, slots=True)
class Example:
    """Chats that stay together in a pass.

    supervised: the chat. dpo: the chosen, the rejected. kto: the chat, and its prompt with another one's answer, from
    which the divergence is estimated. `reference`: log-probabilities of the answers under the base model.
    """

    chats: tuple[TokenizedChat, ...]
    desirable: bool | None = None
    reference: tuple[float, ...] = ()

    def __len__(self) -> int:
        return sum(map(len, self.chats))


def read(method: str, path: Path) -> Sequence[Chat | Pair | Labelled | None]:
    """The lines of an export; None stands for one that the local trainer cannot show to its model.

    Raises:
        InputFileError: the file cannot be read, or a line is not of the method's format.
    """
    return _READERS[method](path)


def examples_of(
    lines: Sequence[Chat | Pair | Labelled | None],
    tokenizer: Any,
    max_tokens: int,
    wording: Wording = PACKAGED,
) -> list[Example]:
    """Lines of one method, without those of which a chat is too long or holds control words."""
    chats = [line for line in lines if isinstance(line, Chat)]
    pairs = [line for line in lines if isinstance(line, Pair)]
    labelled = [line for line in lines if isinstance(line, Labelled)]
    if pairs:
        chosen = tokenize([pair.chosen for pair in pairs], tokenizer, max_tokens, wording)
        rejected = tokenize([pair.rejected for pair in pairs], tokenizer, max_tokens, wording)
        return [Example((a, b)) for a, b in zip(chosen, rejected, strict=True) if a and b]
    if labelled:
        answers = tokenize([line.chat for line in labelled], tokenizer, max_tokens, wording)
        kept = [(answer, line.desirable) for answer, line in zip(answers, labelled, strict=True) if answer]
        others = mismatched([answer for answer, _ in kept], max_tokens)
        return [
            Example((answer, other), desirable)
            for (answer, desirable), other in zip(kept, others, strict=True)
        ]
    return [Example((chat,)) for chat in tokenize(chats, tokenizer, max_tokens, wording) if chat]


def mismatched(chats: Sequence[TokenizedChat], max_tokens: int) -> list[TokenizedChat]:
    """Each prompt with the answer of the chat before it that answers another prompt, in a circle.

    TRL takes the answer before it in the batch, whatever it answers; a whole file gives more choice, and one that is
    made once can keep its reference. An answer is cut where it makes the chat too long: nothing is learned from it.
    """
    others: list[TokenizedChat] = []
    is_one = len({_prompt(chat) for chat in chats}) == 1
    other = chats[0] if chats else None
    for place in range(2 * len(chats)):  # the second round knows the end of the circle
        chat, before = chats[place % len(chats)], chats[place % len(chats) - 1]
        other = before if other is None or is_one or _prompt(before) != _prompt(chat) else other
        if place >= len(chats):
            tokens = (*_prompt(chat), *other.tokens[other.answer_start :])
            others.append(TokenizedChat(tokens[:max_tokens], chat.answer_start))
    return others


def _prompt(chat: TokenizedChat) -> tuple[int, ...]:
    return chat.tokens[: chat.answer_start]
