"""spaCy and Presidio without the deep learning packages that they import wherever they find them.

With those a process that anonymizes takes twice the time to start and twice the memory, for nothing: names are found
by spaCy's own networks, the rest by patterns.
"""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

from gateway_tuning.errors import missing_extra

_HEAVY = ("torch", "transformers", "stanza", "gliner")
# Where one of these is installed, the spaCy model may be a pipeline that needs torch.
_USING_TORCH = (
    "spacy_transformers",
    "spacy_curated_transformers",
    "spacy_experimental",
    "gliner_spacy",
    "span_marker",
)
_loading = threading.Lock()


def import_spacy() -> Any:
    """Raises MissingExtraError. Whoever came first decides: spaCy remembers whether it found torch."""
    needs_torch = any(find_spec(package) for package in _USING_TORCH)
    with _loading, _without(() if needs_torch or "spacy" in sys.modules else _HEAVY):
        try:
            import spacy
        except ImportError:
            raise missing_extra("spacy", "privacy") from None
    return spacy


def import_recognizers() -> Any:
    """Presidio's predefined recognizers. Raises MissingExtraError."""
    import_spacy()
    with _loading, _without(() if "presidio_analyzer" in sys.modules else _HEAVY):
        try:
            from presidio_analyzer import predefined_recognizers
        except ImportError:
            raise missing_extra("presidio-analyzer", "privacy") from None
    return predefined_recognizers


@contextmanager
def _without(packages: tuple[str, ...]) -> Iterator[None]:
    """Their import fails meanwhile, as if they were not there; what is imported already stays."""
    hidden = [name for name in packages if name not in sys.modules]
    for name in hidden:
        sys.modules[name] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]
