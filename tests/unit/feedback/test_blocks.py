"""Stored feedback is cut into blocks by time, and each block gives its records back as they were stored."""

from collections import deque
from datetime import timedelta
from itertools import chain

import pytest
import sqlalchemy as sa

from gateway_tuning.errors import IntegrityError, StoreBusyError
from gateway_tuning.feedback.blocks import Block, Which, extent, read_block, users_of
from gateway_tuning.feedback.record import FeedbackType
from gateway_tuning.feedback.store import FeedbackStore
from gateway_tuning.processes import free_port
from gateway_tuning.storage.database import open_database
from gateway_tuning.storage.tables import feedback

ALL = Which("default", watermark=2**40)


@pytest.fixture
def stored(engine, make_record, now):
    def store(*records):
        FeedbackStore(engine).add(records, now)
        return list(records)

    return store


def read(engine, which=ALL, *, limit=10**6, block_records=10):
    blocks = extent(engine, which, limit=limit, block_records=block_records).blocks
    return list(chain.from_iterable(read_block(engine, which, block) for block in reversed(blocks)))


def ids(records):
    return [record.id for record in records]


def plan(engine, read_all):
    """How the database finds what the last query of `read_all` asks for, in its own words."""
    asked = []

    def keep(_connection, _cursor, statement, parameters, *_rest):
        asked.append((statement, parameters))

    sa.event.listen(engine, "before_cursor_execute", keep)
    read_all()
    sa.event.remove(engine, "before_cursor_execute", keep)
    with engine.connect() as connection:
        word = "EXPLAIN QUERY PLAN"
        if engine.dialect.name == "postgresql":
            for way in ("seqscan", "bitmapscan", "sort", "incremental_sort"):  # which suit few rows
                connection.exec_driver_sql(f"SET LOCAL enable_{way} = off")
            word = "EXPLAIN"
        statement, parameters = asked[-1]
        return "\n".join(
            str(row[-1]) for row in connection.exec_driver_sql(f"{word} {statement}", parameters)
        )


def test_every_record_stands_in_one_block_in_order_of_time(engine, stored, make_record):
    records = stored(*(make_record(number) for number in range(1, 26)))

    found = extent(engine, ALL, limit=100, block_records=10)

    sizes = [sum(1 for _ in read_block(engine, ALL, block)) for block in found.blocks]
    assert (found.records, found.wanted, sizes) == (25, 25, [10, 10, 5])
    assert read(engine) == sorted(records, key=lambda record: record.timestamp)


def test_records_of_one_moment_are_cut_by_the_code_points_of_their_ids(engine, stored, make_record, now):
    stored(*(make_record(id=id_, timestamp=now) for id_ in ("b", "ä", "B", "a-1", "a", "A", "Z")))

    assert ids(read(engine, block_records=2)) == ["A", "B", "Z", "a", "a-1", "b", "ä"]


def test_only_what_is_meant_is_read(engine, stored, make_record, now):
    stored(
        make_record(1, id="wanted"),
        make_record(1, id="too old", timestamp=now - timedelta(days=9)),
        make_record(1, id="of another type", type="thumbs_down"),
        make_record(1, id="of another tenant", tenant="other"),
    )
    watermark = FeedbackStore(engine).watermark("default")
    stored(make_record(1, id="too late"))
    which = Which("default", watermark, now - timedelta(days=1), (FeedbackType.THUMBS_UP, FeedbackType.TEXT))

    found = extent(engine, which, limit=10, block_records=10)

    assert ids(read(engine, which)) == ["wanted"]
    assert (found.records, found.wanted) == (3, 1)


def test_a_limit_keeps_the_newest(engine, stored, make_record):
    stored(*(make_record(number) for number in range(1, 10)))

    assert ids(read(engine, limit=3, block_records=2)) == ["fb-3", "fb-2", "fb-1"]


def test_nothing_stored_makes_no_block(engine):
    assert extent(engine, ALL, limit=10, block_records=10).blocks == ()


def test_records_come_back_as_they_were_stored(engine, stored, make_record):
    deep = 1
    for _ in range(230):  # deeper than pydantic's own parser goes
        deep = {"a": deep}
    records = stored(
        make_record(3, tools=[{"deep": deep}]),
        make_record(2, tools=[{"large": 2**63, "small": -(2**63), "none": None}], satisfaction_score=1e-320),
        make_record(
            1,
            prompt='"\\ \u0000 \u2028 😀 é',
            metadata={"clé": "välue"},
            request={"prompt_tokens": 3, "processing_time_ms": 1.5},
            history=[{"role": "user", "content": "Hi"}],
        ),
    )

    assert read(engine) == records


def test_a_store_in_memory_is_read(make_record, now):
    engine = open_database("sqlite://")
    FeedbackStore(engine).add([make_record(1)], now)

    assert ids(read(engine)) == ["fb-1"]


@pytest.mark.parametrize("engine", ["postgresql"], indirect=True)
def test_what_breaks_off_midway_has_given_no_more_than_a_chunk_and_is_told(engine, stored, make_record):
    stored(*(make_record(number) for number in range(1, 101)))
    (block,) = extent(engine, ALL, limit=100, block_records=100).blocks
    reader = read_block(engine, ALL, block, chunk=10)
    given = [next(reader), next(reader)]

    with engine.connect() as connection:
        connection.exec_driver_sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    with pytest.raises(StoreBusyError, match="did not answer"):
        deque(map(given.append, reader), maxlen=0)

    assert 2 <= len(given) <= 12
    assert ids(given) == [f"fb-{number}" for number in range(100, 100 - len(given), -1)]


def test_a_block_is_one_range_of_an_index(engine, stored, make_record):
    stored(*(make_record(number) for number in range(1, 31)))
    middle = extent(engine, ALL, limit=30, block_records=10).blocks[1]

    told = plan(engine, lambda: list(read_block(engine, ALL, middle)))

    assert "ix_feedback_tenant_time" in told
    assert not any(word in told.upper() for word in ("SORT", "TEMP B-TREE"))
    # Both ends of the range, on time and id, stand in the condition of the index.
    condition = told.partition("Filter:")[0]
    assert condition.count("event_time") == 2


def test_blocks_are_cut_from_the_index_alone(engine, stored, make_record):
    stored(*(make_record(number) for number in range(1, 31)))
    which = Which("default", 2**40, types=(FeedbackType.THUMBS_UP,))

    told = plan(engine, lambda: extent(engine, which, limit=30, block_records=10))

    assert any(
        alone in told
        for alone in (
            "COVERING INDEX ix_feedback_tenant_time",
            "Index Only Scan Backward using ix_feedback_tenant_time",
        )
    )


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ({"id": "fb-1", "prompt": "Where is Anna?"}, "response, timestamp, type"),
        ({"Anna": "was here"}, "an unknown field"),
        (["Anna"], "all of it"),
    ],
)
def test_what_is_no_record_is_named_and_not_quoted(engine, stored, make_record, content, told):
    stored(make_record(1))
    with engine.begin() as connection:
        connection.execute(sa.update(feedback).values(record=content))

    with pytest.raises(IntegrityError, match="feedback 'fb-1' of tenant 'default'") as caught:
        read(engine)

    assert told in str(caught.value)
    assert "Anna" not in str(caught.value)


def test_text_that_is_no_json_is_named(tmp_path, make_record, now):
    engine = open_database(f"sqlite:///{tmp_path / 'store.db'}")
    FeedbackStore(engine).add([make_record(1)], now)
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE feedback SET record = '{broken'")

    with pytest.raises(IntegrityError, match=r"'fb-1'.*no JSON"):
        read(engine)


def test_a_locked_store_is_told(tmp_path, make_record, now):
    url = f"sqlite:///{tmp_path / 'store.db'}"
    engine = open_database(url, busy_seconds=0.05)
    FeedbackStore(engine).add([make_record(1)], now)
    (block,) = extent(engine, ALL, limit=1, block_records=1).blocks
    engine.dispose()
    holder = sa.create_engine(url)
    with holder.connect() as connection:
        connection.exec_driver_sql("PRAGMA locking_mode = EXCLUSIVE")
        connection.exec_driver_sql("CREATE TABLE held (x)")
        connection.commit()

        with pytest.raises(StoreBusyError, match=r"store\.db did not answer .*locked"):
            list(read_block(engine, ALL, block))
    holder.dispose()


def test_a_store_that_is_away_is_told_without_its_password(now):
    port = free_port()
    engine = sa.create_engine(f"postgresql+psycopg://anna:secret@127.0.0.1:{port}/feedback?connect_timeout=2")

    with pytest.raises(StoreBusyError, match=f"127.0.0.1:{port}/feedback did not answer") as caught:
        list(read_block(engine, ALL, Block(0, None, (now, "fb-1"))))

    assert "secret" not in str(caught.value)


def test_users_are_told_of_records_that_are_still_there(engine, stored, make_record):
    stored(make_record(1, user_id="anna"), make_record(2), make_record(3, user_id="ben", tenant="other"))

    assert users_of(engine, "default", ["fb-1", "fb-2", "fb-3", "gone"], chunk=2) == {
        "fb-1": "anna",
        "fb-2": None,
    }
