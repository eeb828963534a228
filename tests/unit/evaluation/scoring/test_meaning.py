from pathlib import Path

import numpy as np
import pytest

from gateway_tuning.errors import IntegrityError, MissingExtraError
from gateway_tuning.evaluation.scoring import catalog
from gateway_tuning.evaluation.scoring.meaning import embedder, minilm
from gateway_tuning.evaluation.scoring.meaning.embedder import (
    MOST_CHARACTERS,
    best_embedder,
    lexical_embedder,
)
from gateway_tuning.evaluation.scoring.meaning.grams import CharacterGrams
from gateway_tuning.evaluation.scoring.meaning.scorers import coherence, relevance, semantic_similarity
from gateway_tuning.evaluation.scoring.protocol import Item

QUESTION = "How do I reset my router?"
GOOD = "Hold the button until the router restarts."
BAD = "Bananas are yellow."
GERMAN = "Wie setze ich den Router zurück?"

needs_model = pytest.mark.skipif(not minilm.is_installed(), reason="the embeddings extra is not installed")
every_embedder = pytest.mark.parametrize(
    "vectors",
    [
        pytest.param(best_embedder, marks=needs_model, id="model"),
        pytest.param(lexical_embedder, id="letters"),
    ],
)


def cosine(one, other, vectors):
    left, right = vectors().embed([one, other])
    return float(left @ right)


def value(scorer, answer, *, prompt=QUESTION, reference=None):
    return scorer.score([Item(prompt, answer, reference)])[0].value


@needs_model
def test_vectors_are_those_of_the_model_in_torch():
    # transformers 5.23 and torch 2.13 on the same weights, mean over the tokens
    rows = best_embedder().embed([QUESTION, GOOD, BAD, GERMAN])

    assert rows[0, :4] == pytest.approx([0.00141118, -0.01157462, -0.03401963, 0.03012865], abs=2e-6)
    assert (rows @ rows.T)[0] == pytest.approx([1, 0.75664949, 0.00851507, 0.47659907], abs=2e-6)
    assert float(rows[2] @ rows[3]) == pytest.approx(-0.04271867, abs=2e-6)


@needs_model
def test_meaning_is_seen_where_no_letters_are_shared():
    same, other = "The physician was ill.", "The spreadsheet was long."

    assert (
        cosine(same, "A doctor felt sick.", best_embedder)
        > cosine(other, "A doctor felt sick.", best_embedder) + 0.3
    )


@every_embedder
def test_rows_are_of_length_one_and_of_zeros_without_words(vectors):
    rows = vectors().embed(
        [QUESTION, "退货需要多长时间", "", "🙂 ..." if vectors is lexical_embedder else "  "]
    )

    assert np.linalg.norm(rows, axis=1) == pytest.approx([1, 1, 0, 0], abs=1e-5)


@every_embedder
def test_a_row_is_the_same_in_any_company_and_when_it_is_asked_for_again(vectors):
    texts = [GERMAN, *(f"{GOOD} Number {number}. " * number for number in range(1, 8))]
    together = vectors().embed(texts)

    assert vectors().embed(texts[::-1])[::-1] == pytest.approx(together, abs=1e-6)
    alone = type(vectors())()  # with nothing kept from before
    assert np.concatenate([alone.embed([text]) for text in texts]) == pytest.approx(together, abs=1e-5)


@needs_model
def test_vectors_that_were_forgotten_are_made_again(monkeypatch):
    monkeypatch.setattr(minilm, "_KEPT", 2)
    small = minilm.MiniLM()
    texts = [QUESTION, GOOD, BAD, QUESTION, GERMAN]

    assert small.embed(texts) == pytest.approx(best_embedder().embed(texts), abs=1e-5)
    assert small.embed(texts[::-1]) == pytest.approx(best_embedder().embed(texts[::-1]), abs=1e-5)


@every_embedder
def test_the_end_of_a_long_text_counts_until_the_limit(vectors):
    filler = "The weather report of that day said nothing of interest. " * 30

    assert cosine(filler, filler + GOOD, vectors) < 0.9999
    padded = filler * 20
    assert len(padded) > MOST_CHARACTERS
    assert cosine(padded, padded + GOOD, vectors) == pytest.approx(1.0)


@every_embedder
def test_an_answer_near_the_preferred_one_scores_above_a_stranger(vectors):
    scorer = semantic_similarity(vectors())
    reference = "Press the reset button until the router restarts."

    assert value(scorer, reference, reference=reference) == pytest.approx(1.0)
    assert value(scorer, GOOD, reference=reference) > value(scorer, BAD, reference=reference) + 0.3
    assert value(scorer, "", reference=reference) == 0.0
    assert value(scorer, GOOD) is None


@every_embedder
def test_one_sentence_that_answers_is_enough_to_be_relevant(vectors):
    scorer = relevance(vectors())

    assert value(scorer, f"{BAD} To reset the router: {GOOD}") > value(scorer, BAD) + 0.3


@every_embedder
def test_repeating_the_question_is_no_relevant_answer(vectors):
    scorer = relevance(vectors())

    assert value(scorer, QUESTION) == value(scorer, f"{QUESTION} {QUESTION.upper()}") == 0.0
    assert value(scorer, f"{QUESTION} {BAD}") == pytest.approx(value(scorer, BAD), abs=1e-5)


@every_embedder
def test_code_alone_may_be_relevant(vectors):
    answer = "```\nreset_router(wait=10)\n```"

    assert value(relevance(vectors()), answer, prompt="Code to reset the router") > 0


@every_embedder
def test_neighbours_on_one_subject_cohere(vectors):
    scorer = coherence(vectors())
    together = "The router has a small button. Hold the button of the router. Then the router restarts."
    apart = "The router has a small button. Bananas are yellow. Paris was founded long ago."

    assert value(scorer, together) > value(scorer, apart) + 0.1


@every_embedder
def test_saying_the_same_over_and_over_does_not_cohere(vectors):
    (score,) = coherence(vectors()).score([Item(QUESTION, f"{GOOD} " * 10, None)])

    assert score.value == 0.0
    assert score.notes == ("9 of 10 sentences stood there before",)


@every_embedder
def test_the_coherence_of_one_sentence_is_unknown(vectors):
    assert value(coherence(vectors()), GOOD) is None


@pytest.fixture
def without_model(monkeypatch):
    monkeypatch.setattr(minilm, "_folder", lambda: None)
    best_embedder.cache_clear()
    yield
    best_embedder.cache_clear()


@pytest.mark.usefixtures("without_model")
@pytest.mark.parametrize("name", ["semantic_similarity", "relevance", "coherence"])
def test_without_the_model_a_metric_is_another_one_that_says_so(name):
    fallback = catalog.scorer(name)

    assert fallback.card.name == f"{name}_lexical"
    assert fallback.card.label.endswith("(by letters)")
    assert "not meaning" in fallback.card.formula
    assert CharacterGrams.version in fallback.version


@needs_model
def test_figures_of_the_two_have_other_names_and_versions():
    ours, letters = catalog.scorer("relevance"), catalog.scorer("relevance_lexical")

    assert (ours.card.name, letters.card.name) == ("relevance", "relevance_lexical")
    assert ours.version != letters.version


@pytest.mark.usefixtures("without_model")
def test_the_missing_model_is_named_with_its_remedy():
    with pytest.raises(MissingExtraError, match=r"llm-gateway-tuning\[embeddings\]"):
        minilm.MiniLM()


def test_another_model_than_the_published_one_is_not_used(monkeypatch, tmp_path: Path):
    (tmp_path / "model.safetensors").write_bytes(b"other weights")
    monkeypatch.setattr(minilm, "_folder", lambda: tmp_path)
    embedder.best_embedder.cache_clear()

    with pytest.raises(IntegrityError, match="not the published file"):
        best_embedder()
