import pytest

from gateway_tuning.drift.store import OLDER_HALF, StoredDriftReport
from tasks.rollout import _drift_finding
from tests.conftest import NOW


def report(reference, state):
    return StoredDriftReport("drift-1", "t", "ds-2", reference, {"state": state, "reasons": ["why"]}, NOW)


@pytest.mark.parametrize("state", ["drift", "no_drift", "inconclusive", "error"])
def test_drift_against_the_stable_models_dataset_is_told_as_found(state):
    assert _drift_finding(report("ds-1", state)) == (state, ("why",))


@pytest.mark.parametrize("state", ["drift", "no_drift", "inconclusive"])
def test_a_change_inside_the_dataset_is_told_and_says_nothing_against_the_candidate(state):
    found, reasons = _drift_finding(report(f"{OLDER_HALF}ds-2", state))

    assert found == "not_applicable"
    assert state.replace("_", " ") in reasons[0]


def test_a_failed_check_stays_an_error_whatever_it_compared():
    assert _drift_finding(report(f"{OLDER_HALF}ds-2", "error"))[0] == "error"
