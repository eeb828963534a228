"""Notices are told once, sent at least once, and given up after a day."""

from datetime import timedelta

import pytest

from gateway_tuning.notices.channel import DeliveryError
from gateway_tuning.notices.delivery import deliver
from gateway_tuning.notices.notice import Kind, Notice, Severity, notice_id
from gateway_tuning.notices.store import MOST_ATTEMPTS, NoticeStore

WEBHOOK = {"webhook": Severity.INFORMATION}


class Takes:
    """A channel that takes what it is not told to refuse."""

    def __init__(self, *, faults=()):
        self.name = "webhook"
        self.faults = list(faults)
        self.sent = []

    def send(self, notice):
        if self.faults and (fault := self.faults.pop(0)) is not None:
            raise fault
        self.sent.append(notice.subject)


def notice(name, severity=Severity.WARNING):
    return Notice(notice_id(name), "default", Kind.GATE, severity, name, "body", None)


def refused():
    fault = DeliveryError("answered 400")
    fault.is_refused = True
    return fault


def test_a_notice_is_told_once_however_often_it_is_noticed(engine, now):
    store, channel = NoticeStore(engine, WEBHOOK), Takes()
    assert store.add([notice("a"), notice("a")], now) == 1
    assert store.add([notice("a")], now) == 0
    deliver(store, {"webhook": channel}, lambda: now)
    deliver(store, {"webhook": channel}, lambda: now + timedelta(days=2))
    assert channel.sent == ["a"]


def test_a_channel_that_is_silent_is_tried_again_and_the_others_go_on(engine, now):
    store = NoticeStore(engine, {"webhook": Severity.INFORMATION, "email": Severity.INFORMATION})
    store.add([notice("a")], now)
    store.add([notice("b")], now + timedelta(seconds=1))
    silent, well = Takes(faults=[DeliveryError("did not answer")]), Takes()
    channels = {"webhook": silent, "email": well}
    first = deliver(store, channels, lambda: now + timedelta(seconds=2))
    assert first == {"sent": 2, "again": 1, "given_up": 0}
    assert (silent.sent, well.sent) == ([], ["a", "b"])
    deliver(store, channels, lambda: now + timedelta(minutes=5))
    assert sorted(silent.sent) == ["a", "b"]


def test_one_notice_that_is_refused_keeps_no_other_one_back(engine, now):
    store, channel = NoticeStore(engine, WEBHOOK), Takes(faults=[refused()])
    store.add([notice("a")], now)
    store.add([notice("b")], now + timedelta(seconds=1))
    deliver(store, {"webhook": channel}, lambda: now + timedelta(seconds=2))
    assert channel.sent == ["b"]


def test_what_nobody_takes_for_a_day_is_given_up_and_shown(engine, now):
    store, at = NoticeStore(engine, WEBHOOK), now
    store.add([notice("a")], now)
    for _ in range(MOST_ATTEMPTS + 5):
        deliver(store, {"webhook": Takes(faults=[refused()])}, lambda: at)  # noqa: B023 - called at once
        at += timedelta(hours=1)
    [shown] = store.page("default", limit=10)
    assert shown.deliveries[0].is_given_up
    assert shown.deliveries[0].error == "answered 400"
    assert store.due(at + timedelta(days=30), limit=10) == []


def test_a_pause_doubles_up_to_an_hour_or_to_what_the_channel_asks_for(engine, now):
    store, at, pauses = NoticeStore(engine, WEBHOOK), now, []
    store.add([notice("a")], now)
    for _ in range(8):
        [due] = store.due(at, limit=1)
        assert store.claim(due, at)
        store.failed(due, "no", at)
        [row] = store.page("default", limit=1)
        pauses.append((row.deliveries[0].next_attempt_at - at).total_seconds() / 60)
        at = row.deliveries[0].next_attempt_at
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60]
    [due] = store.due(at, limit=1)
    store.failed(due, "no", at, not_before=at + timedelta(hours=3))
    assert store.due(at + timedelta(hours=2), limit=1) == []


def test_a_sender_that_dies_before_it_says_so_sends_again(engine, now):
    store, channel = NoticeStore(engine, WEBHOOK), Takes()
    store.add([notice("a")], now)
    [due] = store.due(now, limit=1)
    assert store.claim(due, now)  # and is killed
    assert deliver(store, {"webhook": channel}, lambda: now + timedelta(minutes=1))["sent"] == 0
    assert deliver(store, {"webhook": channel}, lambda: now + timedelta(minutes=3))["sent"] == 1


def test_of_two_senders_one_sends(engine, now):
    store = NoticeStore(engine, WEBHOOK)
    store.add([notice("a")], now)
    [due] = store.due(now, limit=1)
    assert [store.claim(due, now), store.claim(due, now)] == [True, False]


def test_a_channel_gets_what_is_severe_enough_and_nothing_from_before_it_was_there(engine, now):
    NoticeStore(engine).add([notice("before", Severity.ALARM)], now)
    store, channel = NoticeStore(engine, {"webhook": Severity.ALARM}), Takes()
    store.add([notice("warning"), notice("alarm", Severity.ALARM)], now)
    deliver(store, {"webhook": channel}, lambda: now)
    assert channel.sent == ["alarm"]
    assert {row.notice.subject for row in store.page("default", limit=9)} == {"before", "warning", "alarm"}


def test_a_flow_that_fails_every_minute_is_sent_three_times_an_hour_and_shown_always(engine, now):
    store, channel = NoticeStore(engine, WEBHOOK), Takes()
    for minute in range(62):
        failed = Notice(
            notice_id(str(minute)), "default", Kind.FAILURE, Severity.ALARM, "it failed", "", None
        )
        store.add([failed], now + timedelta(minutes=minute))
        deliver(store, {"webhook": channel}, lambda: now + timedelta(minutes=minute))  # noqa: B023 - called at once
    store.add([notice("another")], now + timedelta(minutes=62))
    deliver(store, {"webhook": channel}, lambda: now + timedelta(minutes=62))
    assert channel.sent == [*["it failed"] * 3, "another"]
    assert len(store.page("default", limit=100)) == 63


def test_notices_are_listed_newest_first_by_pages_and_tenants(engine, now):
    store = NoticeStore(engine, WEBHOOK)
    for number in range(3):
        store.add([notice(str(number))], now + timedelta(seconds=number))
    first = store.page("default", limit=2)
    last = first[-1]
    rest = store.page("default", limit=2, before=(last.created_at, last.notice.id))
    assert [row.notice.subject for row in [*first, *rest]] == ["2", "1", "0"]
    assert store.page("other", limit=2) == []


def test_the_first_notice_shows_that_a_channel_works(engine, now):
    store, channel = NoticeStore(engine, WEBHOOK), Takes()
    assert store.begin(now) == now
    assert store.begin(now + timedelta(days=1)) == now
    deliver(store, {"webhook": channel}, lambda: now)
    assert channel.sent == ["Notices begin"]


@pytest.mark.parametrize("severity", list(Severity))
def test_severities_have_an_order(severity):
    assert Severity.INFORMATION.rank <= severity.rank <= Severity.ALARM.rank
