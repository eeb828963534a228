"""`python -m tests.deployment.rehearsal`: docker/compose.yaml as processes of this machine, without an engine.

Each service's own command runs with its own variables, in the order of `depends_on`, until its own health check passes;
then a flow is started at Prefect's server and carried by the worker.
What is not this project's is replaced by what the tests have: PostgreSQL from a package, an S3 server from another, and
SQLite for Prefect's own tables.
Ports are free ones; everything ends with this process.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import sqlalchemy as sa

from gateway_tuning.processes import free_port
from tests.architecture.test_docs import ROOT
from tests.deployment.test_compose import ONCE, SERVICES, interpolated, secrets_of_the_example
from tests.postgresql import running_postgresql
from tests.s3 import running_s3

BIN = Path(sys.executable).parent
LISTENS = {"prefect": 4200, "api": 8000, "gateway": 8080, "worker": 8080, "trainer": 8090}
WAIT_S = 300


class Rehearsal:
    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder, self.stack, self.values = folder, stack, secrets_of_the_example()
        database = stack.enter_context(running_postgresql())
        self.ports = {name: free_port() for name in LISTENS}
        self.objects = stack.enter_context(running_s3())
        self.postgres = sa.make_url(database).port
        admin = sa.create_engine(database, isolation_level="AUTOCOMMIT")
        with admin.connect() as connection:
            connection.execute(sa.text("CREATE ROLE tuning LOGIN SUPERUSER"))
            connection.execute(sa.text("CREATE DATABASE tuning OWNER tuning"))
            connection.execute(sa.text((ROOT / "docker/postgres/prefect.sql").read_text(encoding="utf-8")))
        admin.dispose()

    def here(self, text: str, own: str) -> str:
        """An address of the compose file's network, as one of this machine."""
        text = text.replace("postgres:5432", f"127.0.0.1:{self.postgres}")
        text = text.replace("objects:7070", f"127.0.0.1:{self.objects}")
        for name, port in LISTENS.items():
            text = text.replace(f"{name}:{port}", f"127.0.0.1:{self.ports[name]}")
        return re.sub(r"127\.0\.0\.1:(4200|8000|8080|8090)\b", f"127.0.0.1:{self.ports.get(own, 0)}", text)

    def environment(self, name: str) -> dict[str, str]:
        given = dict(SERVICES[name]["environment"])
        # Prefect wants the extension pg_trgm, which the package has not: its tables stand in SQLite here.
        given.pop("PREFECT_SERVER_DATABASE_CONNECTION_URL", None)
        home = self.folder / ("worker" if name == "deployments" else name)
        home.mkdir(exist_ok=True)
        return {
            "PATH": f"{BIN}:/usr/bin:/bin",
            "HOME": str(home),
            "PYTHONPATH": str(ROOT),
            "DO_NOT_TRACK": "1",
            "GATEWAY_TUNING_HOME": str(home),
            "PREFECT_HOME": str(home / "prefect"),
            "PREFECT_UI_STATIC_DIRECTORY": str(home / "prefect" / "ui"),
            "PREFECT_WORKER_WEBSERVER_PORT": str(self.ports["worker"]),
        } | {variable: self.here(interpolated(text, self.values), name) for variable, text in given.items()}

    def command(self, name: str) -> list[str]:
        program, *words = SERVICES[name].get("command") or DEFAULTS[name]
        words = [str(self.ports[name]) if word == str(LISTENS.get(name)) else word for word in words]
        if program == "gateway-tuning" and name in LISTENS:
            words += ["--port", str(self.ports[name])]
        return [str(BIN / program), *words]

    def run(self, name: str) -> None:
        started = time.monotonic()
        log = (self.folder / f"{name}.log").open("wb")
        process = subprocess.Popen(
            self.command(name), cwd=ROOT, env=self.environment(name), stdout=log, stderr=subprocess.STDOUT
        )
        self.stack.callback(stop, process)
        while time.monotonic() - started < WAIT_S:
            code = process.poll()
            if code is not None or (name not in ONCE and self.healthy(name)):
                break
            time.sleep(0.5)
        if code if name in ONCE else (code is not None or not self.healthy(name)):
            sys.exit(f"{name} did not come up:\n{(self.folder / f'{name}.log').read_text()[-4000:]}")
        state = "done" if name in ONCE else "healthy"
        print(f"{name}: {state} after {time.monotonic() - started:.1f} s", flush=True)  # noqa: T201

    def run_a_flow(self) -> None:
        """Started at Prefect's server, carried by the worker, to its end."""
        started = time.monotonic()
        command = [str(BIN / "prefect"), "deployment", "run", "check-threshold/check-threshold", "--watch"]
        done = subprocess.run(
            command, cwd=ROOT, env=self.environment("worker"), capture_output=True, text=True, check=False
        )
        if done.returncode:
            sys.exit(f"The run of check-threshold failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
        print(f"check-threshold: completed after {time.monotonic() - started:.1f} s", flush=True)  # noqa: T201

    def healthy(self, name: str) -> bool:
        _, _, url, *variable = SERVICES[name]["healthcheck"]["test"]
        check = [sys.executable, str(ROOT / "docker" / "healthcheck.py"), self.here(url, name), *variable]
        done = subprocess.run(check, env=self.environment(name), capture_output=True, check=False)
        return done.returncode == 0


DEFAULTS = {
    "api": ["gateway-tuning", "serve-api", "--host", "0.0.0.0"],  # noqa: S104 - as in the image
    "gateway": ["gateway-tuning", "serve-gateway", "--host", "0.0.0.0"],  # noqa: S104
    "trainer": ["gateway-tuning", "serve-local", "--host", "0.0.0.0"],  # noqa: S104
}


def stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def order() -> list[str]:
    """Each after all that it waits for."""
    found: list[str] = ["postgres", "objects"]
    while len(found) < len(SERVICES):
        found += [
            name
            for name, service in SERVICES.items()
            if name not in found and set(service.get("depends_on", {})) <= set(found)
        ]
    return found[2:]


def main() -> None:
    folder = Path(tempfile.mkdtemp(prefix="gateway-tuning-compose-"))
    os.umask(0o077)
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        rehearsal = Rehearsal(folder, stack)
        for name in order():
            rehearsal.run(name)
        rehearsal.run_a_flow()


if __name__ == "__main__":
    main()
