import shutil
from datetime import UTC, datetime, timedelta

import httpx
import openai
import pytest
import sqlalchemy as sa
from typer.testing import CliRunner

from gateway_tuning.cli import app
from gateway_tuning.errors import ConfigurationError, NotFoundError, ServingError
from gateway_tuning.gateway.door.directory import read_entries
from gateway_tuning.gateway.door.keys import GatewayKeyStore
from gateway_tuning.gateway.door.names import ModelNameStore
from gateway_tuning.gateway.serve import Doorway, require_closed, serve, server_for
from gateway_tuning.processes import free_port
from gateway_tuning.storage.tables import audit_entries, gateway_keys, models
from gateway_tuning.storage.tenants import claim_model

MESSAGES = [{"role": "user", "content": "hello"}]
WRONG = "gk_0123456789ab_" + "x" * 43


@pytest.fixture
def create(registry):
    """Keys by name; the last one's record stands in `create.key`."""
    store = GatewayKeyStore(registry.engine)

    def create(name="shop", tenant="default", **options):
        now = options.pop("now", datetime.now(UTC))
        create.key, text = store.create(tenant, name, by="cli:test", now=now, **options)
        return text

    create.store = store
    return create


@pytest.fixture
def locked(start_gateway):
    return start_gateway(require_keys=True)


def ask(gateway, key, model="assistant", **options):
    client = gateway.client(api_key=key)
    return client.chat.completions.create(model=model, messages=MESSAGES, **options)


def opens(gateway, key):
    try:
        return bool(ask(gateway, key))
    except openai.AuthenticationError:
        return False


def test_a_key_opens_the_gateway_and_stands_in_the_outcome(create, registry, start_gateway):
    key = create()
    gateway = start_gateway(require_keys=True)

    assert ask(gateway, key).model == "assistant"
    assert [one.key_id for one in registry.outcomes(1)] == [create.key.id]


def test_a_new_key_works_and_a_revoked_one_stops_working_without_a_restart(create, locked, until):
    key = create()
    until(lambda: opens(locked, key))

    create.store.revoke(create.key.id, by="cli:test", now=datetime.now(UTC))

    until(lambda: not opens(locked, key), seconds=5)


@pytest.mark.parametrize(
    "shown",
    [
        None,
        "Bearer",
        "Basic Z2s6eA==",
        "Bearer sk-of-openai",
        "Bearer gk_",
        f"Bearer {WRONG}",
        "Bearer gk_" + "é" * 56,
    ],
    ids=str,
)
def test_a_wrong_or_missing_key_is_openais_401_and_reaches_no_model(locked, upstream, shown):
    headers = {} if shown is None else {"authorization": shown.encode("latin-1")}

    reply = httpx.post(
        f"{locked.url}/v1/chat/completions",
        json={"model": "assistant", "messages": MESSAGES},
        headers=headers,
    )

    assert (reply.status_code, reply.json()["error"]["code"]) == (401, "invalid_api_key")
    assert reply.headers["www-authenticate"] == "Bearer"
    assert upstream.requests == []


def test_the_secret_decides_and_the_answer_does_not_tell_a_wrong_one_from_an_unknown_key(
    create, start_gateway
):
    key = create()
    gateway = start_gateway(require_keys=True)
    other_secret = key[:-1] + ("A" if key[-1] != "A" else "B")

    with pytest.raises(openai.AuthenticationError) as wrong:
        ask(gateway, other_secret)
    with pytest.raises(openai.AuthenticationError) as unknown:
        ask(gateway, WRONG)

    assert wrong.value.body == unknown.value.body
    assert opens(gateway, key)


def test_a_key_ends_at_its_expiry_without_the_store_being_asked(create, registry, start_gateway, until):
    key = create(expires_at=datetime.now(UTC) + timedelta(seconds=1))
    gateway = start_gateway(require_keys=True, reload_interval_s=60)

    assert opens(gateway, key)
    until(lambda: not opens(gateway, key))


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/chat/completions"),
        ("POST", "/v1/embeddings"),
        ("GET", "/v1/models"),
        ("GET", "/v1/models/assistant"),
        ("POST", "/v1/answers/x/rating"),
    ],
)
def test_everything_that_clients_use_needs_a_key(locked, method, path):
    body = {"json": {"model": "assistant", "input": "x", "messages": MESSAGES}} if method == "POST" else {}

    assert httpx.request(method, f"{locked.url}{path}", **body).status_code == 401


def test_a_key_for_some_models_opens_and_lists_no_others(create, registry, start_gateway):
    registry.serve("w1", "served-w1")
    registry.point("writer", "w1")
    key = create(models=["writer"])
    gateway = start_gateway(require_keys=True)

    with pytest.raises(openai.PermissionDeniedError) as refused:
        ask(gateway, key)

    assert refused.value.code == "model_not_found"
    assert ask(gateway, key, model="writer").model == "writer"
    assert [one.id for one in gateway.client(api_key=key).models.list()] == ["writer"]
    assert registry.outcomes(1)[0].model == "writer"


def test_a_model_of_another_tenant_is_not_found(create, registry, start_gateway, upstream):
    with registry.engine.begin() as connection:
        connection.execute(
            sa.insert(models).values(name="assistant", tenant="acme", created_at=datetime.now(UTC))
        )
    keys = {tenant: create(tenant=tenant) for tenant in ("acme", "default")}
    gateway = start_gateway(require_keys=True)

    with pytest.raises(openai.NotFoundError):
        ask(gateway, keys["default"])

    assert upstream.requests == []
    assert list(gateway.client(api_key=keys["default"]).models.list()) == []
    assert ask(gateway, keys["acme"]).model == "assistant"


def test_known_keys_open_the_gateway_while_the_store_is_away(
    create, registry, start_gateway, tmp_path, until
):
    key = create()
    gateway = start_gateway(require_keys=True)
    (tmp_path / "store").rename(tmp_path / "away")
    registry.engine.dispose()
    until(lambda: httpx.get(f"{gateway.url}/healthz").json()["keys"]["error"])

    assert opens(gateway, key)
    assert not opens(gateway, WRONG)

    (tmp_path / "away").rename(tmp_path / "store")
    later = create("later")
    until(lambda: opens(gateway, later))


def test_a_broken_row_is_told_and_the_keys_known_so_far_serve_on(create, registry, start_gateway, until):
    key = create()
    gateway = start_gateway(require_keys=True)

    def keys():
        return httpx.get(f"{gateway.url}/healthz").json()["keys"]

    create("other")
    until(lambda: keys()["known"] == 2)
    with registry.engine.begin() as connection:
        connection.execute(
            sa.update(gateway_keys).where(gateway_keys.c.name == "other").values(secret_sha256="no hash")  # noqa: S106 - of no secret
        )
    until(lambda: keys()["error"])
    assert opens(gateway, key)

    with registry.engine.begin() as connection:
        connection.execute(sa.delete(gateway_keys).where(gateway_keys.c.name == "other"))
    until(lambda: keys()["error"] is None and keys()["known"] == 1)


def test_a_gateway_that_starts_without_its_store_knows_the_keys_of_before(
    create, registry, start_gateway, tmp_path
):
    key, revoked = create(), create("other")
    create.store.revoke(create.key.id, by="cli:test", now=datetime.now(UTC))
    home = tmp_path / "home"
    start_gateway(require_keys=True, home=home).stop()
    written = (home / "gateway-keys.json").read_text()
    (tmp_path / "store").rename(tmp_path / "away")
    registry.engine.dispose()

    gateway = start_gateway(require_keys=True, home=home)

    assert opens(gateway, key)
    assert not opens(gateway, revoked)
    assert key[16:] not in written
    assert (home / "gateway-keys.json").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("content", [b"", b"{", b'{"store": "x", "names": {}, "owners": {}, "keys": []}'])
def test_without_store_and_without_a_file_of_it_nobody_comes_in(
    registry, start_gateway, tmp_path, upstream, content
):
    (tmp_path / "gateway-keys.json").write_bytes(content)
    (tmp_path / "store").rename(tmp_path / "away")
    registry.engine.dispose()
    gateway = start_gateway(require_keys=True, home=tmp_path)

    with pytest.raises(openai.InternalServerError) as refused:
        ask(gateway, WRONG)

    assert (refused.value.status_code, refused.value.code) == (503, "no_keys")
    assert upstream.requests == []


def test_where_keys_are_not_required_those_of_others_do_no_harm_and_wrong_ones_of_ours_are_refused(
    create, registry, start_gateway
):
    key = create()
    gateway = start_gateway()

    assert opens(gateway, "sk-unused")
    assert opens(gateway, key)
    assert not opens(gateway, WRONG)
    assert [one.key_id for one in registry.outcomes(2)] == [None, create.key.id]


def test_where_keys_are_not_required_web_pages_need_one_all_the_same(create, start_gateway, upstream):
    key = create()
    gateway = start_gateway()

    def status(**headers):
        body = {"model": "assistant", "messages": MESSAGES}
        return httpx.post(f"{gateway.url}/v1/chat/completions", json=body, headers=headers).status_code

    assert status(origin="https://evil.example.com") == 403
    assert upstream.requests == []
    assert status(origin="http://127.0.0.1:3000", authorization=f"Bearer {key}") == 200


def test_either_database_keeps_keys_and_names(engine, now):
    claim_model(engine, "assistant", "acme", now=now)
    keys, names = GatewayKeyStore(engine), ModelNameStore(engine)
    made, _ = keys.create("acme", "one", by="cli:test", now=now, models=["assistant"], tokens_per_minute=9)
    other, _ = keys.create("acme", "two", by="cli:test", now=now, expires_at=now + timedelta(days=1))
    revoked = keys.revoke(other.id, by="cli:test", now=now)
    names.set("gpt-4o", "assistant", by="cli:test", now=now)
    names.set("gpt-4o", "assistant", by="cli:again", now=now)

    entries, counts = read_entries(engine, None, None)
    again, _ = read_entries(engine, entries, counts)

    assert (made.models, other.models, revoked.revoked_at) == (frozenset({"assistant"}), None, now)
    assert {key.id: key for key in keys.all("acme")} == {made.id: made, other.id: revoked}
    assert ([key for key, _ in entries.keys], counts) == ([made], (2, 1))
    assert (entries.names, entries.owners) == ({"gpt-4o": "assistant"}, {"assistant": "acme"})
    assert [one.created_by for one in names.all()] == ["cli:again"]
    assert again == entries


def test_the_store_holds_no_secret_and_the_audit_log_who_made_and_revoked_the_key(create, registry):
    key = create(models=["assistant"], requests_per_minute=5)
    create.store.revoke(create.key.id, by="cli:other", now=datetime.now(UTC))
    with registry.engine.connect() as connection:
        stored = str(connection.execute(sa.select(gateway_keys)).all())
        audited = connection.execute(sa.select(audit_entries).order_by(audit_entries.c.sequence)).all()

    assert key[16:] not in stored + str(audited)
    assert [(one.actor, one.action, one.object_id) for one in audited] == [
        ("cli:test", "gateway-key.create", create.key.id),
        ("cli:other", "gateway-key.revoke", create.key.id),
    ]
    assert audited[0].detail["models"] == ["assistant"]


@pytest.mark.parametrize(
    "options",
    [
        {"name": " "},
        {"requests_per_minute": 0},
        {"requests_per_minute": 100_001},
        {"tokens_per_minute": -1},
        {"expires_at": datetime(2020, 1, 1, tzinfo=UTC)},
        {"tenant": "a/b"},
    ],
    ids=str,
)
def test_a_key_that_makes_no_sense_is_not_made(create, options):
    with pytest.raises(ConfigurationError):
        create(**options)
    assert create.store.all() == []


def test_a_key_for_a_model_that_the_tenant_does_not_have_is_not_made(create):
    with pytest.raises(NotFoundError, match="acme has no model assistant"):
        create(tenant="acme", models=["assistant"])
    assert create.store.all() == []


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.7", "gateway.example.com", ""])  # noqa: S104 - they are refused
def test_a_gateway_without_keys_listens_to_nobody_but_this_machine(host):
    with pytest.raises(ConfigurationError, match="GATEWAY_TUNING_GATEWAY_REQUIRE_KEYS"):
        require_closed(host, Doorway())
    require_closed(host, Doorway(require_keys=True))


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.1.2.3"])
def test_this_machine_needs_no_keys(host):
    require_closed(host, Doorway())


def test_a_gateway_that_never_served_from_its_store_does_not_start_without_it(tmp_path):
    with pytest.raises(ServingError, match="GATEWAY_TUNING_DATABASE_URL"):
        serve(f"postgresql+psycopg://u:p@127.0.0.1:{free_port()}/x", "127.0.0.1", 0, 5.0, home=tmp_path)


def test_the_gateway_runs_on_uvloop():
    loop = server_for(lambda *_: None, "127.0.0.1", 0).config.get_loop_factory()()
    name = type(loop).__module__
    loop.close()

    assert name.startswith("uvloop")


def test_routes_and_metrics_answer_this_machine_or_the_status_key(start_gateway):
    open_gateway, guarded = start_gateway(), start_gateway(status_key="s" * 20)

    def status(gateway, path, **headers):
        return httpx.get(f"{gateway.url}{path}", headers=headers).status_code

    for path in ("/routes", "/metrics"):
        assert status(open_gateway, path) == 200
        assert status(open_gateway, path, **{"x-forwarded-for": "127.0.0.1"}) == 403
        assert status(guarded, path) == 403
        assert status(guarded, path, authorization="Bearer wrong") == 403
        assert status(guarded, path, authorization="Bearer " + "s" * 20) == 200
    assert httpx.get(f"{guarded.url}/healthz").json() == {"status": "ok"}


def test_the_commands_make_list_and_revoke_keys(tmp_path, monkeypatch, migrated_sqlite):
    shutil.copyfile(migrated_sqlite, tmp_path / "gateway-tuning.db")
    monkeypatch.setenv("GATEWAY_TUNING_HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "250")

    def run(*arguments):
        return CliRunner().invoke(app, ["gateway", "keys", *arguments])

    made = run("create", "--name", "shop", "--requests-per-minute", "60", "--days", "7")
    key_id = made.stdout.split("_")[1]
    listed = run("list").output
    revoked = run("revoke", key_id).output
    unknown = run("revoke", "nobody")

    assert made.stdout.startswith("gk_")
    assert f"{key_id}  default  shop  all     60" in listed
    assert made.stdout.strip()[16:] not in listed
    assert revoked == f"Gateway key {key_id} (shop) is revoked\n"
    assert (unknown.exit_code, "gateway keys list" in unknown.output) == (1, True)


def test_a_broken_row_keeps_no_other_key_from_being_revoked(create, registry, start_gateway, until):
    create()
    broken = create.key.id
    key = create()
    gateway = start_gateway(require_keys=True)
    assert opens(gateway, key)
    with registry.engine.begin() as connection:
        this = gateway_keys.c.id == broken
        connection.execute(sa.update(gateway_keys).where(this).values(secret_sha256="no hash"))  # noqa: S106 - of no secret
    create.store.revoke(create.key.id, by="cli:test", now=datetime.now(UTC))
    until(lambda: not opens(gateway, key), seconds=5)
