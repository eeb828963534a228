from dataclasses import replace
from datetime import timedelta

import pytest

from gateway_tuning.drift.store import CheckKind, DriftStore, StoredDriftReport
from gateway_tuning.errors import ConflictError, NotFoundError


@pytest.fixture
def store(engine):
    return DriftStore(engine)


@pytest.fixture
def report(now):
    return StoredDriftReport(
        "drift-1", "acme", "ds-1", "bot@1", {"state": "no_drift"}, now, "bot", CheckKind.LIVE, 1, 0.03
    )


def test_checks_against_one_reference_are_counted_and_another_reference_counts_anew(store, report):
    def next_number(**changes):
        about = {"tenant": "acme", "model": "bot", "kind": CheckKind.LIVE, "reference_id": "bot@1"} | changes
        return store.next_number(**about)

    assert next_number() == 1
    store.add(report)
    assert next_number() == 2
    others = [{"tenant": "globex"}, {"model": "b"}, {"kind": CheckKind.DATASET}, {"reference_id": "bot@2"}]
    assert [next_number(**other) for other in others] == [1, 1, 1, 1]


def test_a_check_that_decided_nothing_spends_nothing(store, report):
    store.add(replace(report, check_number=None, alpha=None))

    assert store.next_number("acme", "bot", CheckKind.LIVE, "bot@1") == 1


def test_two_checks_at_once_do_not_spend_one_share_twice(store, report):
    store.add(report)

    with pytest.raises(ConflictError, match="made by another run meanwhile"):
        store.add(replace(report, id="drift-2"))
    assert store.find("drift-2") is None


def test_the_first_record_of_a_check_stays(store, report):
    assert store.add(report) == report
    assert store.add(replace(report, result={"state": "drift"})) == report


def test_the_history_of_a_model_is_told_oldest_first_and_of_its_tenant_alone(store, report, now):
    later = replace(report, id="drift-0", created_at=now + timedelta(days=1), check_number=2)
    foreign = replace(report, id="drift-9", tenant="globex")
    for one in (later, foreign, report):
        store.add(one)

    assert store.history("acme", "bot") == store.history("acme") == [report, later]
    assert store.history("acme", "other") == []
    with pytest.raises(NotFoundError, match="drift list"):
        store.get("drift-7")


def test_a_check_that_failed_makes_way_for_the_same_one_made_again(store, report):
    failed = replace(report, result={"state": "error"}, check_number=None, alpha=None)

    assert store.add(failed) == failed
    assert store.add(report) == report
    assert store.add(failed) == report
