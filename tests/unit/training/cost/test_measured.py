"""How far off counting by characters is, measured with the local base model's tokenizer on the repository's samples."""

import json
from pathlib import Path

import pytest

from gateway_tuning.datasets.example import ExampleKind, Turn
from gateway_tuning.datasets.formats.content import Content
from gateway_tuning.training.cost.tokens import (
    ACCENTED_ERROR,
    ENGLISH_ERROR,
    approximate_tokens,
    approximated,
)
from tests.base_model import give_base_model

pytestmark = pytest.mark.slow  # the tokenizer is taken out of the packaged base model

ROOT = Path(__file__).parents[4]
GERMAN_AND_FRENCH = (
    "Guten Tag, wo finde ich meine Rechnung für die letzte Bestellung? Bitte um schnelle Antwort, vielen Dank.",
    "Die Lieferung ist beschädigt angekommen. Können Sie mir bitte Ersatz schicken oder den Betrag zurücküberweisen?",
    "Bonjour, je voudrais retourner un article acheté la semaine dernière, comment dois-je procéder exactement ?",
    "Le colis n'est jamais arrivé et le numéro de suivi ne fonctionne pas. Pouvez-vous vérifier s'il vous plaît ?",
)


@pytest.fixture(scope="module")
def exact(tmp_path_factory):
    from gguf import GGUFReader
    from tokenizers import Tokenizer

    from gateway_tuning.training.local.model.weights import _write_tokenizer, packaged_gguf

    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    _write_tokenizer(GGUFReader(packaged_gguf()), path)
    tokenizer = Tokenizer.from_file(str(path))
    return lambda texts: sum(
        len(found.ids) for found in tokenizer.encode_batch(texts, add_special_tokens=False)
    )


def samples():
    for line in (ROOT / "examples" / "feedback.jsonl").read_text(errors="replace").splitlines():
        try:
            record = json.loads(line)
        except json.JSONDecodeError:
            continue  # some are broken on purpose
        if isinstance(record, dict):
            texts = (record.get(name) for name in ("prompt", "response", "corrected_response"))
            yield from (text for text in texts if isinstance(text, str))


@pytest.mark.parametrize(
    "texts", [list(samples()), [(ROOT / "README.md").read_text()]], ids=["feedback", "readme"]
)
def test_english_lies_within_the_band_that_is_told(exact, texts):
    ratio = sum(map(approximate_tokens, texts)) / exact(texts)

    assert abs(1 - ratio) <= ENGLISH_ERROR


def test_german_and_french_lie_within_the_band_that_is_told(exact):
    ratio = sum(map(approximate_tokens, GERMAN_AND_FRENCH)) / exact(list(GERMAN_AND_FRENCH))
    count = approximated(
        [Content(ExampleKind.DEMONSTRATION, (Turn("user", text),), "ok") for text in GERMAN_AND_FRENCH],
        why="",
    )

    assert count.error == ACCENTED_ERROR
    assert abs(1 - ratio) <= ACCENTED_ERROR


def test_the_local_model_counts_to_the_token_what_its_trainer_reads(tmp_path_factory):
    from tokenizers import Tokenizer

    from gateway_tuning.training.cost.counting import _local
    from gateway_tuning.training.local.data.batches import tokenize
    from gateway_tuning.training.local.data.chats import Chat, Message
    from gateway_tuning.training.local.model.weights import BASE_MODEL, converted_weights

    cache = give_base_model(tmp_path_factory.mktemp("cache"))
    turns = (Turn("system", "Be brief."), Turn("user", "Wo ist mein Paket 4711?"))
    content = Content(ExampleKind.DEMONSTRATION, turns, "Es kommt morgen.")
    chat = Chat(
        messages=(*(Message(role=turn.role, content=turn.content) for turn in turns),
                  Message(role="assistant", content=content.answer))
    )  # fmt: skip
    tokenizer = Tokenizer.from_file(str(converted_weights(cache) / "tokenizer.json"))

    assert _local(BASE_MODEL, cache).tokens_of(content) == len(tokenize([chat], tokenizer, 512)[0])
