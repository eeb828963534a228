"""Finds personal data in texts: Presidio and a spaCy model, set up to fail closed and to stay offline."""

import logging
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gateway_tuning.errors import AnonymizationError, ConfigurationError, missing_extra

if TYPE_CHECKING:
    from presidio_analyzer import BatchAnalyzerEngine, EntityRecognizer
    from presidio_analyzer.nlp_engine import NlpEngine

IDENTIFYING_ENTITIES = (
    "PERSON",
    "LOCATION",  # places and addresses: with little else they name a person
    "EMAIL_ADDRESS",
    "PHONE_NUMBER",
    "CREDIT_CARD",
    "IBAN_CODE",
    "CRYPTO",  # wallet addresses lead to their owner
    "IP_ADDRESS",
    "MAC_ADDRESS",
    "US_SSN",
    "US_ITIN",
    "US_PASSPORT",
)
"""What is masked unless told otherwise: what names a person or leads to one, alone or with little else.

Left out: DATE_TIME, NRP and ORGANIZATION (they describe, and answers live on them), URL (the links of an answer
are its content, and `setup.py` looks like one), US_DRIVER_LICENSE, US_BANK_NUMBER and UK_NHS
(long numbers of other kinds pass for them).
"""

_RECOGNIZERS = (
    "SpacyRecognizer",
    "PhoneRecognizer",
    "CreditCardRecognizer",
    "IbanRecognizer",
    "CryptoRecognizer",
    "IpRecognizer",
    "MacAddressRecognizer",
    "UsSsnRecognizer",
    "UsItinRecognizer",
    "UsPassportRecognizer",
)
_LANGUAGE = "en"
_ENTITY_NAME = re.compile(r"[A-Z][A-Z0-9_]*")
_ENGINE_LOG = logging.getLogger("presidio-analyzer")
_BATCH_CHARACTERS = 100_000  # spaCy needs memory in proportion to what it holds at once


@dataclass(frozen=True, slots=True)
class Span:
    """`text[start:end]` in code points; `score` from 0 to 1."""

    start: int
    end: int
    entity: str
    score: float


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
            ConfigurationError: the model is not installed, or an entity name does not fit a placeholder.
        """
        extra_entities = [name for recognizer in extra_recognizers for name in recognizer.supported_entities]
        self.entities = tuple(dict.fromkeys([*entities, *extra_entities]))
        for name in self.entities:
            if not _ENTITY_NAME.fullmatch(name):
                raise ConfigurationError(f"Entity {name!r}: use capitals, digits and _ as in PHONE_NUMBER")
        self._score_threshold = score_threshold
        self._batch_size = batch_size
        self._max_characters = max_characters
        self._engine = _build_engine(spacy_model, extra_recognizers)

    def find(self, texts: Sequence[str]) -> list[tuple[Span, ...] | AnonymizationError]:
        """The spans of each text, or why it could not be analysed, in a message that quotes nothing of it.

        Raises:
            ConfigurationError: somebody switched the engine's log off, so that its warnings would go unseen.
        """
        if not _ENGINE_LOG.isEnabledFor(logging.WARNING) or not _ENGINE_LOG.handlers:
            raise ConfigurationError(
                "Warnings of the logger presidio-analyzer are switched off; anonymization needs them to notice a "
                "recognizer that gave up. Leave that logger out of logging.disable() and logging configurations"
            )
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
        found = self._engine.analyze_iterator(
            texts,
            language=_LANGUAGE,
            batch_size=len(texts),
            entities=list(self.entities),
            score_threshold=self._score_threshold,
        )
        return [
            tuple(Span(int(hit.start), int(hit.end), str(hit.entity_type), float(hit.score)) for hit in hits)
            for hits in found
        ]


class _EndAnalysis(logging.Handler):
    """Turns the engine's warnings into errors.

    Presidio skips a pattern that ran out of time and says so in its log alone, at times with the text: that
    would let personal data through, and into the log.
    """

    def emit(self, record: logging.LogRecord) -> None:
        raise AnonymizationError(f"the engine complained at {record.module}:{record.lineno}")


def _build_engine(spacy_model: str, extra_recognizers: Sequence["EntityRecognizer"]) -> "BatchAnalyzerEngine":
    try:
        import presidio_analyzer
        from presidio_analyzer import predefined_recognizers
    except ImportError:
        raise missing_extra("presidio-analyzer", "privacy") from None
    email = predefined_recognizers.EmailRecognizer
    registry = presidio_analyzer.RecognizerRegistry(
        recognizers=[
            *(getattr(predefined_recognizers, name)(supported_language=_LANGUAGE) for name in _RECOGNIZERS),
            # The patterns without the check of the domain: that asks the network for the list of suffixes, and
            # drops addresses of internal hosts.
            presidio_analyzer.PatternRecognizer(
                "EMAIL_ADDRESS", patterns=email.PATTERNS, context=email.CONTEXT
            ),
            *extra_recognizers,
        ],
        supported_languages=[_LANGUAGE],
    )
    analyzer = presidio_analyzer.AnalyzerEngine(
        registry=registry, nlp_engine=_load_nlp_engine(spacy_model), supported_languages=[_LANGUAGE]
    )
    _ENGINE_LOG.setLevel(logging.WARNING)
    _ENGINE_LOG.handlers = [_EndAnalysis()]
    _ENGINE_LOG.propagate = False
    return presidio_analyzer.BatchAnalyzerEngine(analyzer)


def _load_nlp_engine(spacy_model: str) -> "NlpEngine":
    from pathlib import Path

    import presidio_analyzer
    import spacy
    import yaml
    from presidio_analyzer.nlp_engine import NlpEngineProvider

    if not spacy.util.is_package(spacy_model):
        # Presidio would try to download it.
        raise ConfigurationError(
            f"spaCy model {spacy_model!r} is not installed; install its package or set "
            "GATEWAY_TUNING_SPACY_MODEL to one that is"
        )
    defaults = Path(presidio_analyzer.__file__).parent / "conf" / "default.yaml"
    configuration: dict[str, Any] = yaml.safe_load(defaults.read_text(encoding="utf-8"))
    configuration["models"] = [{"lang_code": _LANGUAGE, "model_name": spacy_model}]
    engine = NlpEngineProvider(nlp_configuration=configuration).create_engine()
    nlp = engine.nlp[_LANGUAGE]
    if "parser" in nlp.pipe_names:
        nlp.disable_pipe("parser")  # neither names nor lemmas need the syntax tree
    for _, pipe in nlp.pipeline:
        for node in pipe.model.walk() if hasattr(pipe, "model") and pipe.model else ():
            node.ops.use_blis = False  # OpenBLAS is up to three times as fast, with the same entities
    names = engine.ner_model_configuration
    mapped = names.model_to_presidio_entity_mapping
    # A label that the mapping does not know makes Presidio warn on every text.
    names.labels_to_ignore = {
        *names.labels_to_ignore,
        *(label for label in nlp.pipe_labels.get("ner", ()) if label not in mapped),
    }
    return engine
