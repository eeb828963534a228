import threading
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway_tuning.feedback.quarantine import QuarantineEntry
from gateway_tuning.feedback.record import FeedbackRecord
from gateway_tuning.feedback.store import Batch, FeedbackStore
from gateway_tuning.feedback.versions import content_hash
from gateway_tuning.storage.tables import feedback

T0 = datetime(2026, 10, 1, tzinfo=UTC)


def contents(store):
    return {record.id: record for _, record in store.read("default")}


def entry(number=1, **changes):
    fields = {"tenant": "default", "stage": "reading", "source": "a.jsonl", "position": f"line {number}"}
    return QuarantineEntry(**{**fields, "reasons": ("Not valid JSON",), "raw": f'"{number}"', **changes})


def test_records_come_back_as_they_were_given_in_the_order_they_came(engine, make_record, now):
    store = FeedbackStore(engine)
    records = [
        make_record(number, comment="fine \U0001f600", metadata={"a": "b"}) for number in range(1, 1203)
    ]

    added = store.add(records, now)

    assert (added.added, added.replaced, added.duplicates) == (1202, 0, 0)
    rows = list(store.read("default", chunk=100))
    assert [record for _, record in rows] == records
    assert [sequence for sequence, _ in rows] == sorted({sequence for sequence, _ in rows})
    assert store.watermark("default") == rows[-1][0]


def test_the_same_records_again_add_nothing_and_move_nothing(engine, make_record, now):
    store = FeedbackStore(engine)
    records = [make_record(number) for number in range(1, 6)]
    store.add(records, now)
    before = list(store.read("default"))

    again = store.add(records * 2, now + timedelta(days=1))

    assert (again.added, again.replaced, again.duplicates) == (0, 0, 10)
    assert list(store.read("default")) == before


def test_a_later_statement_replaces_the_earlier_one_beyond_every_watermark(engine, make_record, now):
    store = FeedbackStore(engine)
    store.add([make_record(1), make_record(2)], now)
    watermark = store.watermark("default")

    newest = make_record(2, comment="changed my mind", timestamp=now)
    added = store.add([newest], now)

    assert added.replaced == 1
    assert store.watermark("default") > watermark
    assert [record for _, record in store.read("default", after_sequence=watermark)] == [newest]
    assert [record.id for _, record in store.read("default", watermark)] == ["fb-1"]


def test_an_earlier_statement_that_comes_late_changes_nothing(engine, make_record, now):
    store = FeedbackStore(engine)
    store.add([make_record(1)], now)

    late = store.add([make_record(1, comment="old", timestamp=now - timedelta(days=9))], now)

    assert late.duplicates == 1
    assert contents(store)["fb-1"].comment is None


def test_the_same_moment_in_another_time_zone_is_the_same_statement(engine, make_record, now):
    store = FeedbackStore(engine)
    record = make_record(1)
    elsewhere = record.timestamp.astimezone(timezone(timedelta(hours=5, minutes=30)))
    store.add([record], now)

    again = store.add([record.model_copy(update={"timestamp": elsewhere})], now)

    assert again.duplicates == 1


def test_tenants_see_their_own_records_only(engine, make_record, now):
    store = FeedbackStore(engine)
    store.add([make_record(1), make_record(1, tenant="other", comment="theirs")], now)

    assert [record.comment for _, record in store.read("default")] == [None]
    assert [record.comment for _, record in store.read("other")] == ["theirs"]
    assert store.watermark("nobody") == 0


def test_a_reader_sees_one_moment_while_records_are_replaced(engine, make_record, now):
    store = FeedbackStore(engine)
    store.add([make_record(number) for number in range(1, 31)], now)
    reader = store.read("default", chunk=5)
    first = [next(reader)]

    store.add([make_record(20, comment="new", timestamp=now)], now)

    seen = {record.id: record.comment for _, record in first + list(reader)}
    assert len(seen) == 30
    assert seen["fb-20"] is None


def test_writers_at_the_same_time_lose_nothing(engine, make_record, now):
    store = FeedbackStore(engine)
    streams = [[make_record(number, comment=f"writer {who}") for number in range(1, 301)] for who in range(4)]
    failures = []

    def write(records):
        try:
            for start in range(0, 300, 50):
                store.add(records[start : start + 50], now)
        except Exception as error:  # noqa: BLE001 - the thread's failure is the test's
            failures.append(error)

    writers = [threading.Thread(target=write, args=(stream,)) for stream in streams]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()

    assert failures == []
    winners = [max(versions, key=content_hash) for versions in zip(*streams, strict=True)]
    assert contents(store) == {record.id: record for record in winners}


records = st.builds(
    lambda number, minute, comment, revision: FeedbackRecord(
        id=f"fb-{number}",
        type="thumbs_up",
        prompt="Where?",
        response="Here.",
        comment=comment,
        revision=revision,
        timestamp=T0 + timedelta(minutes=minute),
    ),
    st.integers(1, 4),
    st.integers(0, 2),
    st.sampled_from([None, "a", "b"]),
    st.sampled_from([None, 0, 7]),
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), stream=st.lists(records, max_size=12))
def test_any_order_and_repetition_of_a_stream_gives_the_same_store(engine, data, stream):
    store = FeedbackStore(engine)
    repeated = stream + data.draw(st.lists(st.sampled_from(stream), max_size=6) if stream else st.just([]))
    shuffled = data.draw(st.permutations(repeated))
    cut = data.draw(st.integers(0, len(shuffled)))

    def stored(*parts):
        with store.engine.begin() as connection:
            connection.execute(feedback.delete())
        results = [store.add(part, T0) for part in parts]
        counted = sum(result.added + result.replaced + result.duplicates for result in results)
        assert counted == sum(len(part) for part in parts)
        return contents(store)

    assert stored(shuffled[:cut], shuffled[cut:]) == stored(stream)


def test_at_equal_times_the_higher_revision_counts_whatever_came_last(engine, make_record, now):
    store = FeedbackStore(engine)
    first, second = (make_record(1, comment=word, revision=at) for at, word in enumerate(["b", "a"]))

    store.add([second], now)
    store.add([first], now)

    assert contents(store)["fb-1"].comment == "a"


def test_what_is_set_aside_twice_is_kept_once(engine, now):
    store = FeedbackStore(engine)

    first = store.add_quarantine([entry(1), entry(2), entry(1, position="line 9")], now)
    again = store.add_quarantine([entry(2), entry(3)], now + timedelta(days=1))

    assert (first, again) == (2, 1)
    listed = store.list_quarantine("default")
    assert [item.entry.position for item in listed] == ["line 3", "line 2", "line 1"]
    assert listed[-1].created_at == now


def test_quarantine_is_listed_by_stage_newest_first_up_to_a_limit(engine, now):
    store = FeedbackStore(engine)
    store.add_quarantine(
        [entry(n) for n in range(5)] + [entry(9, stage="validation", feedback_id="fb-9")], now
    )

    assert [item.entry.raw for item in store.list_quarantine("default", limit=2, stage="reading")] == [
        '"4"',
        '"3"',
    ]
    assert [item.entry.feedback_id for item in store.list_quarantine("default", stage="validation")] == [
        "fb-9"
    ]
    assert store.list_quarantine("other") == []
    assert store.counts("default").quarantine == {"reading": 5, "validation": 1}


def test_reasons_with_broken_characters_can_be_stored(engine, now):
    store = FeedbackStore(engine)
    odd = entry(1, reasons=("comment holds '\\ud83d'", "é \U0001f600"), raw='"\\u0000\\ud800"')

    store.add_quarantine([odd], now)

    assert store.list_quarantine("default")[0].entry == odd


def test_a_batch_keeps_the_row_of_its_first_import(engine, now):
    store = FeedbackStore(engine)
    batch = Batch("b1", "default", "a.jsonl", {"read": 3}, {"success": True}, now)

    assert store.add_batch(batch)
    assert not store.add_batch(Batch("b1", "default", "a.jsonl", {"read": 0}, None, now + timedelta(days=1)))
    assert store.batches("default") == [batch]


def test_counts_are_by_type(engine, make_record, now):
    store = FeedbackStore(engine)
    store.add([make_record(1), make_record(2), make_record(3, type="thumbs_down")], now)

    assert store.counts("default").feedback == {"thumbs_down": 1, "thumbs_up": 2}


def test_a_chunk_with_a_record_that_cannot_be_stored_leaves_nothing_behind(engine, make_record, now):
    store = FeedbackStore(engine)
    without_zone = make_record(2, timestamp=datetime(2026, 1, 1))  # noqa: DTZ001 - what is tested

    with pytest.raises(ValueError, match="fb-2 has a time without a zone"):
        store.add([make_record(1), without_zone], now)

    assert contents(store) == {}
