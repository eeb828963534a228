"""Runs the API as a process of its own, or as several."""

import gc
import multiprocessing
import os
import secrets
import signal
import sys
import threading
from functools import partial
from typing import TYPE_CHECKING

from pydantic import SecretStr

from gateway_tuning.errors import missing_extra
from gateway_tuning.observability import logs, traces
from gateway_tuning.processes import when_parent_ends
from gateway_tuning.settings import Settings
from gateway_tuning.storage.database import open_database

if TYPE_CHECKING:
    from fastapi import FastAPI

_BUSY_S = 1.0  # callers are told to come again instead of waiting for another writer of SQLite
_TURN_S = 0.0003
_OPEN_REQUESTS_S = 10  # how long a stopping service waits for answers under way


def serve(
    settings: Settings, host: str, port: int, *, workers: int = 1, exit_with_parent: bool = False
) -> None:
    """Serve until SIGTERM, SIGINT or, if asked for, the end of the parent; answers under way are finished.

    Each of several workers is a process with limits and caches of its own. Raises ConfigurationError before it
    listens: for settings that are incomplete or weak, or an open route.
    """
    try:
        import uvicorn
        from uvicorn.supervisors import Multiprocess
    except ImportError as error:
        raise missing_extra(error.name or "uvicorn", "api") from error

    # uvicorn raises the signal again once it has stopped: that then ends this process in order, with code 0.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(0))
    if workers > 1 and settings.dashboard_session_key is None:  # one that all of them know
        key = SecretStr(secrets.token_hex(32))
        settings = settings.model_copy(update={"dashboard_session_key": key})
    app = build_app(settings)
    config = uvicorn.Config(
        app if workers == 1 else partial(build_worker, settings),
        factory=workers > 1,
        workers=workers,
        host=host,
        port=port,
        http="httptools",
        loop="uvloop" if sys.platform != "win32" else "asyncio",
        proxy_headers=False,  # nobody may choose the address that failed logins are counted under
        access_log=False,  # a path may name a person; the app's own line has the route's template
        server_header=False,
        log_config=None,  # as everything else in this process
        log_level="warning",
        timeout_graceful_shutdown=_OPEN_REQUESTS_S,
    )
    server = uvicorn.Server(config)
    if workers == 1:
        if exit_with_parent:
            when_parent_ends(partial(setattr, server, "should_exit", True))
        server.run()
        return
    app.state.services.close()  # built to find faults before anybody listens
    supervisor = Multiprocess(config, sockets=[config.bind_socket()])
    if exit_with_parent:
        when_parent_ends(supervisor.should_exit.set)
    supervisor.run()


def build_app(settings: Settings) -> "FastAPI":
    """The app with services of its own, which end with it."""
    try:
        from gateway_tuning.api.app import create_app
        from gateway_tuning.api.services import build_services
        from gateway_tuning.runs.prefect_api import PrefectApi
    except ImportError as error:
        raise missing_extra(error.name or "fastapi", "api") from error

    logs.configure(settings.log_level, settings.log_format)
    orchestrator = PrefectApi.from_settings(settings)
    engine = open_database(settings.resolved_database_url, busy_seconds=_BUSY_S)
    traces.name_collector(settings.otlp_endpoint)
    services = build_services(settings, engine, orchestrator=orchestrator, tracing=traces.open_tracing())

    def close() -> None:
        services.close()
        if orchestrator is not None:
            orchestrator.close()

    app = create_app(services, on_shutdown=close)
    _tune_the_interpreter()
    return app


def build_worker(settings: Settings) -> "FastAPI":
    supervisor = multiprocessing.parent_process()
    assert supervisor is not None  # noqa: S101 - workers have one

    def follow() -> None:
        supervisor.join()  # returns when it is gone, however it ended
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=follow, name="follow-supervisor", daemon=True).start()
    return build_app(settings)


def _tune_the_interpreter() -> None:
    # The thread that writes comes back from the store several times a commit; Python's 5 ms for a turn are longer
    # than the commit itself.
    sys.setswitchinterval(_TURN_S)
    # What is loaded by now stays: it need not be looked through again after every few hundred records.
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
