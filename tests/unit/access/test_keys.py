import threading
from datetime import timedelta

import pytest
import sqlalchemy as sa

from gateway_tuning.access.keys import KeyStore
from gateway_tuning.access.permissions import Role
from gateway_tuning.access.principal import Principal, PrincipalKind, Refused
from gateway_tuning.errors import ConfigurationError, NotFoundError
from gateway_tuning.storage.tables import api_keys


@pytest.fixture
def store(engine):
    store = KeyStore(engine)
    yield store
    store.close()


@pytest.fixture
def another_process(engine):
    store = KeyStore(engine, recent_s=0.0)
    yield store
    store.close()


def make(store, now, role=Role.MODEL_ADMIN, tenant="acme", **options):
    return store.create(tenant, "shop", role, by="cli:tests", now=now, **options)


def test_a_key_names_its_caller_tenant_and_role(store, now):
    key, text = make(store, now, Role.FEEDBACK_WRITER)

    assert store.verify(text, now) == Principal(
        f"key:{key.id}", "acme", frozenset({Role.FEEDBACK_WRITER}), PrincipalKind.KEY
    )


def test_the_store_holds_no_key(store, engine, now):
    _, text = make(store, now)
    secret = text.split("_", 2)[2]

    with engine.connect() as connection:
        stored = str(connection.execute(sa.select(api_keys)).all())

    assert len(secret) == 43
    assert secret not in stored


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text[:-1] + ("A" if text[-1] != "A" else "B"),
        lambda text: text[:-1],
        lambda text: text + "A",
        lambda text: text.replace("gt_", "gt_f", 1),
        lambda text: "gt_" + "0" * 12 + text[15:],
        lambda text: text.upper(),
        lambda text: "",
        lambda text: text[:15] + "_" + "'" * 43,
    ],
)
def test_a_key_that_differs_in_anything_opens_nothing(store, now, change):
    _, text = make(store, now)
    store.verify(text, now)
    wrong = change(text)

    assert isinstance(store.verify(wrong, now), Refused)
    assert not isinstance(store.recent(wrong, now), Principal)
    assert not store.knows(wrong)


def test_an_expired_key_opens_nothing_even_where_it_was_good_a_moment_ago(store, another_process, now):
    _, text = make(store, now, expires_at=now + timedelta(seconds=2))
    store.verify(text, now)

    later = now + timedelta(seconds=2)

    assert isinstance(store.recent(text, now + timedelta(seconds=1)), Principal)
    assert isinstance(store.recent(text, later), Refused)
    assert isinstance(another_process.verify(text, later), Refused)


def test_a_revoked_key_dies_here_at_once_and_elsewhere_when_it_is_looked_up_again(
    store, another_process, now
):
    key, text = make(store, now)
    store.verify(text, now)
    another_process.verify(text, now)

    store.revoke(key.id, now=now)

    assert store.recent(text, now) is None
    assert isinstance(store.verify(text, now), Refused)
    assert another_process.recent(text, now) is None
    assert isinstance(another_process.verify(text, now), Refused)


def test_revoking_twice_keeps_the_first_time(store, now):
    key, _ = make(store, now)

    store.revoke(key.id, now=now)

    assert store.revoke(key.id, now=now + timedelta(days=1)).revoked_at == now


def test_a_key_of_another_tenant_is_not_found(store, now):
    key, text = make(store, now)

    with pytest.raises(NotFoundError, match=key.id):
        store.revoke(key.id, tenant="globex", now=now)
    with pytest.raises(NotFoundError, match=key.id):
        store.get(key.id, tenant="globex")
    assert isinstance(store.verify(text, now), Principal)
    assert store.all("globex") == []


def test_recent_keys_and_recent_unknown_keys_do_not_ask_the_store(store, engine, now):
    _, text = make(store, now)
    unknown = "gt_" + "0" * 12 + text[15:]
    store.verify(text, now)
    store.verify(unknown, now)
    store.close()  # the use is noted
    asked = []
    sa.event.listen(engine, "before_cursor_execute", lambda *_: asked.append(1))

    known, refused = store.recent(text, now), store.recent(unknown, now)

    assert isinstance(known, Principal)
    assert isinstance(refused, Refused)
    assert asked == []


def test_the_last_use_is_noted_at_most_once_a_minute(store, engine, now):
    key, text = make(store, now)
    written = []
    sa.event.listen(
        engine, "before_cursor_execute", lambda *event: written.append(1) if "UPDATE" in event[2] else None
    )

    for second in range(20):
        store.verify(text, now + timedelta(seconds=second))
    store.close()

    assert len(written) == 1
    assert store.get(key.id, tenant="acme").last_used_at == now


def test_noting_a_use_never_holds_a_request_up(store, engine, now):
    """Somebody else writes for as long as the request takes; the use is noted afterwards."""
    key, text = make(store, now)
    held, release = threading.Event(), threading.Event()

    def hold():
        with engine.begin() as connection:
            connection.execute(api_keys.update().where(api_keys.c.id == key.id).values(name="held"))
            held.set()
            release.wait(10)

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait(10)
    found = store.verify(text, now)
    release.set()
    holder.join()
    store.close()

    assert isinstance(found, Principal)
    assert store.get(key.id, tenant="acme").last_used_at == now


def test_keys_are_listed_newest_first_a_page_at_a_time(store, now):
    made = [make(store, now + timedelta(seconds=number // 2))[0] for number in range(5)]
    expected = [key.id for key in sorted(made, key=lambda key: (key.created_at, key.id), reverse=True)]

    first = store.all("acme", limit=3)
    second = store.all("acme", limit=3, before=(first[-1].created_at, first[-1].id))

    assert [key.id for key in first + second] == expected


@pytest.mark.parametrize("options", [{"tenant": "a/b"}, {"expires_in": 0}])
def test_a_key_that_makes_no_sense_is_not_made(store, now, options):
    expires_at = now + timedelta(days=options["expires_in"]) if "expires_in" in options else None

    with pytest.raises(ConfigurationError):
        make(store, now, tenant=options.get("tenant", "acme"), expires_at=expires_at)
    assert store.all() == []


def test_a_key_whose_audit_entry_cannot_be_written_is_neither_made_nor_revoked(store, now):
    key, text = make(store, now)

    def fail(_connection, _key):
        raise OSError("no space left")

    with pytest.raises(OSError, match="no space"):
        make(store, now, also=fail)
    with pytest.raises(OSError, match="no space"):
        store.revoke(key.id, now=now, also=fail)

    assert store.all() == [key]
    assert isinstance(store.verify(text, now), Principal)
