"""Long lists in pages, newest first. A cursor names the last element seen, so that new ones shift nothing."""

import base64
import binascii
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Generic, TypeVar

from fastapi import Depends, Query, Request
from pydantic import BaseModel, Field

from gateway_tuning.api.problems import ProblemError

T = TypeVar("T")
R = TypeVar("R")
LONGEST_PAGE = 200
_LONGEST_CURSOR = 400


class Page(BaseModel, Generic[T]):
    items: list[T]
    next: str | None = Field(description="Link to the next page; null on the last one")


@dataclass(frozen=True, slots=True)
class Cursor:
    created_at: datetime
    id: str

    def encode(self) -> str:
        return (
            base64.urlsafe_b64encode(f"{self.created_at.isoformat()}|{self.id}".encode()).decode().rstrip("=")
        )

    @classmethod
    def decode(cls, text: str) -> "Cursor":
        """Raises ProblemError 422."""
        try:
            raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True).decode()
            at, separator, id_ = raw.partition("|")
            created_at = datetime.fromisoformat(at)
        except (binascii.Error, ValueError):
            separator = ""
        if not separator or created_at.tzinfo is None or not id_.isprintable():
            raise ProblemError(422, "This cursor is not one of ours; take the link `next` of a page as it is")
        return cls(created_at, id_)


@dataclass(frozen=True, slots=True)
class PageRequest:
    """Ask the store for `limit` + 1 rows after `cursor`: one too many tells that another page follows."""

    limit: int
    cursor: Cursor | None

    @property
    def before(self) -> tuple[datetime, str] | None:
        return (self.cursor.created_at, self.cursor.id) if self.cursor is not None else None

    def page(
        self,
        request: Request,
        rows: Sequence[R],
        *,
        show: Callable[[R], T],
        place: Callable[[R], tuple[datetime, str]],
    ) -> Page[T]:
        """`place` gives a row's time and id, by which the rows are ordered."""
        shown = rows[: self.limit]
        following = None
        if len(rows) > self.limit:
            cursor = Cursor(*place(shown[-1])).encode()
            url = request.url.include_query_params(cursor=cursor)
            following = f"{url.path}?{url.query}"
        return Page(items=[show(row) for row in shown], next=following)


async def _page_request(
    limit: Annotated[int, Query(ge=1, le=LONGEST_PAGE, description="Most elements in one page")] = 50,
    cursor: Annotated[
        str | None, Query(max_length=_LONGEST_CURSOR, description="From the link `next` of the page before")
    ] = None,
) -> PageRequest:
    return PageRequest(limit, Cursor.decode(cursor) if cursor else None)


Paging = Annotated[PageRequest, Depends(_page_request)]
