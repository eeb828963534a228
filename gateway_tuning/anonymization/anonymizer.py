"""Finds and replaces personal data in records. Fails closed: a record is anonymized whole, or a failure takes its place."""

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import TYPE_CHECKING

from gateway_tuning.anonymization.masking import AnonymizedRecord, mask
from gateway_tuning.anonymization.mentions.values import fold_value
from gateway_tuning.anonymization.policy import Action, AnonymizationPolicy, check_entities, find_denied
from gateway_tuning.anonymization.pseudonyms.keyed import Pseudonyms
from gateway_tuning.anonymization.recognition import IDENTIFYING_ENTITIES, EntityFinder, Span
from gateway_tuning.errors import AnonymizationError, ConfigurationError, missing_extra

if TYPE_CHECKING:
    from presidio_analyzer import EntityRecognizer

_RULES_VERSION = 4  # raise it with every change here or of `record_texts` that can change a masked text


@dataclass(frozen=True, slots=True)
class AnonymizationFailure:
    """`reason` names fields and causes and quotes nothing of the record."""

    reason: str


@dataclass(frozen=True, slots=True)
class DroppedRecord:
    """The policy drops records with such data. `reason` names the entities and quotes nothing of the record."""

    reason: str


Result = AnonymizedRecord | AnonymizationFailure | DroppedRecord


class Anonymizer:
    """Safe to share between threads; they take turns.

    Spans of recent texts are kept by hash, for prompts come again: `cached_texts` bounds how many.
    """

    def __init__(
        self,
        spacy_model: str,
        *,
        entities: Sequence[str] = IDENTIFYING_ENTITIES,
        policy: AnonymizationPolicy | None = None,
        pseudonym_key: bytes | None = None,
        extra_recognizers: Sequence["EntityRecognizer"] = (),
        batch_size: int = 64,
        max_characters: int = 100_000,
        cached_texts: int = 20_000,
    ) -> None:
        """Load the models, see `EntityFinder`. `pseudonym_key` is the tenant's, 32 bytes or more.

        Raises:
            MissingExtraError: Presidio or spaCy is not installed.
            ConfigurationError: the model is not installed, the policy names an entity that nothing looks for,
                or asks for pseudonyms and there is no key.
        """
        self.policy = policy or AnonymizationPolicy()
        if self.policy.needs_pseudonyms() and pseudonym_key is None:
            raise ConfigurationError(
                "The policy asks for pseudonyms, and there is no pseudonym key; give one of 32 random bytes"
            )
        self._pseudonyms = Pseudonyms(pseudonym_key) if pseudonym_key is not None else None
        self._finder = EntityFinder(
            spacy_model,
            entities=entities,
            score_threshold=self.policy.score_threshold,
            extra_recognizers=extra_recognizers,
            batch_size=batch_size,
            max_characters=max_characters,
        )
        check_entities(self.policy, self._finder.entities)
        self.entities = tuple(dict.fromkeys([*self._finder.entities, *self.policy.own_entities]))
        self._pseudonymized = frozenset(
            entity for entity in self.entities if self.policy.action_for(entity) is Action.PSEUDONYM
        )
        self._dropping = frozenset(
            entity for entity in self.entities if self.policy.action_for(entity) is Action.DROP_RECORD
        )
        self._allowed = frozenset(fold_value(value) for value in self.policy.allow)
        self._cache: OrderedDict[bytes, tuple[Span, ...]] = OrderedDict()
        self._cached_texts = cached_texts
        self._turn = threading.Lock()

    def anonymize(self, records: Sequence[Mapping[str, str]]) -> list[Result]:
        """One result a record, in order. Field names must not be personal: reasons repeat them."""
        with self._turn:
            found = self._find(text for record in records for text in record.values())
        return [self._anonymize_one(record, found) for record in records]

    def _anonymize_one(
        self, record: Mapping[str, str], found: Mapping[str, tuple[Span, ...] | AnonymizationError]
    ) -> Result:
        spans: dict[str, list[Span]] = {}
        failures = []
        for name, text in record.items():
            result = found[text]
            if isinstance(result, AnonymizationError):
                failures.append(f"{name} {result}")
            else:
                spans[name] = [*find_denied(text, self.policy.deny), *self._acted_on(result)]
        if failures:
            return AnonymizationFailure("; ".join(failures))
        try:
            masked = mask(
                record,
                spans,
                entities=self.entities,
                allowed=self._allowed,
                mask_numbers=self.policy.numbers == "mask",
                pseudonyms=self._pseudonyms,
                pseudonymized=self._pseudonymized,
            )
        except AnonymizationError as error:
            return AnonymizationFailure(str(error))
        dropping = sorted(self._dropping.intersection(masked.entities) | self._overlapped(record, spans))
        return DroppedRecord(f"has {', '.join(dropping)}") if dropping else masked

    def _acted_on(self, spans: Iterable[Span]) -> list[Span]:
        return [
            span
            for span in spans
            if span.score >= self.policy.score_threshold
            and self.policy.action_for(span.entity) is not Action.KEEP
        ]

    def _overlapped(self, record: Mapping[str, str], spans: Mapping[str, Sequence[Span]]) -> set[str]:
        """Dropping entities that were found, though another one may have won their characters."""
        return {
            span.entity
            for name, found in spans.items()
            for span in found
            if span.entity in self._dropping
            and fold_value(record[name][span.start : span.end]) not in self._allowed
        }

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
    """Names what decides which text is masked, save the policy. Reads package data alone, loads no model.

    Raises:
        MissingExtraError: one of the packages is not installed.
    """
    parts = [f"rules {_RULES_VERSION}"]
    for package in ("presidio-analyzer", "phonenumbers", "spacy", spacy_model):
        try:
            parts.append(f"{package} {metadata.version(package)}")
        except metadata.PackageNotFoundError:
            raise missing_extra(package, "privacy") from None
    return ", ".join(parts)
