"""People, places and more by a spaCy model: with numpy where the model's network allows it, else with spaCy."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from gateway_tuning.anonymization.entities import Span
from gateway_tuning.anonymization.lean_imports import import_spacy
from gateway_tuning.anonymization.names.finder import NameFinder
from gateway_tuning.anonymization.names.network import read_network
from gateway_tuning.errors import ConfigurationError

if TYPE_CHECKING:
    from spacy.language import Language
    from spacy.tokens import Doc

ENTITY_OF_LABEL = {
    "PER": "PERSON",
    "PERSON": "PERSON",
    "GPE": "LOCATION",
    "LOC": "LOCATION",
    "LOCATION": "LOCATION",
    "FAC": "LOCATION",
    "NORP": "NRP",
    "ORG": "ORGANIZATION",
    "DATE": "DATE_TIME",
    "TIME": "DATE_TIME",
}
"""As in Presidio's default configuration."""

_KEPT_WORDS = 150_000  # about 100 bytes each; beyond them, words live as long as their batch
_SCORE = 0.85  # Presidio's for everything that a spaCy model finds
_UNUSED = (
    "tagger", "parser", "senter", "morphologizer", "attribute_ruler", "lemmatizer", "trainable_lemmatizer", "textcat",
    "textcat_multilabel", "spancat",
)  # fmt: skip


class LanguageModel:
    """Not for use from several threads at a time."""

    def __init__(self, spacy_model: str, *, exact_numpy: bool = True) -> None:
        """Without `exact_numpy` spaCy computes the network: the same entities, slower.

        Raises:
            MissingExtraError: spaCy is not installed.
            ConfigurationError: the model is not installed, or finds no named entities.
        """
        self._nlp = _load(spacy_model)
        network = read_network(self._nlp) if exact_numpy else None
        # Whatever else is in the pipeline (rules, a second network) may add entities: then spaCy runs it all.
        alone = set(self._nlp.pipe_names) <= {"tok2vec", "ner"}
        self._names = NameFinder(network, self._nlp) if network and alone else None

    @property
    def computes_with_numpy(self) -> bool:
        return self._names is not None

    @contextmanager
    def words(self) -> Iterator[None]:
        """Texts are read within this context, and their tokens may live there alone: so memory stays bounded."""
        full = len(self._nlp.vocab) > _KEPT_WORDS
        with self._nlp.memory_zone() if full else nullcontext():
            yield

    def find(self, texts: Sequence[str]) -> list[tuple[Span, ...]]:
        if self._names is not None:
            found = self._names.find(texts)
        else:
            docs = self._nlp.pipe(texts, batch_size=len(texts) or 1)
            found = [
                [(entity.start_char, entity.end_char, entity.label_) for entity in doc.ents] for doc in docs
            ]
        return [
            tuple(
                Span(start, end, ENTITY_OF_LABEL[label], _SCORE)
                for start, end, label in entities
                if label in ENTITY_OF_LABEL
            )
            for entities in found
        ]

    def tokenize(self, text: str) -> "Doc":
        return self._nlp.make_doc(text)


def _load(spacy_model: str) -> "Language":
    spacy = import_spacy()
    if not spacy.util.is_package(spacy_model):
        raise ConfigurationError(
            f"spaCy model {spacy_model!r} is not installed; install its package or set "
            "GATEWAY_TUNING_SPACY_MODEL to one that is"
        )
    nlp: Language = spacy.load(spacy_model, exclude=list(_UNUSED))
    if "ner" not in nlp.pipe_names:
        raise ConfigurationError(
            f"spaCy model {spacy_model!r} has no pipe 'ner', so it finds no names; set GATEWAY_TUNING_SPACY_MODEL "
            "to a model that has one"
        )
    for _, pipe in nlp.pipeline:
        model: Any = getattr(pipe, "model", None)
        for node in model.walk() if hasattr(model, "walk") else ():
            node.ops.use_blis = False  # OpenBLAS is up to three times as fast, with the same entities
    return nlp
