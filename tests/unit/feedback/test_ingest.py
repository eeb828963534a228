import asyncio
import json
import threading
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from gateway_tuning.errors import ConflictError, InputFileError, NotFoundError, StoreBusyError
from gateway_tuning.feedback.ingest import commit
from gateway_tuning.feedback.ingest_queue import IngestQueue
from gateway_tuning.feedback.quarantine import QuarantineEntry
from gateway_tuning.feedback.rating_token import issue
from gateway_tuning.feedback.receipts import receipt
from gateway_tuning.feedback.store import FeedbackStore
from gateway_tuning.feedback.submission import Submission, TokenPolicy, read_body
from gateway_tuning.storage.database import open_database
from gateway_tuning.storage.tables import erasures, feedback, quarantine

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
UNSIGNED = TokenPolicy()
KEY = b"a key of the gateway, 32 bytes.."


def row(id_="f1", **changes):
    fields = {
        "id": id_,
        "type": "thumbs_up",
        "prompt": "Where?",
        "response": "Here.",
        "timestamp": NOW.isoformat(),
    }
    return {**fields, **changes}


def read(value, *, key=None, tokens=UNSIGNED, limit=100):
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    return read_body(body, tenant="default", idempotency_key=key, now=NOW, max_records=limit, tokens=tokens)


@pytest.fixture
def store(engine):
    return FeedbackStore(engine)


def send(store, value, **options):
    (answer,) = commit(store, [read(value, **options)], now=NOW)
    return answer


def stored(store):
    return {record.id: record for _, record in store.read("default")}


def test_one_record_and_a_batch_are_stored_with_a_receipt_each(store):
    assert [given.state for given in send(store, row())] == ["stored"]
    batch = send(store, [row("f1"), row("f2"), row("f2", comment="more", revision=1)])

    assert [(given.id, given.news) for given in batch] == [
        ("f1", "duplicate"), ("f2", "added"), ("f2", "replaced"),
    ]  # fmt: skip
    assert stored(store)["f2"].comment == "more"


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (row(prompt=" "), "Original prompt cannot be empty"),
        (row(satisfaction_score=float("nan")), "Satisfaction score is not a number"),
        (row(prompt="x" * 200_000), "prompt is too long"),
        (row(prompt="a\ud800b"), "prompt holds half of a surrogate pair"),
        (row(comment="a\0b"), "comment holds a NUL character"),
        (row(colour="red"), "Unknown field: colour"),
        (row(tenant="other"), "Belongs to another tenant"),
        (row(timestamp="yesterday"), "timestamp is no date and time"),
        (row(type="applause"), "Unknown feedback type"),
        ({"id": "f1"}, "type is missing"),
        ("just a text", "Not a JSON object"),
        (None, "Not a JSON object"),
        ([1], "Not a JSON object"),
    ],
)
def test_a_poisonous_element_is_set_aside_with_its_reason_and_its_neighbours_are_stored(store, value, reason):
    before, poison, after = send(store, [row("good-1"), value, row("good-2")])

    assert (before.state, poison.state, after.state) == ("stored", "quarantined", "stored")
    assert any(found.startswith(reason) for found in poison.reasons)
    assert stored(store).keys() == {"good-1", "good-2"}
    told = receipt(store.engine, "default", poison.id)
    assert told.state == "quarantined"
    assert told.quarantine[0].reasons == poison.reasons


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"7", b'"text"', b"null", b"[" * 100_000, b"\xff", b"NaN"]
)
def test_a_body_that_is_no_record_or_batch_is_refused_whole(body):
    with pytest.raises(InputFileError):
        read(body)


def test_a_batch_over_the_limit_is_refused_with_the_limit():
    with pytest.raises(InputFileError, match="3 records in one body; send at most 2"):
        read([row(), row(), row()], limit=2)


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_any_json_gives_a_statement_or_reasons(value):
    submission = read([value])

    assert all(item.reasons for item in submission.items if isinstance(item, QuarantineEntry))


@given(st.dictionaries(st.sampled_from(sorted(row())), st.none() | st.text() | st.integers() | st.floats()))
def test_any_damage_to_a_record_is_told_or_harmless(damage):
    (item,) = read([row() | damage]).items

    assert item.reasons if isinstance(item, QuarantineEntry) else item.record.prompt.strip()


def test_numbers_as_ids_and_empty_texts_mean_what_an_import_makes_of_them(store):
    send(store, [row("f1", user_id=7, comment=""), row("f2", user_id="", metadata={"a": 1})])

    assert (stored(store)["f1"].user_id, stored(store)["f1"].comment) == ("7", None)
    assert (stored(store)["f2"].user_id, stored(store)["f2"].metadata) == (None, {"a": "1"})


def test_an_idempotency_key_gives_ids_and_the_same_answer_again(store):
    nameless = [{**row(), "id": None}, {**row(), "id": None}]

    first = send(store, nameless, key="k1")
    again = send(store, nameless, key="k1")

    assert len({given.id for given in first}) == 2
    assert [(given.id, given.state) for given in again] == [(given.id, "stored") for given in first]
    assert len(stored(store)) == 2


def test_a_record_without_an_id_or_a_key_is_set_aside(store):
    (given,) = send(store, {**row(), "id": None})

    assert given.reasons == ("id is missing",)


def test_a_key_that_was_used_for_another_body_keeps_nothing_of_this_one(store):
    send(store, row("f1"), key="k1")

    other = send(store, row("f2"), key="k1")

    assert isinstance(other, ConflictError)
    assert stored(store).keys() == {"f1"}


def test_submissions_that_share_a_commit_do_not_share_their_fate(store):
    send(store, row("f1"), key="k1")
    submissions = [read(row("f2"), key="k1"), read(row("f3")), read({"id": "f4"})]

    refused, kept, aside = commit(store, submissions, now=NOW)

    assert isinstance(refused, ConflictError)
    assert (kept[0].state, aside[0].state) == ("stored", "quarantined")


class TestTokens:
    policy = TokenPolicy(KEY)

    def signed(self, id_, answer="a1", user="anna"):
        token = issue(KEY, answer, user, NOW + timedelta(days=1))
        return row(id_, user_id=user, answer_id=answer, rating_token=token)

    def test_a_rating_of_ones_own_answer_is_stored(self, store):
        assert send(store, self.signed("f1"), tokens=self.policy)[0].state == "stored"

    def test_an_answer_is_rated_under_one_id_which_may_change_its_mind(self, store):
        send(store, self.signed("f1"), tokens=self.policy)
        second = send(store, [self.signed("f2"), self.signed("f1") | {"revision": 1}], tokens=self.policy)

        assert [given.state for given in second] == ["quarantined", "stored"]
        assert second[0].reasons == ("Rating token was used before, under another feedback id",)
        assert stored(store).keys() == {"f1"}

    def test_somebody_elses_token_is_set_aside(self, store):
        (given,) = send(store, self.signed("f1") | {"user_id": "mallory"}, tokens=self.policy)

        assert given.reasons == ("Rating token belongs to another user",)

    def test_a_missing_token_counts_only_where_tokens_are_required(self, store):
        assert send(store, row("f1"), tokens=self.policy)[0].state == "stored"
        required = TokenPolicy(KEY, required=True)
        assert send(store, row("f2"), tokens=required)[0].reasons == ("Rating token is missing",)

    def test_the_record_carries_the_version_that_the_token_names_whatever_its_sender_believed(self, store):
        token = issue(KEY, "a1", "anna", NOW + timedelta(days=1), version="v2.1")
        believed = row("f1", user_id="anna", answer_id="a1", rating_token=token, model_version="gpt-4o")
        send(store, believed, tokens=self.policy)

        assert stored(store)["f1"].model_version == "v2.1"

    def test_a_token_that_names_no_version_or_is_forged_changes_none(self, store):
        forged = issue(b"not the key of the gateway at all", "a2", "anna", NOW, version="v9")
        given = send(
            store,
            [self.signed("f1") | {"model_version": "v1"}, self.signed("f2", "a2") | {"rating_token": forged}],
            tokens=self.policy,
        )

        assert stored(store)["f1"].model_version == "v1"
        assert given[1].reasons == ("Rating token is not genuine",)

    def test_without_a_key_a_token_vouches_for_nothing_and_blocks_nobody(self, store):
        send(store, self.signed("f1"))

        assert send(store, self.signed("f2"))[0].state == "stored"
        assert stored(store)["f1"].rating_token is None


def tombstone(engine, store, user, at):
    subject = store.subject_of("default", now=NOW)(user)
    with engine.begin() as connection:
        connection.execute(
            erasures.insert().values(
                id=f"er-{user}", tenant="default", subject_id=subject, requested_by="ops", state="requested",
                erased_at=at, counts={},
            )
        )  # fmt: skip


def test_what_an_erased_person_said_before_does_not_come_back_and_what_they_say_later_does(engine, store):
    tombstone(engine, store, "anna", NOW - timedelta(days=1))
    old = row("old", user_id="anna", timestamp=(NOW - timedelta(days=2)).isoformat())

    answers = send(store, [old, row("new", user_id="anna"), row("other", user_id="ben")])

    assert [given.state for given in answers] == ["erased", "stored", "stored"]
    assert stored(store).keys() == {"new", "other"}


def test_a_receipt_is_of_its_own_tenant_alone(store):
    send(store, row("f1"))

    assert receipt(store.engine, "default", "f1").state == "stored"
    with pytest.raises(NotFoundError):
        receipt(store.engine, "other", "f1")


def test_the_user_stands_in_the_rows_by_the_tenants_key_alone(store):
    send(store, [row("f1", user_id="anna"), {"id": "f2", "user_id": "anna"}])

    with store.engine.connect() as connection:
        subjects = set(connection.execute(sa.select(feedback.c.subject_id)).scalars())
        subjects |= set(connection.execute(sa.select(quarantine.c.subject_id)).scalars())
    assert subjects == {store.subject_of("default", now=NOW)("anna")}


def unwritable():
    """A submission with reasons that no JSON could say."""
    bad = Submission(
        "default", (QuarantineEntry("default", "reading", "api", "1", ("r",), None, "x" * 10, "u"),)
    )
    object.__setattr__(bad.items[0], "reasons", ({1, 2},))  # nothing that JSON could say
    return bad


class TestQueue:
    def test_posts_at_the_same_time_are_each_answered_for_themselves(self, store):
        heard = []
        queue = IngestQueue(store, on_commit=heard.append)

        async def post_all():
            return await asyncio.gather(*(queue.write(read(row(f"f{n}"))) for n in range(200)))

        answers = asyncio.run(post_all())
        queue.close()

        assert [given.id for (given,) in answers] == [f"f{n}" for n in range(200)]
        assert len(stored(store)) == 200
        assert 1 <= len(heard) < 200

    def test_a_store_that_is_locked_for_a_moment_is_waited_for(self, tmp_path):
        engine, other = self.sqlite(tmp_path), self.sqlite(tmp_path)
        queue = IngestQueue(FeedbackStore(engine), patience_s=10)
        locked = other.connect()
        locked.exec_driver_sql("SELECT 1")  # every transaction of the store is an immediate one
        threading.Timer(0.5, locked.close).start()

        (given,) = asyncio.run(queue.write(read(row())))
        queue.close()

        assert given.state == "stored"

    def test_a_store_that_stays_locked_is_told_and_the_record_comes_through_later(self, tmp_path):
        engine, other = self.sqlite(tmp_path), self.sqlite(tmp_path)
        FeedbackStore(engine).subject_of("default", now=NOW)
        queue = IngestQueue(FeedbackStore(engine), patience_s=0.3)
        locked = other.connect()
        locked.exec_driver_sql("SELECT 1")

        with pytest.raises(StoreBusyError, match="send it again"):
            asyncio.run(queue.write(read(row())))
        locked.close()
        (given,) = asyncio.run(queue.write(read(row())))
        queue.close()

        assert given.state == "stored"

    def sqlite(self, tmp_path):
        return open_database(f"sqlite:///{tmp_path / 'store.db'}", busy_seconds=0.1)

    def test_what_a_failing_neighbour_and_a_lock_left_over_is_answered_all_the_same(self, tmp_path):
        engine, other = self.sqlite(tmp_path), self.sqlite(tmp_path)
        FeedbackStore(engine).subject_of("default", now=NOW)
        locks = [other.connect()]
        locks[0].exec_driver_sql("SELECT 1")  # an immediate transaction, as all of the store's

        def lock_again(_tenants):
            if len(locks) == 1:
                locks.append(other.connect())
                locks[1].exec_driver_sql("SELECT 1")
                threading.Timer(0.4, locks[1].close).start()

        queue = IngestQueue(FeedbackStore(engine), patience_s=8, on_commit=lock_again)

        async def post_all():
            threading.Timer(0.4, locks[0].close).start()
            posts = (queue.write(read(row("f1"))), queue.write(unwritable()), queue.write(read(row("f2"))))
            return await asyncio.wait_for(asyncio.gather(*posts, return_exceptions=True), 10)

        first, failed, last = asyncio.run(post_all())
        queue.close()

        assert (first[0].state, last[0].state) == ("stored", "stored")
        assert isinstance(failed, Exception)

    def test_a_submission_that_cannot_be_written_does_not_take_its_neighbours_along(self, store):
        queue = IngestQueue(store)
        bad = unwritable()

        async def post_all():
            return await asyncio.gather(
                queue.write(read(row("f1"))),
                queue.write(bad),
                queue.write(read(row("f2"))),
                return_exceptions=True,
            )

        first, failed, last = asyncio.run(post_all())
        queue.close()

        assert (first[0].state, last[0].state) == ("stored", "stored")
        assert isinstance(failed, Exception)
