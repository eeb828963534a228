"""Runs the gateway as a process of its own."""

import signal
import sys
from datetime import timedelta

from gateway_tuning.errors import missing_extra
from gateway_tuning.processes import when_parent_ends
from gateway_tuning.storage.database import open_database

_RATE_WITHIN = timedelta(days=7)
_OPEN_REQUESTS_S = 1  # how long a stopping gateway waits for answers under way


def serve(
    database_url: str,
    host: str,
    port: int,
    request_timeout_s: float,
    *,
    rating_token_key: bytes | None = None,
    exit_with_parent: bool = False,
) -> None:
    """Serve until SIGTERM, SIGINT or, if asked for, the end of the parent; then write the last outcomes.

    Answers still under way one second later are cut off and recorded as interrupted.
    """
    try:
        import uvicorn

        from gateway_tuning.gateway.app import create_app
        from gateway_tuning.gateway.proxy import RatingSigner
    except ImportError as error:
        raise missing_extra(error.name or "aiohttp", "gateway") from error

    # uvicorn raises the signal again once it has stopped: that then ends this process in order, with code 0.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(0))
    signing = RatingSigner(rating_token_key, _RATE_WITHIN) if rating_token_key else None
    engine = open_database(database_url)
    config = uvicorn.Config(
        create_app(engine, request_timeout_s=request_timeout_s, signing=signing),
        host=host,
        port=port,
        http="httptools",
        access_log=False,
        log_level="warning",
        timeout_graceful_shutdown=_OPEN_REQUESTS_S,
    )
    server = uvicorn.Server(config)

    def stop() -> None:
        server.should_exit = True

    if exit_with_parent:
        when_parent_ends(stop)
    try:
        server.run()
    finally:
        engine.dispose()
