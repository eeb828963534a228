"""Finds and replaces personal data in records. Fails closed: a record is anonymized whole, or a failure takes its place."""

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import TYPE_CHECKING

from gateway_tuning.anonymization.masking import AnonymizedRecord, mask
from gateway_tuning.anonymization.recognition import IDENTIFYING_ENTITIES, EntityFinder, Span
from gateway_tuning.errors import AnonymizationError, missing_extra

if TYPE_CHECKING:
    from presidio_analyzer import EntityRecognizer

_RULES_VERSION = 1  # raise it with every change in this room that can change a masked text


@dataclass(frozen=True, slots=True)
class AnonymizationFailure:
    """`reason` names fields and causes and quotes nothing of the record."""

    reason: str


class Anonymizer:
    """Safe to share between threads; they take turns.

    Spans of recent texts are kept by hash, for prompts come again: `cached_texts` bounds how many.
    """

    def __init__(
        self,
        spacy_model: str,
        *,
        entities: Sequence[str] = IDENTIFYING_ENTITIES,
        score_threshold: float = 0.4,
        extra_recognizers: Sequence["EntityRecognizer"] = (),
        batch_size: int = 64,
        max_characters: int = 100_000,
        cached_texts: int = 20_000,
    ) -> None:
        """Load the models, see `EntityFinder`."""
        self._finder = EntityFinder(
            spacy_model,
            entities=entities,
            score_threshold=score_threshold,
            extra_recognizers=extra_recognizers,
            batch_size=batch_size,
            max_characters=max_characters,
        )
        self._cache: OrderedDict[bytes, tuple[Span, ...]] = OrderedDict()
        self._cached_texts = cached_texts
        self._turn = threading.Lock()

    def anonymize(
        self, records: Sequence[Mapping[str, str]]
    ) -> list[AnonymizedRecord | AnonymizationFailure]:
        """One result a record, in order. Field names must not be personal: reasons repeat them."""
        with self._turn:
            found = self._find(text for record in records for text in record.values())
        return [self._anonymize_one(record, found) for record in records]

    def _anonymize_one(
        self, record: Mapping[str, str], found: Mapping[str, tuple[Span, ...] | AnonymizationError]
    ) -> AnonymizedRecord | AnonymizationFailure:
        spans: dict[str, tuple[Span, ...]] = {}
        failures = []
        for name, text in record.items():
            result = found[text]
            if isinstance(result, AnonymizationError):
                failures.append(f"{name} {result}")
            else:
                spans[name] = result
        if failures:
            return AnonymizationFailure("; ".join(failures))
        try:
            return mask(record, spans, entities=self._finder.entities)
        except AnonymizationError as error:
            return AnonymizationFailure(str(error))

    def _find(self, texts: Iterable[str]) -> dict[str, tuple[Span, ...] | AnonymizationError]:
        keys = {text: hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest() for text in texts}
        found: dict[str, tuple[Span, ...] | AnonymizationError] = {}
        unseen = []
        for text, key in keys.items():
            if not text or text.isspace():
                found[text] = ()
            elif key in self._cache:
                self._cache.move_to_end(key)
                found[text] = self._cache[key]
            else:
                unseen.append(text)
        for text, result in zip(unseen, self._finder.find(unseen), strict=True):
            found[text] = result
            if not isinstance(result, AnonymizationError):
                self._cache[keys[text]] = result
        while len(self._cache) > self._cached_texts:
            self._cache.popitem(last=False)
        return found


def anonymizer_version(spacy_model: str) -> str:
    """Names what decides which text is masked. Reads package data alone, loads no model.

    Raises:
        MissingExtraError: one of the packages is not installed.
    """
    parts = [f"rules {_RULES_VERSION}"]
    for package in ("presidio-analyzer", "spacy", spacy_model):
        try:
            parts.append(f"{package} {metadata.version(package)}")
        except metadata.PackageNotFoundError:
            raise missing_extra(package, "privacy") from None
    return ", ".join(parts)
