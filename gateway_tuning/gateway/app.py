"""The embedded gateway: OpenAI's chat API in front of the model versions of the registry."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import sqlalchemy as sa
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from gateway_tuning.errors import NotFoundError
from gateway_tuning.gateway.proxy import Proxy, RatingSigner
from gateway_tuning.gateway.replies import RefusedError, error_reply, json_reply
from gateway_tuning.gateway.requests import read_json
from gateway_tuning.gateway.routing import Router
from gateway_tuning.gateway.upstream import open_session
from gateway_tuning.gateway.writer import OutcomeWriter
from gateway_tuning.rollout.outcomes import OutcomeStore


def create_app(
    engine: sa.Engine,
    *,
    request_timeout_s: float,
    reload_interval_s: float = 0.5,
    write_interval_s: float = 0.2,
    outcome_limit: int = 10_000,
    signing: RatingSigner | None = None,
) -> Starlette:
    """`request_timeout_s` is the longest wait for a whole answer; `outcome_limit` bounds those not yet stored.

    With `signing`, every answer carries a token that lets its user rate it.
    """
    router = Router(engine, interval_s=reload_interval_s)
    writer = OutcomeWriter(OutcomeStore(engine), interval_s=write_interval_s, limit=outcome_limit)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        app.state.router, app.state.writer = router, writer
        await router.load()
        background = [asyncio.create_task(router.keep_loading()), asyncio.create_task(writer.keep_writing())]
        async with open_session(request_timeout_s) as session:
            app.state.proxy = Proxy(session, router, writer, signing)
            yield
        for task in background:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        await writer.close()

    return Starlette(
        routes=[
            Route("/v1/chat/completions", _chat, methods=["POST"]),
            Route("/v1/models", _models, methods=["GET"]),
            Route("/v1/answers/{answer_id}/rating", _rate, methods=["POST"]),
            Route("/healthz", _health, methods=["GET"]),
        ],
        exception_handlers={
            RefusedError: _refused,
            HTTPException: _http_error,
            ClientDisconnect: _client_gone,
        },
        lifespan=lifespan,
    )


async def _chat(request: Request) -> Response:
    proxy: Proxy = request.app.state.proxy
    return await proxy.chat(request)


async def _models(request: Request) -> Response:
    router: Router = request.app.state.router
    loaded = int(router.loaded_at.timestamp()) if router.loaded_at is not None else 0
    listed = [
        {"id": model, "object": "model", "created": loaded, "owned_by": "gateway-tuning"}
        for model in router.table.models
    ]
    return json_reply({"object": "list", "data": listed})


async def _rate(request: Request) -> Response:
    writer: OutcomeWriter = request.app.state.writer
    answer_id = request.path_params["answer_id"]
    score = (await read_json(request)).get("score")
    if isinstance(score, bool) or not isinstance(score, int | float) or not -1 <= score <= 1:
        raise RefusedError(400, "invalid_score", "The rating must have a number 'score' between -1 and 1")
    try:
        await writer.rate(answer_id, float(score))
    except NotFoundError as error:
        raise RefusedError(404, "answer_not_found", str(error)) from error
    except sa.exc.SQLAlchemyError as error:
        raise RefusedError(
            503, "store_unreachable", "The rating could not be stored; send it again"
        ) from error
    return json_reply({"answer_id": answer_id, "score": float(score)})


async def _health(request: Request) -> Response:
    """200 as long as the gateway serves; `status` says whether all is well."""
    router: Router = request.app.state.router
    writer: OutcomeWriter = request.app.state.writer
    well = router.error is None and writer.error is None and writer.lost == 0
    return json_reply(
        {
            "status": "ok" if well else "degraded",
            "routes": {
                "models": router.table.models,
                "loaded_at": router.loaded_at.isoformat() if router.loaded_at is not None else None,
                "error": router.error,
            },
            "outcomes": {
                "written": writer.written,
                "pending": writer.pending,
                "lost": writer.lost,
                "error": writer.error,
            },
        }
    )


async def _refused(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RefusedError)  # noqa: S101 - registered for this class
    return error_reply(error.status, error.code, error.message)


async def _http_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for this class
    return error_reply(error.status_code, "not_found", str(error.detail), error.headers)


async def _client_gone(_request: Request, _error: Exception) -> Response:
    return Response(status_code=499)  # nobody reads it
