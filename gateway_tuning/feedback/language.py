"""The language of a text, where it can be told."""

import threading
from functools import cached_property
from typing import Any

from gateway_tuning.errors import missing_extra

MIN_LETTERS = 20  # below, a guess at the language is one at random
MIN_CONFIDENCE = 0.8
_NO_LANGUAGE = "zxx"  # what py3langid calls numbers, code and noise


class LanguageDetector:
    """py3langid, loaded when it is first asked. Safe to share between threads."""

    def __init__(self) -> None:
        self._loading = threading.Lock()

    def detect(self, text: str) -> tuple[str | None, float | None]:
        """ISO 639-1 code and confidence; None for both where the text is short or the guess is poor.

        Raises:
            MissingExtraError: py3langid is not installed.
        """
        if sum(map(str.isalpha, text)) < MIN_LETTERS:
            return None, None
        with self._loading:
            identifier = self._identifier
        language, confidence = identifier.classify(text)
        if language == _NO_LANGUAGE or confidence < MIN_CONFIDENCE:
            return None, None
        return str(language), float(confidence)

    def language_of(self, text: str) -> str | None:
        return self.detect(text)[0]

    @cached_property
    def _identifier(self) -> Any:
        try:
            from py3langid.langid import MODEL_FILE, LanguageIdentifier
        except ImportError as error:
            raise missing_extra("py3langid", "enrichment") from error
        return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
