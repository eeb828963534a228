"""The language of prompts, or at least their script."""

from collections.abc import Callable, Sequence
from functools import cache

from gateway_tuning.drift.texts.descriptors import script_of
from gateway_tuning.errors import MissingExtraError
from gateway_tuning.feedback.language import LanguageDetector

LanguageOf = Callable[[str], str | None]


def languages(texts: Sequence[str], language_of: LanguageOf | None) -> tuple[str, list[str | None]]:
    """The column's name, `language` or `script`, and its values; None where it cannot be told.

    By py3langid where it is installed (the extra `enrichment`); otherwise the script is all that is told, and the
    column is named so. Equal texts are read once.
    """
    detect = language_of or _detector().language_of
    try:
        known = {text: detect(text) for text in dict.fromkeys(texts)}
    except MissingExtraError:
        known = {text: script_of(text) for text in dict.fromkeys(texts)}
        return "script", [known[text] for text in texts]
    return "language", [known[text] for text in texts]


@cache
def _detector() -> LanguageDetector:
    """One a process: it takes most of a second to load."""
    return LanguageDetector()
