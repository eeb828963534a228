"""A canary is pinned: what changes in its middle, and who comes after it."""

import pytest
import sqlalchemy as sa

from gateway_tuning.errors import ConflictError
from gateway_tuning.registry.endpoint import Endpoint
from gateway_tuning.registry.store import Registry
from gateway_tuning.rollout import configuration
from gateway_tuning.rollout.canary_store import CanaryStore
from gateway_tuning.storage.tables import aliases, canaries, model_versions
from tests.unit.rollout.test_canary_store import POLICY, START, later, pointers, start, traffic

ANNA = "user:anna"


@pytest.fixture(autouse=True)
def _versions(engine):
    with engine.begin() as connection:
        for alias, version in (("stable", "v1"), ("candidate", "v2")):
            connection.execute(
                sa.insert(aliases).values(model="m", alias=alias, version_id=version, updated_at=START)
            )


@pytest.fixture
def store(engine):
    return CanaryStore(engine)


def serve(engine, version, port=8001, host="127.0.0.1"):
    Registry(engine).set_endpoint(version, Endpoint(f"http://{host}:{port}/v1", version), now=START)


def add_version(engine, version, provider):
    with engine.begin() as connection:
        connection.execute(
            sa.insert(model_versions).values(
                id=version, tenant="t", model="m", base_model="b", job_key=version, provider=provider,
                files={}, metrics={}, hyperparameters={}, created_at=START,
            )
        )  # fmt: skip


def change_policy(engine, store):
    changed = POLICY.model_copy(update={"alpha": 0.2})
    with engine.begin() as connection:
        connection.execute(sa.update(canaries).values(policy=changed.model_dump(mode="json")))


def change_salt(engine, store):
    with engine.begin() as connection:
        connection.execute(sa.update(canaries).values(salt="of somebody else"))


def write_a_policy_of_another_version(engine, store):
    with engine.begin() as connection:
        connection.execute(sa.update(canaries).values(policy={"stages": [0.5], "magic": True}))


@pytest.mark.parametrize(
    "change",
    [
        lambda engine, _: serve(engine, "v2", 9999),
        lambda engine, _: serve(engine, "v1", 9999),
        change_policy,
        change_salt,
        write_a_policy_of_another_version,
    ],
    ids=["candidate's endpoint", "control's endpoint", "policy", "salt", "unreadable policy"],
)
def test_flagger_30_what_changes_in_the_middle_makes_the_canary_invalid(engine, store, change):
    for version in ("v1", "v2"):
        serve(engine, version)
    start(store)
    traffic(engine, canary_likes=0.9, control_likes=0.5)
    change(engine, store)
    canary, look = store.tick("c1", now=later())
    assert (canary.state, canary.share, look.decision) == ("invalid", 0.0, "invalid")
    assert "the configuration changed" in look.reasons[0]
    assert pointers(engine) == {"stable": "v1"}


def test_another_judge_in_the_middle_makes_it_invalid(engine, store, monkeypatch):
    start(store)
    traffic(engine, canary_likes=0.9, control_likes=0.5)
    monkeypatch.setattr(configuration, "JUDGE_VERSION", configuration.JUDGE_VERSION + 1)
    assert store.tick("c1", now=later())[0].state == "invalid"


def test_a_change_while_a_look_is_taken_promotes_nothing(engine, store):
    from gateway_tuning.rollout.judge import judge

    def move_and_judge(*arguments):
        serve(engine, "v2", 9999)
        return judge(*arguments)

    serve(engine, "v2")
    start(store)
    traffic(engine, canary_likes=0.9, control_likes=0.5)
    during, look = store.tick("c1", now=later(), judge=move_and_judge)
    assert (during.state, look) == ("running", None)
    assert store.tick("c1", now=later(21))[0].state == "invalid"


def test_an_endpoint_that_is_told_for_the_first_time_changes_nothing_and_counts_from_then_on(engine, store):
    start(store)
    for version in ("v1", "v2"):
        serve(engine, version)
    assert store.tick("c1", now=later(1))[0].state == "running"
    serve(engine, "v2", 9999)
    assert store.tick("c1", now=later(2))[0].state == "invalid"


def test_an_endpoint_that_went_elsewhere_and_came_back_between_two_looks_is_noticed(engine, store):
    serve(engine, "v2")
    start(store)
    traffic(engine, canary_likes=0.9, control_likes=0.5)
    serve(engine, "v2", 9999)
    serve(engine, "v2")
    assert store.tick("c1", now=later())[0].state == "invalid"


def test_an_endpoint_that_is_told_twice_before_the_first_look_is_no_first_time(engine, store):
    start(store)
    serve(engine, "v2")
    serve(engine, "v2", 9999)
    assert store.tick("c1", now=later(1))[0].state == "invalid"


def test_an_endpoint_that_is_told_again_as_it_was_changes_nothing(engine, store):
    serve(engine, "v2")
    start(store)
    serve(engine, "v2")
    traffic(engine, canary_likes=0.9, control_likes=0.5)
    assert store.tick("c1", now=later())[0].state == "promoted"


@pytest.mark.parametrize(
    ("provider", "host", "ends"),
    [
        ("llama", "127.0.0.1", "promoted"),
        ("llama", "10.0.0.7", "invalid"),
        ("custom", "127.0.0.1", "invalid"),
    ],
)
def test_only_a_server_that_is_started_here_may_come_back_at_another_port(
    engine, store, provider, host, ends
):
    for version in ("v1", "v2"):
        add_version(engine, version, provider)
        serve(engine, version, host=host)
    start(store)
    serve(engine, "v2", 9999, host=host)
    traffic(engine, canary_likes=0.9, control_likes=0.5)
    assert store.tick("c1", now=later())[0].state == ends


def test_a_new_candidate_supersedes_the_one_on_trial(engine, store):
    start(store, started_by=ANNA)
    traffic(engine, canary_likes=0.9, control_likes=0.5)
    with engine.begin() as connection:
        connection.execute(sa.update(aliases).where(aliases.c.alias == "candidate").values(version_id="v3"))
    new = start(store, "c2", candidate="v3", supersede=True, started_by=ANNA, now=later())
    old = store.get("c1")
    assert (old.state, old.share, old.finished_at, old.ended_by) == ("superseded", 0.0, later(), ANNA)
    assert old.reasons == ("superseded by canary c2 of v3",)
    assert (new.state, [one.id for one in store.running("m")]) == ("running", ["c2"])
    assert pointers(engine) == {"stable": "v1", "candidate": "v3"}
    assert store.tick("c1", now=later(30))[0] == old


def test_a_superseded_canary_started_again_stays_superseded(store):
    start(store)
    start(store, "c2", candidate="v3", supersede=True)
    assert start(store, supersede=True).state == "superseded"
    assert [one.id for one in store.running("m")] == ["c2"]


def test_a_new_candidate_that_may_not_start_supersedes_nothing(store):
    start(store)
    with pytest.raises(ConflictError, match="points to v1"):
        start(store, "c2", candidate="v3", control="v7", supersede=True)
    with pytest.raises(ConflictError, match="or supersede it"):
        start(store, "c2", candidate="v3")
    assert store.get("c1").state == "running"


def test_a_look_that_was_under_way_when_it_was_superseded_changes_nothing(engine, store):
    from gateway_tuning.rollout.judge import judge

    def supersede_and_judge(*arguments):
        start(store, "c2", candidate="v3", supersede=True, now=later(19))
        return judge(*arguments)

    start(store)
    traffic(engine, canary_likes=0.9, control_likes=0.5)
    assert store.tick("c1", now=later(), judge=supersede_and_judge)[0].state == "superseded"
    assert pointers(engine)["stable"] == "v1"
