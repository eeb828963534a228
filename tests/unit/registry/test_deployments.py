"""Which versions users meet, where they answer, and how it came to that."""

from datetime import timedelta

import pytest

from gateway_tuning.registry.endpoint import Endpoint
from gateway_tuning.registry.model_version import ModelVersion
from gateway_tuning.registry.store import Registry
from gateway_tuning.rollout.actions import CanaryActions
from gateway_tuning.rollout.canary_store import CanaryStore
from gateway_tuning.rollout.policy import CanaryPolicy

ONE, TWO = Endpoint("http://one/v1", "m"), Endpoint("http://two/v1", "m", {"lora": []}, "KEY")


@pytest.fixture
def registry(engine, now):
    registry = Registry(engine)
    for id_ in ("m@1", "m@2"):
        registry.register(
            ModelVersion(
                id=id_,
                tenant="t",
                model="m",
                base_model="b",
                provider="custom",
                created_at=now,
                served_model="x",
            )
        )
    registry.point("m", "stable", "m@1", reason="the first", now=now, by="user:anna")
    return registry


def test_an_endpoint_is_kept_in_the_history_where_it_changed(registry, now):
    later = now + timedelta(hours=1)
    registry.set_endpoint("m@1", ONE, now=now, by="user:anna")
    registry.set_endpoint("m@1", ONE, now=later)
    registry.set_endpoint("m@1", TWO, now=later)
    changes = registry.endpoint_changes("m@1")
    assert [(one.base_url, one.served_model, one.by, one.at) for one in changes] == [
        ("http://one/v1", "m", "user:anna", now),
        ("http://two/v1", "m", None, later),
    ]
    assert [one.digest for one in changes] == [ONE.digest, TWO.digest]
    assert registry.endpoint_changes("m@2") == []


def test_any_part_of_an_endpoint_changes_its_digest():
    others = [
        Endpoint("http://two/v1", "m"),
        Endpoint("http://one/v1", "n"),
        Endpoint("http://one/v1", "m", {"lora": []}),
        Endpoint("http://one/v1", "m", {}, "KEY"),
    ]
    assert len({ONE.digest, *(one.digest for one in others)}) == 5


def test_a_model_tells_what_is_deployed_what_is_on_trial_and_how_it_came_to_that(registry, engine, now):
    registry.set_endpoint("m@1", ONE, now=now)
    began = now + timedelta(hours=1)
    CanaryStore(engine).start(
        "c1", tenant="t", model="m", candidate="m@2", control="m@1", policy=CanaryPolicy(stages=(0.25,)),
        now=began, started_by="user:anna",
    )  # fmt: skip

    stable, trial = registry.deployments("m").now

    assert (stable.version_id, stable.role, stable.share, stable.since) == ("m@1", "stable", 0.75, now)
    assert stable.endpoint == ONE
    assert (trial.version_id, trial.role, trial.share, trial.since) == ("m@2", "canary", 0.25, began)
    assert (trial.canary_id, trial.endpoint) == ("c1", None)

    ended = began + timedelta(hours=1)
    CanaryActions(engine).abort("c1", by="user:ben", reason="slow", now=ended)
    after = registry.deployments("m")
    assert [(one.version_id, one.share) for one in after.now] == [("m@1", 1.0)]
    assert [(one.at, one.version_id, one.what, one.by) for one in after.history] == [
        (now, "m@1", "stable: the first", "user:anna"),
        (now, "m@1", "answers at http://one/v1 as m", None),
        (began, "m@2", "canary c1 against m@1 began", "user:anna"),
        (ended, "m@2", "canary c1 ended rolled_back", "user:ben"),
    ]


def test_a_model_that_nobody_serves_has_no_deployment(registry):
    nothing = registry.deployments("unheard-of")
    assert (nothing.now, nothing.history) == ((), ())


def test_a_canary_whose_control_is_no_longer_stable_takes_no_users(registry, engine, now):
    CanaryStore(engine).start(
        "c1",
        tenant="t",
        model="m",
        candidate="m@2",
        control="m@1",
        policy=CanaryPolicy(stages=(0.25,)),
        now=now,
    )
    registry.point("m", "stable", "m@2", reason="by hand", now=now)
    assert [(one.version_id, one.role, one.share) for one in registry.deployments("m").now] == [
        ("m@2", "stable", 1.0)
    ]
