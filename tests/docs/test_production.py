"""The page on S3 and PostgreSQL, followed on a real PostgreSQL and a real S3 protocol server."""

import re
import subprocess
import sys

import psycopg
import pytest
import sqlalchemy as sa

from tests.docs.blocks import ROOT, blocks
from tests.postgresql import running_postgresql
from tests.s3 import new_bucket

PAGE = ROOT / "docs" / "how-to" / "run-on-s3-and-postgresql.md"
STORES = ROOT / "docs" / "how-to" / "add-a-store.md"
PASSWORD = "between-us"  # noqa: S105 - of a server that ends with the test


@pytest.mark.slow
def test_the_statements_and_settings_of_the_page_make_a_store_that_works(tmp_path, programs, s3):
    with running_postgresql() as admin:
        url = prepared(admin)
        settings = exported() | {
            "GATEWAY_TUNING_DATABASE_URL": url,
            "GATEWAY_TUNING_OBJECT_STORAGE_URL": f"s3://{new_bucket(s3)}/tuning",
            "GATEWAY_TUNING_S3_ENDPOINT_URL": s3.endpoint_url,
            "GATEWAY_TUNING_S3_PATH_STYLE": "true",
            "GATEWAY_TUNING_S3_ACCESS_KEY_ID": s3.key.get_secret_value(),
            "GATEWAY_TUNING_S3_SECRET_ACCESS_KEY": s3.secret.get_secret_value(),
        }
        environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "HOME": str(tmp_path), **settings}

        def run(*command):
            done = subprocess.run(
                command, check=False, cwd=tmp_path, env=environment, capture_output=True, text=True
            )
            assert done.returncode == 0, done.stderr
            return done.stdout

        key = run(str(programs / "gateway-tuning"), "keys", "create", "--name", "a", "--role", "ModelViewer")
        told = run(sys.executable, "-c", next(one.code for one in blocks(STORES) if one.language == "python"))

        engine = sa.create_engine(url)
        with engine.connect() as connection:
            kept = connection.execute(sa.text("SELECT id FROM api_keys")).scalar_one()
        engine.dispose()
        assert key.startswith(f"gt_{kept}_")
        assert told == f"{settings['GATEWAY_TUNING_OBJECT_STORAGE_URL']} refuses a second writer: True\n"
        assert not (tmp_path / "var" / "gateway-tuning.db").exists()


def prepared(admin: str) -> str:
    """Run the statements of the page as a superuser; the URL is the page's, at this server."""
    statements = next(one.code for one in blocks(PAGE) if one.language == "sql").replace(
        "'...'", f"'{PASSWORD}'"
    )
    plain = admin.replace("+psycopg", "")
    with psycopg.connect(plain, autocommit=True) as connection:
        for statement in filter(str.strip, statements.split(";")):
            connection.execute(statement.encode())
    place = sa.make_url(admin)
    stated = sa.make_url(exported()["GATEWAY_TUNING_DATABASE_URL"].replace("...", PASSWORD))
    return stated.set(host=place.host, port=place.port).render_as_string(hide_password=False)


def exported() -> dict[str, str]:
    code = "".join(one.code for one in blocks(PAGE) if one.is_shell)
    return dict(re.findall(r"^export (\w+)=(\S+)$", code, re.MULTILINE))
