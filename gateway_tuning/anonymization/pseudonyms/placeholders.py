"""Placeholders such as `<PERSON_1>`. Pure."""

import re
from collections import Counter
from collections.abc import Container, Iterable

from gateway_tuning.anonymization.pseudonyms.keyed import CODE_PATTERN


def placeholder_pattern(entities: Iterable[str]) -> re.Pattern[str]:
    """Numbered placeholders, and the short codes that pseudonyms without a natural form are."""
    # At most six digits: no telephone number passes for a placeholder.
    names = "|".join(sorted(map(re.escape, entities)))
    return re.compile(rf"<(?:{names})_(?:[1-9]\d{{0,5}}|{CODE_PATTERN})>", re.ASCII)


def next_placeholder(entity: str, last: Counter[str], taken: Container[str]) -> str:
    """The first of the entity that is not taken; `last` counts on, by entity."""
    while True:
        last[entity] += 1
        placeholder = f"<{entity}_{last[entity]}>"
        if placeholder not in taken:
            return placeholder
