"""A store that an older version filled is brought up to date with everything in it."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config

import gateway_tuning.storage
from gateway_tuning.feedback.store import FeedbackStore
from gateway_tuning.registry.store import Registry
from gateway_tuning.storage.database import open_database
from gateway_tuning.storage.tables import canaries, evaluations, feedback, models, tuning_jobs

AT = "2026-10-01 12:00:00.000000"
# As the first version dumped it, every field of its time included.
OLD_RECORD = {
    "id": "f1",
    "tenant": "shop",
    "user_id": "anna",
    "type": "thumbs_up",
    "prompt": "Wo ist der Schlüssel?",
    "response": "Hier.",
    "corrected_response": None,
    "reformulated_prompt": None,
    "reformulated_response": None,
    "comment": None,
    "satisfaction_score": 1.0,
    "metadata": {},
    "user_segment": None,
    "user_context": [],
    "timestamp": "2026-10-01T12:00:00Z",
    "request": None,
    "conversation_id": None,
    "system_prompt": None,
    "history": [],
    "model_version": None,
    "deployment": None,
    "answer_id": None,
}


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request, tmp_path):
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'old.db'}"
    from tests.postgresql import new_database

    return new_database(request.getfixturevalue("postgresql_url"))


def insert(connection, table, **values):
    columns = ", ".join(values)
    places = ", ".join(f":{name}" for name in values)
    connection.execute(sa.text(f"INSERT INTO {table} ({columns}) VALUES ({places})"), values)  # noqa: S608 - ours


def filled_by_the_first_version(url):
    engine = sa.create_engine(url)
    config = Config()
    config.set_main_option(
        "script_location", str(Path(gateway_tuning.storage.__file__).parent / "migrations")
    )
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
    with engine.begin() as connection:
        for number, user in enumerate(["anna", "ben", "anna", None]):
            record = OLD_RECORD | {"id": f"f{number}", "user_id": user}
            insert(
                connection, "feedback", tenant="shop", id=f"f{number}", user_id=user, type="thumbs_up", event_time=AT,
                received_at=AT, content_hash="0" * 64, record=json.dumps(record),
            )  # fmt: skip
        insert(
            connection, "datasets", build_key="b", id="ds-1", tenant="shop", watermark=4, manifest_sha256="0",
            created_at=AT,
        )  # fmt: skip
        insert(
            connection, "tuning_jobs", key="j", provider="llama", spec=json.dumps({"provider": "llama", "base_model": "b", "dataset_id": "ds-1"}),
            status="succeeded", message="", metrics="{}", created_at=AT, updated_at=AT,
        )  # fmt: skip
        for id_, dataset in (("m@base", None), ("m@j", "ds-1")):
            insert(
                connection, "model_versions", id=id_, model="m", base_model="b", dataset_id=dataset,
                job_key="j" if dataset else None, provider="llama", files="{}", metrics="{}", hyperparameters="{}",
                created_at=AT,
            )  # fmt: skip
        insert(connection, "aliases", model="m", alias="stable", version_id="m@j", updated_at=AT)
        insert(
            connection, "cycles", id="c", tenant="shop", model="m", plan_hash="h", plan="{}", watermark=4,
            incumbent="m@base", status="finished", reasons="[]", created_at=AT,
        )  # fmt: skip
        insert(
            connection, "evaluations", id="e", model="m", candidate="m@j", baseline="m@base", dataset_id="ds-1",
            result="{}", created_at=AT,
        )  # fmt: skip
        insert(
            connection, "canaries", id="k", model="m", candidate="m@j", control="m@base", policy="{}", salt="s",
            state="promoted", stage=0, share=0.0, looks=0, reasons="[]", started_at=AT, stage_started_at=AT,
        )  # fmt: skip
    engine.dispose()


def test_everything_finds_its_tenant_and_every_user_an_id(url):
    filled_by_the_first_version(url)

    engine = open_database(url)

    with engine.connect() as connection:
        for table in (evaluations, canaries, tuning_jobs):
            assert connection.execute(sa.select(table.c.tenant)).scalar_one() == "shop"
        assert connection.execute(sa.select(models.c.name, models.c.tenant)).one() == ("m", "shop")
        rows = (
            connection.execute(sa.select(feedback.c.subject_id).order_by(feedback.c.sequence)).scalars().all()
        )
    assert [version.tenant for version in Registry(engine).versions("m")] == ["shop", "shop"]
    store = FeedbackStore(engine)
    named = store.subject_of("shop", now=datetime.now(UTC))
    assert rows == [named("anna"), named("ben"), named("anna"), None]
    assert [record.id for _, record in store.read("shop")] == ["f0", "f1", "f2", "f3"]
    engine.dispose()


def test_what_was_imported_before_is_known_when_it_is_imported_again(url):
    filled_by_the_first_version(url)
    engine = open_database(url)
    store = FeedbackStore(engine)
    known = [record for _, record in store.read("shop")]

    again = store.add(known, datetime.now(UTC))

    assert (again.duplicates, again.replaced) == (4, 0)
    engine.dispose()


def test_every_version_has_a_status_and_a_history_that_begins_with_it(url):
    filled_by_the_first_version(url)

    engine = open_database(url)

    registry = Registry(engine)
    assert {version.id: version.status.value for version in registry.versions("m")} == {
        "m@base": "available",
        "m@j": "deployed",
    }
    (first,) = registry.status_changes("m@j")
    assert (first.before, first.status.value, first.at) == (None, "deployed", registry.get("m@j").created_at)
    registry.point("m", "stable", "m@base", reason="back", now=datetime.now(UTC))
    assert registry.get("m@j").status.value == "available"
    engine.dispose()
