"""Presidio's validated recognizers, run where a text holds what they need, and recognizers of a site's own."""

import logging
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gateway_tuning.anonymization.entities import Span
from gateway_tuning.anonymization.lean_imports import import_recognizers
from gateway_tuning.anonymization.patterns.pattern import Text, merge
from gateway_tuning.errors import AnonymizationError, ConfigurationError

if TYPE_CHECKING:
    from presidio_analyzer import EntityRecognizer
    from spacy.tokens import Doc

# Recognizer, entity, the digits (separators aside) and an expression without which none of its patterns matches.
# Where it can, the expression begins with a character that is rare.
_VALIDATED = (
    ("CreditCardRecognizer", "CREDIT_CARD", 13, r"(?:[0-9][ -]?){12}[0-9]"),
    ("IbanRecognizer", "IBAN_CODE", 2, r"[A-Z]{2}[0-9]{2}[ -]?[A-Z0-9]{4}"),
    ("CryptoRecognizer", "CRYPTO", 1, r"(?:bc1|[13])[a-zA-HJ-NP-Z0-9]{25}"),
    ("IpRecognizer", "IP_ADDRESS", 1, r"\.(?<=[0-9]\.)[0-9]{1,3}\.[0-9]|:(?:(?<=[0-9A-Fa-f]:)[0-9A-Fa-f]{0,4}:|:[0-9A-Fa-f])"),
    ("MacAddressRecognizer", "MAC_ADDRESS", 1, r"[:-][0-9A-Fa-f]{2}[:-][0-9A-Fa-f]{2}[:-]|\.(?<=[0-9A-Fa-f]\.)[0-9A-Fa-f]{4}\."),
    ("UsSsnRecognizer", "US_SSN", 9, r"(?<![0-9])[0-9]{3}[- .][0-9]{2}[- .][0-9]{4}(?![0-9])"),
    ("UsItinRecognizer", "US_ITIN", 9, r"\b9[0-9]{2}[- ]?[0-9]{2}[- ]?[0-9]{4}\b"),
    ("UsPassportRecognizer", "US_PASSPORT", 8, r"\b[A-Z0-9][0-9]{8}\b"),
)  # fmt: skip
VALIDATED_ENTITIES = frozenset(entity for _, entity, _, _ in _VALIDATED)
_MARGIN = 100  # characters
_CONTEXT_WORDS = 5  # before the span, as Presidio's enhancer takes them
_CONTEXT_CHARACTERS = 80
_CONTEXT_GAIN, _SCORE_WITH_CONTEXT = 0.35, 0.4  # Presidio's
_NO_HOST = re.compile(r"(?:255|0|127)\.|::1?$")
_VERSION = re.compile(r"(?i)(?:version|release|\bv\.?|==|>=)[ ]?$")
_WORD = re.compile(r"\w+")
_LANGUAGE = "en"
_ENGINE_LOG = logging.getLogger("presidio-analyzer")


class _EndAnalysis(logging.Handler):
    """Turns the engine's warnings into errors.

    Presidio skips a pattern that ran out of time and says so in its log alone, at times with the text: that
    would let personal data through, and into the log.
    """

    def emit(self, record: logging.LogRecord) -> None:
        raise AnonymizationError(f"the engine complained at {record.module}:{record.lineno}")


@dataclass(frozen=True, slots=True)
class _Recognizer:
    recognizer: Any
    entity: str
    digits: int
    required: re.Pattern[str]
    context: tuple[str, ...]


class PresidioRecognizers:
    def __init__(self, entities: Sequence[str], extra: Sequence["EntityRecognizer"] = ()) -> None:
        """Raises `MissingExtraError` where Presidio is not installed."""
        predefined_recognizers = import_recognizers()
        self._entities = list(entities)
        self._extra = tuple(extra)
        self._validated = tuple(
            _Recognizer(
                recognizer,
                entity,
                digits,
                re.compile(required),
                tuple(word.strip(" #") for word in recognizer.context),
            )
            for name, entity, digits, required in _VALIDATED
            if entity in entities
            for recognizer in [getattr(predefined_recognizers, name)(supported_language=_LANGUAGE)]
        )
        _ENGINE_LOG.setLevel(logging.WARNING)
        _ENGINE_LOG.handlers = [_EndAnalysis()]
        _ENGINE_LOG.propagate = False

    def find(self, text: Text, tokenize: Callable[[str], "Doc"]) -> Iterator[Span]:
        """A site's own recognizers may look at tokens; without them there are none to make."""
        for one in self._validated:
            if text.digits >= one.digits:
                for start, end in _windows(text, one.required):
                    hits = one.recognizer.analyze(text.text[start:end], [one.entity], None)
                    yield from self._spans(hits, text, one.context, start)
        if self._extra:
            artifacts = _artifacts(tokenize(text.text))
            for extra in self._extra:
                hits = extra.analyze(text.text, self._entities, artifacts)
                yield from self._spans(hits, text, tuple(extra.context or ()))

    def _spans(self, hits: Any, text: Text, context: tuple[str, ...], offset: int = 0) -> Iterator[Span]:
        for hit in hits or ():
            start, end = int(hit.start) + offset, int(hit.end) + offset
            if hit.entity_type == "IP_ADDRESS" and _leads_to_nobody(text.text, start, end):
                continue
            score = float(hit.score)
            if context and score < 1 and _has_context(text.text, start, context):
                score = min(1.0, max(score + _CONTEXT_GAIN, _SCORE_WITH_CONTEXT))
            yield Span(start, end, str(hit.entity_type), score)


def require_engine_log() -> None:
    """Raises `ConfigurationError` where somebody switched the engine's log off: its warnings would go unseen."""
    if not _ENGINE_LOG.isEnabledFor(logging.WARNING) or not _ENGINE_LOG.handlers:
        raise ConfigurationError(
            "Warnings of the logger presidio-analyzer are switched off; anonymization needs them to notice a "
            "recognizer that gave up. Leave that logger out of logging.disable() and logging configurations"
        )


def _windows(text: Text, required: re.Pattern[str]) -> Iterator[tuple[int, int]]:
    """The surroundings of what is required; no value is longer than the margin on either side."""
    return merge(
        (found.start() - _MARGIN, found.end() + _MARGIN)
        for start, end in text.near_digits
        for found in required.finditer(text.text, start, end)
    )


def _leads_to_nobody(text: str, start: int, end: int) -> bool:
    """Masks, the own machine, and version numbers of four parts."""
    return bool(_NO_HOST.match(text[start:end]) or _VERSION.search(text[max(0, start - 12) : start]))


def _has_context(text: str, start: int, context: Sequence[str]) -> bool:
    before = text[max(0, start - _CONTEXT_CHARACTERS) : start].lower()
    words = _WORD.findall(before)[-_CONTEXT_WORDS:]
    # Short ones whole: "us" is in "because".
    return any(wanted == word or (len(wanted) > 3 and wanted in word) for wanted in context for word in words)  # noqa: PLR2004


def _artifacts(doc: "Doc") -> Any:
    """What a recognizer of a site may look at: tokens as they are, and words in lower case in place of lemmas."""
    from presidio_analyzer.nlp_engine import NlpArtifacts

    return NlpArtifacts(
        entities=[],
        tokens=doc,
        tokens_indices=[token.idx for token in doc],
        lemmas=[token.lower_ for token in doc],
        nlp_engine=None,
        language=_LANGUAGE,
    )
