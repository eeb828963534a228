import json
import socket
import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from gateway_tuning.errors import ConfigurationError
from gateway_tuning.feedback.enrichment import (
    ESTIMATED,
    MAX_PROFILE_BYTES,
    REPORTED,
    Enrichment,
    ProfileEnricher,
    TextEnricher,
    enrich,
)
from gateway_tuning.feedback.enrichment_store import (
    FIRST_RETRY,
    MAX_ATTEMPTS,
    EnrichmentCounts,
    EnrichmentStore,
)
from gateway_tuning.feedback.record import Message, RequestContext
from gateway_tuning.feedback.store import FeedbackStore

USER = "customer/7?x=1"
KEY = "profile-key"
FAILED = Enrichment(errors=("profile: the service answered 500",))
DONE = Enrichment(user_segment="pro", preferences=("brief",), prompt_tokens=3)


@contextmanager
def profile_service(answer):
    """A real server on loopback; `answer` gets each request's handler, `seen` is what came."""
    seen = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            seen.append((self.path, self.headers.get("authorization")))
            answer(self)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/users/{{user_id}}/profile", seen
    finally:
        server.shutdown()
        server.server_close()


def reply(body, status=200, **headers):
    def answer(handler):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.send_header("content-length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data)

    return answer


def asked(url, make_record, *, timeout=2.0, total=5.0, **fields):
    record = make_record(**{"user_id": USER, **fields})
    return enrich(record, [ProfileEnricher(url, KEY, timeout)], total)


class Slow:
    name = "slow"

    def __init__(self, seconds):
        self._seconds = seconds

    def enrich(self, record):
        time.sleep(self._seconds)
        return Enrichment(user_segment="late")


class Broken:
    name = "broken"

    def enrich(self, record):
        raise KeyError(record.user_id)


class Fixed:
    name = "fixed"

    def __init__(self, **fields):
        self._fields = fields

    def enrich(self, record):
        return Enrichment(**self._fields)


@pytest.mark.parametrize(
    ("prompt", "language"),
    [
        ("Where is my parcel, and when will it arrive at my house?", "en"),
        ("Wann kommt mein Paket endlich bei mir zu Hause an?", "de"),
        ("Bonjour, je voudrais retourner cette chaise cassée.", "fr"),
        ("ok", None),
        ("12345 67890 -- 42!!", None),
        ("退货需要多长时间才能收到退款呢请告诉我谢谢", "zh"),
        ("asdkjh qwe zxcmnb lkjqwe poiu xcvbnm", None),
        ("", None),
    ],
)
def test_the_language_is_told_where_it_is_certain(make_record, prompt, language):
    found = TextEnricher().enrich(make_record(prompt=prompt))

    assert found.language == language
    assert (found.language_confidence is None) == (language is None)


def test_reported_tokens_are_taken_as_they_are(make_record):
    request = RequestContext(prompt_tokens=0, response_tokens=12)

    found = TextEnricher().enrich(make_record(request=request))

    assert (found.prompt_tokens, found.response_tokens, found.token_method) == (0, 12, REPORTED)


def test_tokens_that_nobody_reported_are_estimated_and_said_to_be(make_record):
    history = (Message(role="user", content="abcd"), Message(role="assistant", content="ef"))

    found = TextEnricher().enrich(
        make_record(prompt="ghij", response="klmno", system_prompt="xyz", history=history)
    )

    assert (found.prompt_tokens, found.response_tokens, found.token_method) == (4, 2, ESTIMATED)


def test_a_count_that_is_half_reported_says_which_half(make_record):
    found = TextEnricher().enrich(make_record(request=RequestContext(prompt_tokens=5)))

    assert found.token_method == f"prompt {REPORTED}, response {ESTIMATED}"


def test_a_profile_is_asked_for_with_the_key_and_the_id_escaped(make_record):
    with profile_service(reply({"segment": "pro", "preferences": ["brief"], "more": 1})) as (url, seen):
        found = asked(url, make_record)

    assert (found.user_segment, found.preferences, found.errors) == ("pro", ("brief",), ())
    assert seen == [("/users/customer%2F7%3Fx%3D1/profile", f"Bearer {KEY}")]


def test_nobody_is_asked_about_nobody(make_record):
    with profile_service(reply({"segment": "pro"})) as (url, seen):
        found = asked(url, make_record, user_id=None)

    assert (found, seen) == (Enrichment(), [])


@pytest.mark.parametrize("status", [404, 410])
def test_a_user_that_the_service_does_not_know_is_no_failure(make_record, status):
    with profile_service(reply({}, status)) as (url, _):
        assert asked(url, make_record) == Enrichment()


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (reply({}, 500), "the service answered 500"),
        (reply({}, 401), "the service answered 401"),
        (reply({}, 302, location="http://127.0.0.1:1/elsewhere"), "the service answered 302"),
        (reply(b"<html>"), "no {segment, preferences} in JSON"),
        (reply({"segment": 7}), "no {segment, preferences} in JSON"),
        (reply({"preferences": ["x" * 201]}), "no {segment, preferences} in JSON"),
        (reply(b'"' + b"x" * MAX_PROFILE_BYTES + b'"'), "longer than 65536 bytes"),
        (lambda handler: handler.connection.shutdown(socket.SHUT_RDWR), "could not be asked"),
    ],
)
def test_a_service_that_answers_wrong_is_told_without_naming_anybody(make_record, answer, told):
    with profile_service(answer) as (url, seen):
        found = asked(url, make_record)

    assert [told in error for error in found.errors] == [True]
    assert found.errors[0].startswith("profile: ")
    assert not any(secret in found.errors[0] for secret in ("customer", KEY, "127.0.0.1"))
    assert replace(found, errors=()) == Enrichment()
    assert len(seen) == 1


def test_a_redirect_takes_neither_the_key_nor_the_user_elsewhere(make_record):
    with profile_service(reply({"segment": "stolen"})) as (other, received):
        away = reply({}, 307, location=other.replace("{user_id}", "x"))
        with profile_service(away) as (url, _):
            found = asked(url, make_record)

    assert (found.user_segment, received) == (None, [])


def test_a_service_that_is_gone_is_told(make_record):
    with profile_service(reply({})) as (url, _):
        pass

    assert asked(url, make_record).errors == ("profile: the service could not be asked (ConnectError)",)


def test_a_service_that_hangs_costs_its_timeout_and_no_more(make_record):
    release = threading.Event()
    with profile_service(lambda _: release.wait(20)) as (url, _):
        started = time.monotonic()
        found = asked(url, make_record, timeout=0.2)
        took = time.monotonic() - started
        release.set()

    assert found.errors == ("profile: the service did not answer within 0.2 s",)
    assert took < 5


def test_a_service_that_drips_is_cut_off(make_record):
    def drip(handler):
        handler.send_response(200)
        handler.end_headers()
        for _ in range(200):
            try:
                handler.wfile.write(b" ")
                handler.wfile.flush()
            except OSError:
                return
            time.sleep(0.05)

    with profile_service(drip) as (url, _):
        found = asked(url, make_record, timeout=0.3)

    assert found.errors == ("profile: the service did not answer within 0.3 s",)


@pytest.mark.parametrize("user", [".", ".."])
def test_an_id_that_would_climb_in_the_path_is_not_asked_for(make_record, user):
    with profile_service(reply({"segment": "root"})) as (url, seen):
        found = asked(url, make_record, user_id=user)

    assert seen == []
    assert "would change the path" in found.errors[0]


@pytest.mark.parametrize(
    "url",
    [
        "ftp://host/{user_id}",
        "/users/{user_id}",
        "http://{user_id}.example.test/",
        "http://host/users",
        "http://host/{user_id}/{user_id}",
    ],
)
def test_a_profile_url_that_does_not_fix_its_host_is_refused(url):
    with pytest.raises(ConfigurationError, match="profile URL"):
        ProfileEnricher(url, None, 1.0)


def test_one_that_fails_or_dawdles_costs_its_own_fields_alone(make_record):
    started = time.monotonic()
    found = enrich(
        make_record(user_id=USER), [Slow(30), Broken(), Fixed(language="en"), Fixed(language="de")], 0.3
    )

    assert found == Enrichment(
        language="en", errors=("slow: gave no answer in time", "broken: failed with KeyError")
    )
    assert time.monotonic() - started < 10


def test_without_enrichers_nothing_is_known(make_record):
    assert enrich(make_record(), [], 1.0) == Enrichment()


@pytest.fixture
def feedback_store(engine, make_record, now):
    store = FeedbackStore(engine)
    store.add([make_record(id=f"f{number}") for number in range(3)], now)
    return store


def ids(items):
    return [item.feedback_id for item in items]


def test_new_records_wait_in_their_order_until_they_are_done(engine, feedback_store, now):
    store = EnrichmentStore(engine)
    first, *_ = store.pending(2, now)

    assert ids(store.pending(2, now)) == ["f0", "f1"]
    assert store.record(first, DONE, now)
    assert ids(store.pending(9, now)) == ["f1", "f2"]
    kept = store.get("default", "f0")
    assert (kept.status, kept.attempts, kept.result, kept.updated_at) == ("done", 1, DONE, now)
    assert store.get("default", "f1") is None
    assert store.counts("default") == EnrichmentCounts(done=1, failed=0, given_up=0, waiting=2)


def test_each_tenant_has_its_own_place_in_the_queue(engine, feedback_store, make_record, now):
    store = EnrichmentStore(engine)
    feedback_store.add([make_record(id="g0", tenant="other")], now)
    last = store.pending(9, now)[-1]

    store.record(last, DONE, now)

    assert (last.tenant, last.feedback_id) == ("other", "g0")
    assert ids(store.pending(9, now)) == ["f0", "f1", "f2"]
    assert store.counts("other").waiting == 0


def test_a_failure_is_tried_again_later_each_time_and_given_up_in_the_end(engine, feedback_store, now):
    store = EnrichmentStore(engine)
    for item in store.pending(9, now):
        store.record(item, FAILED if item.feedback_id == "f1" else DONE, now)
    tries = []
    at = now
    for attempt in range(1, MAX_ATTEMPTS):
        wait = FIRST_RETRY * 2 ** (attempt - 1)
        tries.append(ids(store.pending(9, at + wait - timedelta(seconds=1))))
        at += wait
        (item,) = store.pending(9, at)
        store.record(item, FAILED, at)

    assert tries == [[]] * (MAX_ATTEMPTS - 1)
    assert store.pending(9, at + timedelta(days=9)) == []
    assert store.get("default", "f1").attempts == MAX_ATTEMPTS
    assert store.counts("default") == EnrichmentCounts(done=2, failed=1, given_up=1, waiting=0)


def test_a_replaced_record_is_enriched_anew(engine, feedback_store, make_record, now):
    store = EnrichmentStore(engine)
    for item in store.pending(9, now):
        store.record(item, FAILED, now)
    late = store.pending(9, now + timedelta(days=1))[0]

    feedback_store.add([make_record(id="f0", comment="more", timestamp=now + timedelta(minutes=1))], now)

    assert not store.record(late, DONE, now)
    (fresh,) = store.pending(9, now)
    assert (fresh.feedback_id, fresh.record.comment) == ("f0", "more")
    store.record(fresh, DONE, now)
    assert store.get("default", "f0").attempts == 1


def test_nothing_is_kept_of_a_record_that_is_gone(engine, feedback_store, now):
    store = EnrichmentStore(engine)
    item = replace(store.pending(1, now)[0], feedback_id="erased")

    assert not store.record(item, DONE, now)
    assert store.get("default", "erased") is None


def test_failures_do_not_keep_new_records_waiting(engine, feedback_store, make_record, now):
    store = EnrichmentStore(engine)
    for item in store.pending(9, now):
        store.record(item, FAILED, now)
    feedback_store.add([make_record(id="n0"), make_record(id="n1")], now)

    assert ids(store.pending(2, now + timedelta(days=1))) == ["f0", "n0"]
