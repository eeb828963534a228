"""How chats become text for a base model: the packaged one's template, or that of a model of the user's own."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from gateway_tuning.errors import ConfigurationError, missing_extra
from gateway_tuning.training.local.data.chats import CONTROL_WORDS, END_OF_TURN, Chat, prompt_text


@dataclass(frozen=True, slots=True)
class Wording:
    """`prompt` is what the model sees before it answers; `answer`, with the end of the turn, is what it learns."""

    prompt: Callable[[Chat], str]
    answer: Callable[[Chat], str]
    control_words: tuple[str, ...]


PACKAGED = Wording(prompt_text, lambda chat: chat.answer + END_OF_TURN, CONTROL_WORDS)


def wording_of(folder: Path) -> Wording:
    """By the chat template of a model's folder.

    Raises:
        ConfigurationError: the template's prompt is not the beginning of the whole chat, so that no answer can be told
            apart; or nothing in it ends an answer.
    """
    try:
        from transformers import PreTrainedTokenizerFast
    except ImportError as error:
        raise missing_extra(error.name or "transformers", "train") from error

    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)

    def prompt(chat: Chat) -> str:
        messages = [message.model_dump() for message in chat.messages[:-1]]
        text: str = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        return text

    def answer(chat: Chat) -> str:
        messages = [message.model_dump() for message in chat.messages]
        whole, before = tokenizer.apply_chat_template(messages, tokenize=False), prompt(chat)
        if not whole.startswith(before):
            raise ConfigurationError(
                f"The chat template of {folder} writes another prompt before an answer than without one; "
                "the local trainer cannot tell the answer apart. Put a template without such a switch there"
            )
        # What comes after the end of the turn is never sampled.
        text = str(whole[len(before) :]).rstrip("\n")
        if text.strip() != chat.answer.strip():
            return text
        if tokenizer.eos_token is None:
            raise ConfigurationError(
                f"Neither the chat template of {folder} nor an eos_token of its tokenizer_config.json ends an answer"
            )
        return text + str(tokenizer.eos_token)

    added = tokenizer.added_tokens_decoder.values()
    return Wording(prompt, answer, tuple(str(token) for token in added if token.special))
