"""Count the tokens of a dataset as a provider will: with the base model's tokenizer where it lies on this machine."""

from collections.abc import Iterable, Iterator
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import Any

from gateway_tuning.datasets.example import Example
from gateway_tuning.datasets.formats import find
from gateway_tuning.datasets.formats.content import Content, content_of
from gateway_tuning.datasets.formats.format import Skipped
from gateway_tuning.datasets.manifest import Manifest
from gateway_tuning.datasets.published import read_parts
from gateway_tuning.errors import ConfigurationError, GatewayTuningError
from gateway_tuning.storage.object_store import ObjectStore
from gateway_tuning.training.cost.prices import PriceBook
from gateway_tuning.training.cost.tokens import (
    Measure,
    TokenCount,
    approximated,
    conversations,
    counted,
)
from gateway_tuning.training.local.data.chats import Chat, has_control_words
from gateway_tuning.training.local.data.wording import PACKAGED, wording_of
from gateway_tuning.training.local.model import weights

LOCAL_PROVIDER = "llama"
_AROUND_A_MESSAGE = 4  # for want of the template of a tokenizer that is given without one
_TOLD = Decimal("0.05")  # how far the template of a service may lie from that


def tokens_of_split(
    store: ObjectStore,
    manifest: Manifest,
    split: str,
    *,
    format_name: str,
    provider: str,
    base_model: str,
    book: PriceBook,
    cache_dir: Path,
) -> TokenCount:
    """Of the examples of a split that the format can carry, one pass. Nothing is written.

    Raises:
        ConfigurationError: a tokenizer of the user's own cannot be read.
        IntegrityError: what is stored is not what the manifest says.
    """
    parts = read_parts(store, manifest, split)
    contents = _carried((example for part in parts for example in part), format_name)
    own = book.tokenizer(provider, base_model)
    if own is not None:
        return counted(contents, _given(Path(own)))
    if provider != LOCAL_PROVIDER:
        return approximated(contents, why=f"the tokenizer of {base_model} is not here")
    try:
        measure = _local(base_model, cache_dir)
    except (GatewayTuningError, ImportError) as error:
        return approximated(contents, why=f"the tokenizer of {base_model} cannot be used ({error})")
    return counted(contents, measure)


def _carried(examples: Iterable[Example], format_name: str) -> Iterator[Content]:
    chosen = find(format_name)
    for example in examples:
        if not isinstance(chosen.write(example), Skipped):
            yield content_of(example)


def _local(base_model: str, cache_dir: Path) -> Measure:
    """As the local trainer words and tokenizes a chat: to the token."""
    own = base_model != weights.BASE_MODEL
    folder = Path(base_model) if own else weights.converted_weights(cache_dir)
    wording = wording_of(folder) if own else PACKAGED
    tokenizer = _tokenizer(str(folder / "tokenizer.json"))

    def tokens(content: Content) -> int:
        total = 0
        for conversation in conversations(content):
            chat = Chat.model_validate(
                {"messages": [{"role": role, "content": text or " "} for role, text in conversation]}
            )
            if has_control_words(chat, wording.control_words):
                continue  # the trainer leaves it out
            for text in (wording.prompt(chat), wording.answer(chat)):
                total += len(tokenizer.encode(text, add_special_tokens=False).ids)
        return total

    return Measure(tokens, f"the tokenizer of {folder.name if own else base_model}", Decimal(0))


def _given(path: Path) -> Measure:
    tokenizer = _tokenizer(str(path / "tokenizer.json" if path.is_dir() else path))

    def tokens(content: Content) -> int:
        return sum(
            _AROUND_A_MESSAGE + len(tokenizer.encode(text, add_special_tokens=False).ids)
            for conversation in conversations(content)
            for _role, text in conversation
        )

    return Measure(tokens, f"the tokenizer in {path.name}, with 4 tokens around a message", _TOLD)


@lru_cache(maxsize=4)
def _tokenizer(path: str) -> Any:
    from tokenizers import Tokenizer

    try:
        return Tokenizer.from_file(path)
    except Exception as error:  # the library raises nothing narrower
        raise ConfigurationError(
            f"{path} is no tokenizer.json that can be read ({error}); give the one of the base model"
        ) from error
