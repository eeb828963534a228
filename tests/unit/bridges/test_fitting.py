import pytest

from gateway_tuning.bridges.fitting import fit
from gateway_tuning.gateway.routing import RoutingTable, Split
from gateway_tuning.registry.endpoint import Endpoint
from gateway_tuning.rollout.assignment import arm, bucket

USERS = [f"user:{number}" for number in range(200)]
TABLE = RoutingTable(
    stable={"assistant": "v1", "writer": "w1"},
    splits={"assistant": Split("c1", "salt", 0.3, "v2")},
    endpoints={
        version: Endpoint("http://models/v1", f"served-{version}")
        for version in ("v1", "v2", "w1", "retired")
    },
)


def its_own(name):
    return frozenset({name})


def versions(table):
    return {table.route("assistant", user, answer_id="a", salt="s").version_id for user in USERS}


def test_a_table_whose_versions_are_all_served_stays_as_it_is():
    fitted = fit(TABLE, {}, its_own)

    assert fitted.faults == ()
    assert versions(fitted.table) == {"v1", "v2"}
    assert fitted.deployments == {"v1": "served-v1", "v2": "served-v2", "w1": "served-w1"}


def test_a_version_goes_by_the_name_that_the_proxy_has_for_it():
    fitted = fit(TABLE, {"v2": "tuned"}, its_own)

    assert fitted.deployments["v2"] == "tuned"


@pytest.mark.parametrize(
    ("targets", "told"),
    [
        (lambda name: frozenset() if name == "served-v2" else frozenset({name}), "no model 'served-v2'"),
        (lambda name: frozenset({"one deployment"}), "the split of assistant does nothing"),
        (lambda name: frozenset({name, "one of several"}), "the split of assistant does nothing"),
    ],
    ids=["no such model", "the same deployment", "a deployment in common"],
)
def test_a_candidate_that_cannot_be_told_from_its_control_gets_no_user(targets, told):
    fitted = fit(TABLE, {}, targets)

    assert versions(fitted.table) == {"v1"}
    assert [told in fault for fault in fitted.faults] == [True]


def test_its_users_are_in_no_group_so_that_the_look_misses_them():
    fitted = fit(TABLE, {}, lambda _name: frozenset({"one deployment"}))
    canary = next(user for user in USERS if arm(bucket("salt", "c1", user), 0.3) == "canary")
    control = next(user for user in USERS if arm(bucket("salt", "c1", user), 0.3) == "control")

    assert fitted.table.route("assistant", canary, answer_id="a", salt="s").arm == "stable"
    assert fitted.table.route("assistant", control, answer_id="a", salt="s").arm == "control"


def test_models_without_a_canary_may_share_a_deployment():
    fitted = fit(
        RoutingTable(stable=TABLE.stable, endpoints=TABLE.endpoints), {}, lambda _name: frozenset({"one"})
    )

    assert fitted.faults == ()


def test_a_version_without_an_endpoint_is_no_fault_of_the_proxy():
    fitted = fit(RoutingTable(stable={"assistant": "v9"}), {}, its_own)

    assert fitted.faults == ()
    assert fitted.deployments == {}
