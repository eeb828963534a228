"""What a dataset was made with, by dotted names, as it may be shown. Pure."""

from collections.abc import Iterator, Mapping
from typing import Any

# Words that are always or never masked are often names themselves.
_WORD_LISTS = ("anonymization.deny", "anonymization.allow")


def flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Innermost values with the path to each; lists stay whole."""
    for name, value in values.items():
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def shown(name: str, value: Any) -> Any:
    """The value, or of lists of words that were masked or spared, their number alone."""
    if value and name.endswith(_WORD_LISTS):
        return f"{len(value)} words, not shown"
    return value
