"""What the callback answers over LiteLLM's own HTTP server: what it serves, and ratings of answers."""

import hmac
import ipaddress
from collections.abc import Callable, Coroutine
from typing import Annotated, Any

import sqlalchemy as sa
from fastapi import APIRouter, FastAPI, Header, HTTPException, Request
from pydantic import BaseModel, Field

from gateway_tuning.errors import NotFoundError

PREFIX = "/gateway-tuning"  # LiteLLM has a /routes of its own


class Rating(BaseModel):
    score: float = Field(ge=-1, le=1, allow_inf_nan=False)


def mount(
    app: FastAPI,
    *,
    status: Callable[[], dict[str, Any]],
    rate: Callable[[str, float], Coroutine[Any, Any, None]],
    status_key: str | None,
) -> None:
    """Without `status_key` the status answers this machine alone. A rating needs no key: nobody guesses an answer's id."""
    router = APIRouter(include_in_schema=False)

    @router.get(f"{PREFIX}/routes")
    async def routes(
        request: Request, authorization: Annotated[str | None, Header()] = None
    ) -> dict[str, Any]:
        if not _may_see(request, authorization, status_key):
            raise HTTPException(401, "Send GATEWAY_TUNING_GATEWAY_STATUS_KEY as bearer token")
        return status()

    @router.post("/v1/answers/{answer_id}/rating")
    async def rating(answer_id: str, given: Rating) -> dict[str, Any]:
        try:
            await rate(answer_id, given.score)
        except NotFoundError as error:
            raise HTTPException(404, str(error)) from error
        except sa.exc.SQLAlchemyError as error:
            raise HTTPException(503, "The rating could not be stored; send it again") from error
        return {"answer_id": answer_id, "score": given.score}

    # In front: LiteLLM's own pages may end in one that takes every path.
    ours = len(app.router.routes)
    app.include_router(router)
    app.router.routes[:] = app.router.routes[ours:] + app.router.routes[:ours]


def _may_see(request: Request, authorization: str | None, status_key: str | None) -> bool:
    if status_key is not None:
        shown = (authorization or "").removeprefix("Bearer ")
        return hmac.compare_digest(shown.encode(), status_key.encode())
    client = request.client.host if request.client is not None else ""
    try:
        return ipaddress.ip_address(client).is_loopback
    except ValueError:
        return False
