"""The service as an ASGI app. Jobs run while it does."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
from anyio import to_thread
from fastapi import FastAPI

from gateway_tuning import __version__
from gateway_tuning.local_service import problems
from gateway_tuning.local_service.access import Access
from gateway_tuning.local_service.routes import chat, files, jobs, models
from gateway_tuning.local_service.service import Service


def create_app(service: Service, *, key: str | None) -> FastAPI:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        # A proxy of the environment has no business between this process and its children.
        async with httpx.AsyncClient(trust_env=False) as client:
            app.state.http = client
            service.runner.start()
            yield
            await to_thread.run_sync(service.runner.stop)
            await to_thread.run_sync(service.servers.close)

    app = FastAPI(
        title="Local fine-tuning service",
        version=__version__,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    app.state.service = service
    for routes in (files, jobs, models, chat):
        app.include_router(routes.router)
    problems.install(app)
    app.add_middleware(Access, key=key)
    return app
