"""The embedded gateway: OpenAI's API in front of the model versions of the registry."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import sqlalchemy as sa
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from gateway_tuning.gateway.door.directory import Directory
from gateway_tuning.gateway.door.entrance import Door
from gateway_tuning.gateway.door.upstreams import Upstreams
from gateway_tuning.gateway.observers import open_observers
from gateway_tuning.gateway.observing import Observer
from gateway_tuning.gateway.relay.attempt import RatingSigner
from gateway_tuning.gateway.relay.proxy import Proxy
from gateway_tuning.gateway.relay.upstream import open_session
from gateway_tuning.gateway.replies import RefusedError, error_reply
from gateway_tuning.gateway.routes import models, status
from gateway_tuning.gateway.routes.chat import ChatLane
from gateway_tuning.gateway.routes.embeddings import embeddings
from gateway_tuning.gateway.routes.parts import Parts
from gateway_tuning.gateway.routes.rating import rate
from gateway_tuning.gateway.routing import Router
from gateway_tuning.gateway.telemetry.metrics import Condition, Metrics
from gateway_tuning.gateway.telemetry.traces import Traces
from gateway_tuning.gateway.writer import OutcomeWriter
from gateway_tuning.rollout.outcomes import OutcomeStore

ROUTES_FILE = "gateway-routes.json"
KEYS_FILE = "gateway-keys.json"
_NO_SUCH_METHOD = 405


def create_app(
    engine: sa.Engine,
    *,
    request_timeout_s: float,
    reload_interval_s: float = 0.5,
    write_interval_s: float = 0.2,
    outcome_limit: int = 10_000,
    max_open: int = 4000,
    signing: RatingSigner | None = None,
    traces: Traces | None = None,
    observers: Sequence[Observer] = (),
    relevance_share: float = 0.0,
    require_keys: bool = False,
    status_key: str | None = None,
    upstreams: Upstreams | None = None,
    home: Path | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> ASGIApp:
    """`request_timeout_s` is the longest wait for a whole answer; posts under way are at most `max_open`.

    `outcome_limit` bounds the outcomes not yet stored. With `signing`, every answer carries a token that lets its
    user rate it. `upstreams` are whom the gateway may ask; the known providers and this machine when absent. In
    `home` the gateway keeps what it needs to start without the store. `relevance_share` of the answers are scored;
    `observers` look at answers beside those of the gateway itself. `traces` are closed with the app. `status_key`
    opens routes, metrics and the details of health, which otherwise answer this machine alone. `clock` is what a
    key's minutes are measured by, in seconds.
    """
    router = Router(
        engine,
        interval_s=reload_interval_s,
        upstreams=upstreams,
        snapshot=None if home is None else home / ROUTES_FILE,
    )
    directory = Directory(
        engine, interval_s=reload_interval_s, snapshot_file=None if home is None else home / KEYS_FILE
    )
    writer = OutcomeWriter(OutcomeStore(engine), interval_s=write_interval_s, limit=outcome_limit)
    metrics = Metrics(lambda: _condition(router, writer))
    door = Door(directory, require_keys=require_keys, limited=metrics.limited, clock=clock)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        await asyncio.gather(router.load(), directory.load())
        loops = (router.keep_loading(), directory.keep_loading(), writer.keep_writing())
        background = [asyncio.create_task(loop) for loop in loops]
        watching = {
            "relevance_share": relevance_share,
            "timeout_s": request_timeout_s,
            "interval_s": reload_interval_s,
        }
        async with (
            open_session(request_timeout_s) as session,
            open_observers(engine, session, upstreams, **watching) as ours,
        ):
            metrics.registry.register(ours)
            proxy = Proxy(
                session,
                router,
                writer,
                signing,
                metrics=metrics,
                traces=traces,
                observers=(*observers, *ours.all),
            )
            app.state.parts = Parts(
                router, directory, door, writer, metrics, session, proxy, ours, status_key
            )
            yield
        for task in background:
            task.cancel()
        await asyncio.gather(*background, return_exceptions=True)  # one that broke must not cost the outcomes
        await writer.close()
        if traces is not None:
            await asyncio.to_thread(traces.close)

    app = Starlette(
        routes=[
            Route("/v1/embeddings", embeddings, methods=["POST"]),
            Route("/v1/models", models.list_models, methods=["GET"]),
            Route("/v1/models/{model:path}", models.show_model, methods=["GET"]),
            Route("/v1/answers/{answer_id}/rating", rate, methods=["POST"]),
            Route("/routes", status.routes, methods=["GET"]),
            Route("/metrics", status.metrics, methods=["GET"]),
            Route("/healthz", status.health, methods=["GET"]),
        ],
        exception_handlers={
            RefusedError: _refused,
            HTTPException: _http_error,
            ClientDisconnect: _client_gone,
            Exception: _failed,
        },
        lifespan=lifespan,
    )
    return ChatLane(app, max_open=max_open)


def _condition(router: Router, writer: OutcomeWriter) -> Condition:
    age = None if router.loaded_at is None else (datetime.now(UTC) - router.loaded_at).total_seconds()
    return Condition(
        outcomes_written=writer.written,
        outcomes_pending=writer.pending,
        outcomes_lost=writer.lost,
        route_age_s=age,
        routes_failing=router.error is not None,
        endpoints_refused=len(router.table.refused),
    )


async def _refused(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RefusedError)  # noqa: S101 - registered for this class
    return error_reply(error.status, error.code, error.message, error.headers)


async def _http_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for this class
    code = "method_not_allowed" if error.status_code == _NO_SUCH_METHOD else "not_found"
    return error_reply(error.status_code, code, str(error.detail), error.headers)


async def _failed(_request: Request, _error: Exception) -> Response:
    return error_reply(500, "internal_error", "The gateway failed; its log says why")


async def _client_gone(_request: Request, _error: Exception) -> Response:
    return Response(status_code=499)  # nobody reads it
