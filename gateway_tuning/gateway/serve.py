"""Runs the gateway as a process of its own."""

import gc
import ipaddress
import signal
import sys
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa

from gateway_tuning.errors import ConfigurationError, ServingError, missing_extra
from gateway_tuning.processes import when_parent_ends

if TYPE_CHECKING:
    import uvicorn
    from starlette.types import ASGIApp

_RATE_WITHIN = timedelta(days=7)
_IDLE_S = 75  # longer than clients keep connections: whoever closes first must not be the one that is asked
_OPEN_REQUESTS_S = 1  # how long a stopping gateway waits for answers under way


@dataclass(frozen=True, slots=True)
class Doorway:
    """Who may come in, how many at once, and whom the gateway asks in turn. `upstreams` is as the setting has it."""

    require_keys: bool = False
    max_open: int = 4000
    status_key: str | None = None
    upstreams: str | None = None


def serve(
    database_url: str,
    host: str,
    port: int,
    request_timeout_s: float,
    *,
    home: Path | None = None,
    doorway: Doorway | None = None,
    relevance_share: float = 0.0,
    rating_token_key: bytes | None = None,
    exit_with_parent: bool = False,
) -> None:
    """Serve until SIGTERM, SIGINT or, if asked for, the end of the parent; then write the last outcomes.

    Answers still under way one second later are cut off and recorded as interrupted. What is kept in `home` lets the
    gateway start while its store is away. Raises ConfigurationError for a door that would stand open to others, and
    ServingError for a store that cannot be opened.
    """
    try:
        from gateway_tuning.gateway.app import ROUTES_FILE, create_app
        from gateway_tuning.gateway.door.upstreams import Upstreams
        from gateway_tuning.gateway.relay.attempt import RatingSigner
        from gateway_tuning.gateway.snapshot import open_store
        from gateway_tuning.gateway.telemetry.traces import open_traces
        from gateway_tuning.storage.database import open_database
    except ImportError as error:
        raise missing_extra(error.name or "aiohttp", "gateway") from error

    doorway = doorway or Doorway()
    require_closed(host, doorway)
    upstreams = Upstreams.parse(doorway.upstreams)
    try:
        engine = open_database(database_url) if home is None else open_store(database_url, home / ROUTES_FILE)
    except sa.exc.OperationalError as error:
        raise ServingError(
            f"The gateway has never served from its store, and cannot open it: {error.orig}. "
            "Look at GATEWAY_TUNING_DATABASE_URL"
        ) from error
    # uvicorn raises the signal again once it has stopped: that then ends this process in order, with code 0.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(0))
    app = create_app(
        engine,
        request_timeout_s=request_timeout_s,
        signing=RatingSigner(rating_token_key, _RATE_WITHIN) if rating_token_key else None,
        traces=open_traces(),
        relevance_share=relevance_share,
        require_keys=doorway.require_keys,
        max_open=doorway.max_open,
        status_key=doorway.status_key,
        upstreams=upstreams,
        home=home,
    )
    server = server_for(app, host, port)

    def stop() -> None:
        server.should_exit = True

    if exit_with_parent:
        when_parent_ends(stop)
    gc.freeze()  # what is imported stays: no request waits while it is looked through
    try:
        server.run()
    finally:
        engine.dispose()


def server_for(app: "ASGIApp", host: str, port: int) -> "uvicorn.Server":
    """On uvloop, where there is one. Nobody may say for somebody else where a request comes from."""
    import uvicorn

    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        loop="asyncio" if sys.platform == "win32" else "uvloop",
        http="httptools",
        ws="none",
        access_log=False,
        log_config=None,  # as everything else in this process
        log_level="warning",
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=_IDLE_S,
        timeout_graceful_shutdown=_OPEN_REQUESTS_S,
    )
    return uvicorn.Server(config)


def require_closed(host: str, doorway: Doorway) -> None:
    """Raises ConfigurationError where others could reach a gateway that asks for no keys."""
    if not doorway.require_keys and not _is_this_machine(host):
        raise ConfigurationError(
            f"The gateway would answer everybody who reaches {host}. Set GATEWAY_TUNING_GATEWAY_REQUIRE_KEYS=true and "
            "create keys (`gateway-tuning gateway keys create`), or listen on 127.0.0.1"
        )


def _is_this_machine(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
