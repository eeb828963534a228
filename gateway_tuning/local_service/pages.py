"""Lists in OpenAI's shape, one page at a time."""

from collections.abc import Sequence
from typing import Any

from gateway_tuning.local_service.problems import RefusedError


def page(items: Sequence[dict[str, Any]], *, after: str | None, limit: int) -> dict[str, Any]:
    """The items that follow the one with the id `after`. Raises RefusedError: there is none with that id."""
    start = 0
    if after is not None:
        ids = [item["id"] for item in items]
        if after not in ids:
            raise RefusedError(404, f"after: nothing in this list has the id {after[:64]}", param="after")
        start = ids.index(after) + 1
    shown = list(items[start : start + limit])
    return {
        "object": "list",
        "data": shown,
        "has_more": len(items) > start + limit,
        "first_id": shown[0]["id"] if shown else None,
        "last_id": shown[-1]["id"] if shown else None,
    }
