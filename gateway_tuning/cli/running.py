"""Commands that stay: the demo and the servers."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from gateway_tuning.cli.console import open_store, read_settings, told
from gateway_tuning.errors import ConfigurationError
from gateway_tuning.observability import logs, traces

app = typer.Typer()


@app.command(rich_help_panel="Servers and the demo")
@told
def demo(
    feedback: Annotated[Path, typer.Argument(help="Feedback file or folder")] = Path(
        "examples/feedback.jsonl"
    ),
    mapping: Annotated[Path | None, typer.Option(help="Mapping of another export's fields, YAML")] = None,
    folder: Annotated[Path, typer.Option(help="Where results and state go")] = Path("var/demo"),
    max_steps: Annotated[int | None, typer.Option(help="Fewer training steps: quicker and weaker")] = None,
    max_tokens: Annotated[int | None, typer.Option(help="Shorter answers: quicker, and cut off")] = None,
) -> None:
    """Take a feedback file through the whole loop, on this machine alone."""
    arguments = [str(feedback), "--folder", str(folder)]
    arguments += ["--mapping", str(mapping)] if mapping else []
    arguments += ["--max-steps", str(max_steps)] if max_steps else []
    arguments += ["--max-tokens", str(max_tokens)] if max_tokens else []
    become("deployments.demo", arguments)


@app.command(rich_help_panel="Servers and the demo")
@told
def serve_flows(
    port: Annotated[
        int, typer.Option(help="Of Prefect's server and UI, where PREFECT_API_URL names none")
    ] = 4200,
) -> None:
    """Deploy every flow and run them on this machine: a Prefect server, unless there is one, and a worker."""
    become("deployments.serve", ["--port", str(port)])


@app.command(rich_help_panel="Servers and the demo")
@told
def serve_gateway(
    host: Annotated[str, typer.Option(help="Address to listen on")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on")] = 8080,
    exit_with_parent: Annotated[
        bool, typer.Option("--exit-with-parent", hidden=True, help="Stop when standard input closes")
    ] = False,
) -> None:
    """Serve the OpenAI-compatible gateway: stable and canary versions behind one model name."""
    from gateway_tuning.gateway.serve import Doorway, serve

    settings = read_settings()
    logs.configure(settings.log_level, settings.log_format)
    traces.name_collector(settings.otlp_endpoint)
    signing, status = settings.rating_token_key, settings.gateway_status_key
    serve(
        settings.resolved_database_url,
        host,
        port,
        settings.request_timeout_s,
        home=settings.home,
        doorway=Doorway(
            require_keys=settings.gateway_require_keys,
            max_open=settings.gateway_max_requests,
            status_key=None if status is None else status.get_secret_value(),
            upstreams=settings.gateway_upstreams,
        ),
        relevance_share=settings.relevance_share,
        rating_token_key=None if signing is None else signing.get_secret_value().encode(),
        exit_with_parent=exit_with_parent,
    )


@app.command(rich_help_panel="Servers and the demo")
@told
def serve_api(
    host: Annotated[str, typer.Option(help="Address to listen on")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on")] = 8000,
    workers: Annotated[int, typer.Option(min=1, help="Processes; each counts rate limits for itself")] = 1,
    exit_with_parent: Annotated[
        bool, typer.Option("--exit-with-parent", hidden=True, help="Stop when standard input closes")
    ] = False,
) -> None:
    """Serve the HTTP API: feedback in, runs, approvals, reports and the audit log."""
    from gateway_tuning.api.serve import serve

    serve(read_settings(), host, port, workers=workers, exit_with_parent=exit_with_parent)


@app.command(rich_help_panel="Servers and the demo")
@told
def serve_local(
    host: Annotated[
        str, typer.Option(help="Address to listen on; others than loopback need a key")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0 takes a free one and prints it")] = 8090,
    jobs: Annotated[int, typer.Option(min=1, help="Jobs that train at a time")] = 1,
    exit_with_parent: Annotated[
        bool, typer.Option("--exit-with-parent", hidden=True, help="Stop when standard input closes")
    ] = False,
) -> None:
    """Serve OpenAI's files, fine-tuning, models and chat API from this machine: a cloud run, rehearsed."""
    from gateway_tuning.local_service.serve import serve

    serve(read_settings(), host, port, parallel=jobs, exit_with_parent=exit_with_parent)


@app.command(rich_help_panel="Servers and the demo")
@told
def serve_models(
    model: Annotated[str, typer.Argument(help="Model behind the gateway")] = "assistant",
) -> None:
    """Serve a model's local versions that aliases, canaries and shadows name, as they change, until stopped."""
    import signal

    from gateway_tuning.serving_aliases import LOOK_SECONDS, ServedAliases
    from gateway_tuning.storage.object_store import ObjectStore

    settings = read_settings()
    logs.configure(settings.log_level, settings.log_format)
    if settings.local_server_key is None:
        raise ConfigurationError(
            "Set GATEWAY_TUNING_LOCAL_SERVER_KEY to a secret of your own, here and for the gateway"
        )
    stopping = {signal.SIGINT, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, stopping)
    with ServedAliases(
        model,
        engine=open_store(settings),
        objects=ObjectStore.from_settings(settings),
        settings=settings,
        told=lambda version_id, endpoint: typer.echo(f"{version_id} at {endpoint.base_url}"),
    ) as served:
        served.look()
        if not served.versions:
            typer.echo(
                f"{model} has no local version yet; those of a tuning cycle are served as they come", err=True
            )
        while signal.sigtimedwait(stopping, LOOK_SECONDS) is None:
            served.look()


def become(module: str, arguments: Sequence[str]) -> None:
    """Go on as a program of the project's folder: flows import this package, never the other way round."""
    root = Path.cwd()
    if not (root / Path(*module.split("."))).with_suffix(".py").exists():
        raise ConfigurationError(
            f"There is no {module} in {root}. Run this in the project's folder, where flows/ and prefect.yaml lie"
        )
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(root), os.environ.get("PYTHONPATH")]))
    os.execv(sys.executable, [sys.executable, "-m", module, *arguments])  # noqa: S606 - no shell is wanted
