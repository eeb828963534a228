"""Lists in pages that a phone can hold, and the way back to the first of them."""

from typing import Annotated

from fastapi import Depends, Query, Request

from gateway_tuning.api.pagination import Cursor, PageRequest

ROWS = 25


async def _few(cursor: Annotated[str | None, Query(max_length=400)] = None) -> PageRequest:
    return PageRequest(ROWS, Cursor.decode(cursor) if cursor else None)


Few = Annotated[PageRequest, Depends(_few)]


def first_page(request: Request) -> str | None:
    """Its address; None on the first page itself."""
    if "cursor" not in request.query_params:
        return None
    url = request.url.remove_query_params("cursor")
    return f"{url.path}?{url.query}" if url.query else url.path
