from datetime import timedelta

import pytest

from gateway_tuning.access.audit import AuditLog
from gateway_tuning.erasure.begin import begin
from gateway_tuning.errors import (
    ConfigurationError,
    ConflictError,
    ErasedError,
    NotFoundError,
    UnacceptableError,
)
from gateway_tuning.feedback.ingest import commit
from gateway_tuning.feedback.mapping import canonical_json
from gateway_tuning.feedback.quarantine import QuarantineEntry
from gateway_tuning.feedback.receipts import receipt
from gateway_tuning.feedback.record import FeedbackRecord
from gateway_tuning.feedback.reviews import Decision, Reviews, decisions
from gateway_tuning.feedback.store import FeedbackStore
from gateway_tuning.feedback.submission import TokenPolicy, read_body
from tests.conftest import NOW

TENANT = "default"
WHO = {"actor": "user:u-17", "reason": "A newsletter asked for these ratings"}


def make_record(id_, **changes):
    fields = {"type": "thumbs_up", "prompt": "Where is it?", "response": "Here.", "timestamp": NOW}
    return FeedbackRecord(**{"id": id_, **fields, **changes})


@pytest.fixture
def store(engine):
    return FeedbackStore(engine)


@pytest.fixture
def reviews(engine):
    return Reviews(engine)


@pytest.fixture
def burst(store, now):
    """A stored record that a build set aside; the fingerprint of its entry."""
    store.add([make_record("f1", user_id="ann"), make_record("f2", user_id="bob")], now)
    return set_aside(store, now, stage="trust", feedback_id="f1", reasons=("burst: words 4 to 6",))


@pytest.fixture
def contradiction(store, now):
    """A thumb up with a bad score, posted to the API; the fingerprint of its entry."""
    return post(store, now, satisfaction_score=-0.5)


def set_aside(store, now, **fields):
    given = {"tenant": TENANT, "source": "feedback", "position": "f1", "raw": None, "reasons": ("why",)}
    entry = QuarantineEntry(**{**given, **fields})
    store.add_quarantine([entry], now)
    return entry.fingerprint


def post(store, now, **fields):
    values = {
        "id": "f9",
        "user_id": "ann",
        "type": "thumbs_up",
        "prompt": "Where is it?",
        "response": "Here.",
        "timestamp": "2026-11-01T09:00:00Z",
        **fields,
    }
    submission = read_body(
        canonical_json(values).encode(),
        tenant=TENANT,
        idempotency_key=None,
        now=now,
        max_records=10,
        tokens=TokenPolicy(),
    )
    ((receipt,),) = commit(store, [submission], now=now)
    assert receipt.state == "quarantined"
    (entry,) = submission.items
    return entry.fingerprint


def stored(store, up_to=None):
    return {record.id: record for _, record in store.read(TENANT, up_to)}


def test_an_accepted_record_of_a_burst_is_seen_by_the_next_watermark_and_not_by_the_one_before(
    store, engine, reviews, burst, now
):
    before = store.watermark(TENANT)

    review = reviews.accept(TENANT, burst, **WHO, now=now)

    assert (review.decision, review.feedback_id, review.stands) == (Decision.ACCEPTED, "f1", True)
    assert decisions(engine, TENANT, before) == {}
    assert decisions(engine, TENANT, store.watermark(TENANT)) == {"f1": Decision.ACCEPTED}
    assert stored(store, before).keys() == {"f2"}
    assert stored(store).keys() == {"f1", "f2"}


def test_the_newest_decision_counts_and_all_are_kept(store, engine, reviews, burst, now):
    reviews.accept(TENANT, burst, **WHO, now=now)
    reviews.reject(TENANT, burst, actor="user:u-2", reason="It was no newsletter", now=now)

    assert reviews.latest(TENANT, [burst])[burst].decision is Decision.REJECTED
    assert decisions(engine, TENANT, store.watermark(TENANT)) == {"f1": Decision.REJECTED}
    assert [(one.decision, one.actor) for one in reviews.history(TENANT, burst)] == [
        (Decision.REJECTED, "user:u-2"),
        (Decision.ACCEPTED, "user:u-17"),
    ]


def test_the_same_decision_again_changes_nothing(store, engine, reviews, burst, now):
    first = reviews.accept(TENANT, burst, **WHO, now=now)
    watermark, head = store.watermark(TENANT), AuditLog(engine).verify().head

    again = reviews.accept(TENANT, burst, actor="user:u-2", reason="I think so too", now=now)

    assert again == first
    assert store.watermark(TENANT) == watermark
    assert AuditLog(engine).verify().head == head


def test_what_is_said_later_under_the_same_id_is_judged_anew(store, engine, reviews, burst, now):
    reviews.accept(TENANT, burst, **WHO, now=now)
    later = make_record("f1", user_id="ann", comment="moonbeam", timestamp=now + timedelta(minutes=1))
    store.add([later], now)

    assert decisions(engine, TENANT, store.watermark(TENANT)) == {}
    assert not reviews.latest(TENANT, [burst])[burst].stands

    reviews.accept(TENANT, burst, **WHO, now=now)
    assert decisions(engine, TENANT, store.watermark(TENANT)) == {"f1": Decision.ACCEPTED}


def test_a_record_against_which_a_rule_of_ours_alone_stood_is_stored_once_it_is_accepted(
    store, engine, reviews, contradiction, now
):
    assert stored(store) == {}

    reviews.accept(TENANT, contradiction, **WHO, now=now)

    record = stored(store)["f9"]
    assert (record.satisfaction_score, record.user_id) == (-0.5, "ann")
    assert decisions(engine, TENANT, store.watermark(TENANT)) == {"f9": Decision.ACCEPTED}
    assert store.counts(TENANT).quarantine == {"validation": 1}, "what was set aside is kept"


def test_a_stored_record_that_is_rejected_after_all_is_ruled_out(store, engine, reviews, contradiction, now):
    reviews.accept(TENANT, contradiction, **WHO, now=now)
    reviews.reject(TENANT, contradiction, **WHO, now=now)

    assert decisions(engine, TENANT, store.watermark(TENANT)) == {"f9": Decision.REJECTED}


def test_a_row_that_was_never_stored_can_be_rejected_and_moves_nothing(
    store, engine, reviews, contradiction, now
):
    review = reviews.reject(TENANT, contradiction, **WHO, now=now)

    assert review.stands
    assert (store.watermark(TENANT), decisions(engine, TENANT, 10)) == (0, {})


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"stage": "reading", "raw": '"{"'}, "cannot be read"),
        ({"stage": "anonymization", "feedback_id": "f1"}, "personal data could not be removed"),
        ({"stage": "validation", "raw": None}, "text was not kept"),
        (
            {"stage": "validation", "raw": "{}", "reasons": ("Original prompt cannot be empty",)},
            "Original prompt cannot be empty",
        ),
        (
            {"stage": "validation", "raw": '{"score": 1}', "reasons": ("comment is too long: 200,000",)},
            "not the shape of a record",
        ),
        ({"stage": "validation", "raw": "[1]", "reasons": ("comment is too long: 2",)}, "Not an object"),
        ({"stage": "trust", "feedback_id": "gone"}, "feedback gone is no longer stored"),
    ],
)  # fmt: skip
def test_what_is_of_no_use_is_never_accepted_and_says_why(store, reviews, now, fields, why):
    store.add([make_record("f1")], now)
    fingerprint = set_aside(store, now, **fields)

    with pytest.raises(UnacceptableError, match=why) as refused:
        reviews.accept(TENANT, fingerprint, **WHO, now=now)

    assert fingerprint in str(refused.value)
    assert reviews.latest(TENANT, [fingerprint]) == {}
    assert decisions(store.engine, TENANT, store.watermark(TENANT)) == {}


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"response": " "}, "Model response cannot be empty"),
        ({"tenant": "others"}, "Belongs to another tenant"),
        ({"prompt": "a\0b"}, "NUL"),
        ({"timestamp": "2027-11-01T09:00:00Z"}, "Timestamp lies in the future"),
        ({"satisfaction_score": 7}, "Satisfaction score must be between"),
    ],
)
def test_what_the_api_set_aside_as_no_usable_record_is_never_accepted(store, reviews, now, fields, why):
    fingerprint = post(store, now, **fields)

    with pytest.raises(UnacceptableError, match=why):
        reviews.accept(TENANT, fingerprint, **WHO, now=now)

    assert stored(store) == {}


def test_a_time_that_has_come_meanwhile_is_no_longer_in_the_future(store, reviews, now):
    fingerprint = post(store, now, timestamp="2026-11-02T09:00:00Z")

    reviews.accept(TENANT, fingerprint, **WHO, now=now + timedelta(days=2))

    assert stored(store).keys() == {"f9"}


def test_a_record_without_an_id_gets_one_from_its_fingerprint(store, reviews, now):
    raw = canonical_json(
        {
            "type": "thumbs_up",
            "prompt": "p",
            "response": "r",
            "comment": "x" * 100_001,
            "timestamp": "2026-11-01T09:00:00Z",
        }
    )
    fingerprint = set_aside(
        store, now, stage="validation", raw=raw, reasons=("comment is too long: 100,001 characters",)
    )

    review = reviews.accept(TENANT, fingerprint, **WHO, now=now)

    assert review.feedback_id == f"reviewed-{fingerprint[:32]}"
    assert stored(store).keys() == {review.feedback_id}


def test_a_later_statement_under_the_id_is_not_overwritten(store, reviews, contradiction, now):
    later = make_record("f9", timestamp=now)
    store.add([later], now)

    with pytest.raises(ConflictError, match="a later statement is stored as feedback f9"):
        reviews.accept(TENANT, contradiction, **WHO, now=now)

    assert stored(store) == {"f9": later}


def test_an_erased_person_is_not_brought_back_and_leaves_no_review(store, engine, reviews, burst, now):
    reviews.accept(TENANT, burst, **WHO, now=now)
    begin(engine, TENANT, "ann", requested_by="test", now=now)

    assert reviews.history(TENANT, burst) == []
    with pytest.raises(NotFoundError):
        reviews.accept(TENANT, burst, **WHO, now=now)


def test_a_row_of_a_person_who_was_erased_meanwhile_is_not_stored(store, engine, reviews, now):
    begin(engine, TENANT, "ann", requested_by="test", now=now)
    raw = {
        "type": "thumbs_up",
        "prompt": "p",
        "response": "r",
        "user_id": "ann",
        "timestamp": now.isoformat(),
    }
    fingerprint = set_aside(
        store, now, stage="validation", raw=canonical_json(raw), reasons=("Rating token is missing",)
    )

    with pytest.raises(ErasedError):
        reviews.accept(TENANT, fingerprint, **WHO, now=now)

    assert stored(store) == {}


def test_another_tenant_decides_on_nothing_here(reviews, burst, now):
    with pytest.raises(NotFoundError, match=burst):
        reviews.accept("others", burst, **WHO, now=now)

    assert reviews.latest("others", [burst]) == {}


@pytest.mark.parametrize("reason", ["", "  ", "x" * 1001])
def test_a_decision_needs_a_reason_of_a_sentence(reviews, burst, now, reason):
    with pytest.raises(ConfigurationError, match=burst):
        reviews.reject(TENANT, burst, actor="user:u-17", reason=reason, now=now)


def test_the_audit_log_says_who_decided_and_keeps_the_reason_out(engine, reviews, burst, now):
    reviews.accept(TENANT, burst, **WHO, now=now, request_id="r-1")
    reviews.reject(TENANT, burst, **WHO, now=now)

    entries = AuditLog(engine).page(TENANT, limit=5)
    assert [entry.event.action for entry in entries] == ["quarantine.reject", "quarantine.accept"]
    assert {entry.event.actor for entry in entries} == {"user:u-17"}
    assert entries[1].event.request_id == "r-1"
    assert entries[0].event.detail == {"stage": "trust", "before": "accepted"}


def test_the_receipt_of_a_record_tells_what_was_decided_on_it(store, engine, reviews, burst, now):
    before = receipt(engine, TENANT, "f1")
    reviews.accept(TENANT, burst, **WHO, now=now)
    accepted = receipt(engine, TENANT, "f1")
    store.add([make_record("f1", timestamp=now + timedelta(minutes=1))], now)
    changed = receipt(engine, TENANT, "f1")

    told = [one.quarantine[0].review for one in (before, accepted, changed)]
    assert told == [None, "accepted", None]
