import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
import sqlalchemy as sa

from gateway_tuning.access.audit import GENESIS, AuditEvent, AuditLog, Outcome
from gateway_tuning.storage.tables import audit_entries

EVENT = AuditEvent(
    "acme", "key:ab12", "run.start", "r1", request_id="q1", detail={"cost": 1.25, "name": "größe", "n": None}
)


@pytest.fixture
def log(engine):
    return AuditLog(engine)


@pytest.fixture
def filled(log, now):
    for number in range(5):
        log.append(EVENT, now=now + timedelta(microseconds=number))
    return log


@pytest.fixture
def tamper(engine):
    """What somebody does who owns the database: first the triggers go."""

    def run(statement):
        with engine.begin() as connection:
            if engine.dialect.name == "postgresql":
                connection.exec_driver_sql(
                    "DROP TRIGGER IF EXISTS audit_entries_append_only ON audit_entries"
                )
            else:
                connection.exec_driver_sql("DROP TRIGGER IF EXISTS audit_entries_no_update")
                connection.exec_driver_sql("DROP TRIGGER IF EXISTS audit_entries_no_delete")
            connection.execute(statement)

    return run


def test_an_empty_log_is_intact(log):
    found = log.verify()

    assert (found.intact, found.entries, found.head) == (True, 0, GENESIS)


def test_what_was_appended_is_read_back_newest_first_and_the_chain_is_whole(filled, now):
    found = filled.verify()
    entries = filled.page("acme", limit=10)

    assert (found.intact, found.entries) == (True, 5)
    assert found.head == entries[0].hash
    assert [entry.event for entry in entries] == [EVENT] * 5
    assert [entry.at - now for entry in entries] == [timedelta(microseconds=n) for n in (4, 3, 2, 1, 0)]


def test_a_tenant_reads_its_own_entries_alone(filled, now):
    filled.append(AuditEvent("globex", "key:1", "run.start", "r9"), now=now)

    assert [entry.event.object_id for entry in filled.page("globex", limit=10)] == ["r9"]


def test_pages_hold_every_entry_once(filled):
    first = filled.page("acme", limit=3)
    second = filled.page("acme", limit=3, before=(first[-1].at, first[-1].sequence))

    assert [entry.sequence for entry in first + second] == [5, 4, 3, 2, 1]


@pytest.mark.parametrize(
    "change",
    [
        {"actor": "key:9999"},
        {"tenant": "globex"},
        {"action": "run.cancel"},
        {"object_id": "r2"},
        {"outcome": "denied"},
        {"outcome": "never heard of"},
        {"request_id": None},
        {"detail": {"cost": 0, "name": "größe", "n": None}},
        {"hash": "f" * 64},
        {"previous_hash": "f" * 64},
    ],
)
def test_a_changed_entry_is_found(filled, tamper, change):
    tamper(audit_entries.update().where(audit_entries.c.sequence == 3).values(**change))

    found = filled.verify()

    assert not found.intact
    assert found.broken_at == 3


def test_a_changed_time_is_found(filled, tamper, now):
    tamper(
        audit_entries.update().where(audit_entries.c.sequence == 2).values(at=now + timedelta(microseconds=9))
    )

    assert filled.verify().broken_at == 2


@pytest.mark.parametrize(("removed", "noticed"), [(1, 2), (3, 4)])
def test_a_removed_entry_is_found_at_the_one_that_followed_it(filled, tamper, removed, noticed):
    tamper(audit_entries.delete().where(audit_entries.c.sequence == removed))

    found = filled.verify()

    assert found.broken_at == noticed
    assert "removed or inserted" in found.reason


def test_an_inserted_entry_is_found(filled, tamper, now):
    tamper(audit_entries.delete().where(audit_entries.c.sequence == 3))
    forged = {
        "sequence": 3,
        "at": now,
        "tenant": "acme",
        "actor": "key:evil",
        "action": "run.start",
        "object_id": "r1",
        "outcome": str(Outcome.DONE),
        "request_id": None,
        "detail": {},
        "previous_hash": "a" * 64,
        "hash": "b" * 64,
    }
    tamper(audit_entries.insert().values(forged))

    assert filled.verify().broken_at == 3


def test_a_cut_tail_shows_against_a_head_noted_earlier(filled, tamper, now):
    noted = filled.verify().head
    filled.append(EVENT, now=now)
    still_there = filled.verify(expect_head=noted)

    tamper(audit_entries.delete().where(audit_entries.c.sequence >= 5))
    alone, against = filled.verify(), filled.verify(expect_head=noted)

    assert still_there.intact
    assert alone.intact
    assert not against.intact
    assert "tail is cut" in against.reason


@pytest.mark.parametrize(
    "statement", [audit_entries.update().values(actor="key:evil"), audit_entries.delete()]
)
def test_the_store_itself_refuses_changes(filled, engine, statement):
    with pytest.raises(sa.exc.DBAPIError, match="append-only"), engine.begin() as connection:
        connection.execute(statement)

    assert filled.verify().entries == 5


def test_an_entry_shares_the_fate_of_the_transaction_it_stands_in(log, engine, now):
    with engine.connect() as connection:
        log.append_in(connection, EVENT, now=now)
        connection.rollback()
    with engine.begin() as connection:
        log.append_in(connection, EVENT, now=now)

    assert log.verify().entries == 1
    assert log.verify().intact


APPEND = """
import sys
from datetime import UTC, datetime
from gateway_tuning.access.audit import AuditEvent, AuditLog
from gateway_tuning.storage.database import open_database
log = AuditLog(open_database(sys.argv[1]))
print("ready", flush=True)
sys.stdin.readline()
for number in range(40):
    log.append(AuditEvent("acme", sys.argv[2], "run.start", str(number)), now=datetime.now(UTC))
"""


def test_two_processes_append_at_once_and_the_chain_neither_forks_nor_fails(log, engine):
    url = engine.url.render_as_string(hide_password=False)
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", APPEND, url, actor],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for actor in ("key:a", "key:b")
    ]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        process.communicate(timeout=60)

    found = log.verify()

    assert [process.returncode for process in processes] == [0, 0]
    assert (found.intact, found.entries) == (True, 80)


def test_threads_append_at_once_and_the_chain_is_whole(log, now):
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: log.append(EVENT, now=now), range(40)))

    assert (log.verify().intact, log.verify().entries) == (True, 40)
