"""Finds personal data in texts: names by a spaCy model, the rest by patterns. Fails closed and stays offline."""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from gateway_tuning.anonymization.entities import IDENTIFYING_ENTITIES, Span
from gateway_tuning.anonymization.names.corrections import correct_names
from gateway_tuning.anonymization.names.language_model import ENTITY_OF_LABEL, LanguageModel
from gateway_tuning.anonymization.patterns.addresses import find_addresses, find_codes_beside
from gateway_tuning.anonymization.patterns.credentials import CREDENTIAL_PATTERNS
from gateway_tuning.anonymization.patterns.ibans import find_ibans
from gateway_tuning.anonymization.patterns.identifiers import IDENTIFIER_PATTERNS
from gateway_tuning.anonymization.patterns.pattern import Patterns, Text, prepare
from gateway_tuning.anonymization.patterns.people import find_people, find_recipients
from gateway_tuning.anonymization.patterns.phones import find_phones
from gateway_tuning.anonymization.presidio import (
    VALIDATED_ENTITIES,
    PresidioRecognizers,
    require_engine_log,
)
from gateway_tuning.errors import AnonymizationError, ConfigurationError

if TYPE_CHECKING:
    from presidio_analyzer import EntityRecognizer

__all__ = ["IDENTIFYING_ENTITIES", "EntityFinder", "Span"]

_KNOWN_ENTITIES = frozenset(IDENTIFYING_ENTITIES) | VALIDATED_ENTITIES | frozenset(ENTITY_OF_LABEL.values())
_ENTITY_NAME = re.compile(r"[A-Z][A-Z0-9_]*")
_BATCH_CHARACTERS = 100_000  # memory is needed in proportion to what is held at once


class EntityFinder:
    """Loads the models once (seconds). Not for use from several threads at a time."""

    def __init__(
        self,
        spacy_model: str,
        *,
        entities: Sequence[str] = IDENTIFYING_ENTITIES,
        score_threshold: float = 0.4,
        extra_recognizers: Sequence["EntityRecognizer"] = (),
        batch_size: int = 64,
        max_characters: int = 100_000,
    ) -> None:
        """Entities of `extra_recognizers` are added to `entities`.

        A phone number without words like "call" near it scores 0.4, so a higher threshold loses those.

        Raises:
            MissingExtraError: Presidio or spaCy is not installed.
            ConfigurationError: the model is not installed, or an entity name does not fit a placeholder or is
                found by nothing.
        """
        extra_entities = [name for recognizer in extra_recognizers for name in recognizer.supported_entities]
        self.entities = tuple(dict.fromkeys([*entities, *extra_entities]))
        for name in self.entities:
            if not _ENTITY_NAME.fullmatch(name):
                raise ConfigurationError(f"Entity {name!r}: use capitals, digits and _ as in PHONE_NUMBER")
        unknown = sorted({*self.entities} - {*extra_entities} - _KNOWN_ENTITIES)
        if unknown:
            raise ConfigurationError(
                f"Nothing finds the entity {unknown[0]}; give a recognizer for it, or choose of: "
                f"{', '.join(sorted(_KNOWN_ENTITIES))}"
            )
        self._wanted = frozenset(self.entities)
        self._score_threshold = score_threshold
        self._batch_size = batch_size
        self._max_characters = max_characters
        self._recognizers = PresidioRecognizers(self.entities, extra_recognizers)
        self._model = LanguageModel(spacy_model)
        self._patterns = Patterns(
            pattern
            for pattern in (*IDENTIFIER_PATTERNS, *CREDENTIAL_PATTERNS)
            if pattern.entity in self._wanted
        )

    def find(self, texts: Sequence[str]) -> list[tuple[Span, ...] | AnonymizationError]:
        """The spans of each text, or why it could not be analysed, in a message that quotes nothing of it.

        Spans are sorted by position; those of different entities may overlap.

        Raises:
            ConfigurationError: somebody switched the engine's log off, so that its warnings would go unseen.
        """
        require_engine_log()
        results: dict[int, tuple[Span, ...] | AnonymizationError] = {}
        short = []
        for position, text in enumerate(texts):
            if len(text) > self._max_characters:
                results[position] = AnonymizationError(
                    f"has {len(text)} characters, more than the {self._max_characters} that are analysed"
                )
            else:
                short.append(position)
        for batch in self._batches(texts, short):
            results.update(
                zip(batch, self._find_in_batch([texts[position] for position in batch]), strict=True)
            )
        return [results[position] for position in range(len(texts))]

    def _batches(self, texts: Sequence[str], positions: Sequence[int]) -> Iterator[list[int]]:
        batch: list[int] = []
        characters = 0
        for position in positions:
            characters += len(texts[position])
            if batch and (len(batch) == self._batch_size or characters > _BATCH_CHARACTERS):
                yield batch
                batch, characters = [], len(texts[position])
            batch.append(position)
        if batch:
            yield batch

    def _find_in_batch(self, texts: list[str]) -> Sequence[tuple[Span, ...] | AnonymizationError]:
        try:
            return self._analyze(texts)
        except Exception as error:  # noqa: BLE001 - whatever a recognizer raises, the text goes nowhere
            if len(texts) == 1:
                # The name of the class alone: a message may quote the text.
                return [AnonymizationError(f"could not be analysed ({type(error).__name__})")]
        return [result for text in texts for result in self._find_in_batch([text])]

    def _analyze(self, texts: list[str]) -> list[tuple[Span, ...]]:
        results = []
        with self._model.words():
            for raw, entities in zip(texts, self._model.find(texts), strict=True):
                text = prepare(raw)
                named = tuple(correct_names(raw, entities))
                spans = [
                    *named,
                    *self._recognizers.find(text, self._model.tokenize),
                    *self._find_by_patterns(text, named),
                ]
                results.append(
                    _without_repetitions(
                        span
                        for span in spans
                        if span.entity in self._wanted and span.score >= self._score_threshold
                    )
                )
        return results

    def _find_by_patterns(self, text: Text, named: Sequence[Span]) -> Iterator[Span]:
        yield from self._patterns.find(text)
        yield from find_people(text)
        yield from find_phones(text)
        yield from find_ibans(text)
        for address in find_addresses(text):
            yield address
            if address.entity == "STREET_ADDRESS":
                yield from find_recipients(text.text, address.start)
        for place in named:
            if place.entity == "LOCATION":
                yield from find_codes_beside(text, place)


def _without_repetitions(spans: Iterable[Span]) -> tuple[Span, ...]:
    """Without spans that lie in one of the same entity; sorted by position."""
    kept: list[Span] = []
    reach: dict[str, int] = {}
    for span in sorted(spans, key=lambda span: (span.start, -span.end, -span.score, span.entity)):
        if span.end > reach.get(span.entity, -1):
            reach[span.entity] = span.end
            kept.append(span)
    return tuple(kept)
