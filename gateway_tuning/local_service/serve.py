"""Runs the local fine-tuning service as a process of its own."""

import fcntl
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gateway_tuning.errors import ConfigurationError, ConflictError, missing_extra
from gateway_tuning.observability import logs
from gateway_tuning.processes import when_parent_ends
from gateway_tuning.settings import Settings

_OPEN_REQUESTS_S = 5  # how long a stopping service waits for answers under way


def serve(
    settings: Settings, host: str, port: int, *, parallel: int = 1, exit_with_parent: bool = False
) -> None:
    """Serve until SIGTERM, SIGINT or, if asked for, the end of the parent. Jobs under way go on at the next start.

    The address is printed once it can be called; port 0 takes a free one.

    Raises:
        ConfigurationError: others than this machine could call it, and no key is set; or the address cannot be had.
        ConflictError: another service works in the same folder.
    """
    try:
        import httpx  # noqa: F401 - the app needs it
        import python_multipart  # noqa: F401 - as above
        import uvicorn

        from gateway_tuning.local_service.access import is_loopback
        from gateway_tuning.local_service.app import create_app
        from gateway_tuning.local_service.service import open_service
    except ImportError as error:
        raise missing_extra(error.name or "fastapi", "serve-local") from error

    key = settings.local_service_key.get_secret_value() if settings.local_service_key else None
    if not key and not is_loopback(host):
        raise ConfigurationError(
            f"On {host} anybody could call this service; set GATEWAY_TUNING_LOCAL_SERVICE_KEY, or listen on 127.0.0.1"
        )
    logs.configure(settings.log_level, settings.log_format)
    folder = settings.home / "local-service"
    with _alone_in(folder), _listening(host, port) as listener:
        service = open_service(folder.resolve(), settings.cache_dir.resolve(), parallel=parallel)
        config = uvicorn.Config(
            create_app(service, key=key or None),
            proxy_headers=False,
            access_log=False,
            server_header=False,
            log_config=None,  # as everything else in this process
            log_level="warning",
            timeout_graceful_shutdown=_OPEN_REQUESTS_S,
        )
        server = uvicorn.Server(config)

        def stop(*_: object) -> None:
            server.should_exit = True

        # For signals before uvicorn listens to them, and for those that it raises again once it has stopped. An
        # exception from here could come up where Python ignores it, in a weak reference's callback for one.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, stop)
        if exit_with_parent:
            when_parent_ends(stop)
        name = f"[{host}]" if ":" in host else host
        print(f"Serving http://{name}:{listener.getsockname()[1]}/v1", flush=True)  # noqa: T201 - for who started it
        server.run(sockets=[listener])


@contextmanager
def _listening(host: str, port: int) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
            listener.listen()  # from now on calls wait instead of being refused
        except OSError as error:
            raise ConfigurationError(
                f"Cannot listen on {host}:{port} ({error.strerror}); choose another --host or --port"
            ) from error
        yield listener


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("a") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConflictError(
                f"Another service works in {folder}; stop it, or give this one its own GATEWAY_TUNING_HOME"
            ) from None
        yield
