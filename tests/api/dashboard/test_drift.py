"""Drift on its pages: the history of a model's checks, and one check with what has changed."""

import re
from dataclasses import asdict, replace
from datetime import timedelta

import pytest

from gateway_tuning.access.permissions import Role
from gateway_tuning.drift.store import CheckKind, DriftStore, StoredDriftReport
from gateway_tuning.storage import layout
from tests.api import owned
from tests.api.dashboard.conftest import HOME
from tests.conftest import NOW
from tests.unit.drift.test_drift_reports import REPORT


@pytest.fixture
def checked(services):
    """One check a day of `owned`, each with this state, and one of another model."""

    def check(*states):
        store = DriftStore(services.engine)
        for day, (model, state) in enumerate([*(("owned", state) for state in states), ("other", "error")]):
            result = asdict(replace(REPORT, state=state))
            at = NOW + timedelta(days=day)
            store.add(
                StoredDriftReport(
                    f"drift-{model}-{day}", "default", "ds-1", "owned@0", result, at, model, CheckKind.LIVE
                )
            )
        owned.version(services, "default")
        owned.version(services, "default", "owned@0")

    return check


def test_the_checks_of_a_model_stand_in_a_chart_and_a_table(signed_in, checked):
    checked("no_drift", "inconclusive", "drift")
    browser = signed_in(Role.MODEL_VIEWER)
    every, one = browser.get(f"{HOME}/drift").text, browser.get(f"{HOME}/drift?model=owned").text

    assert "<svg" not in every  # two models share no chart
    assert re.findall(r"<tr><th[^>]*><a href=\"[^\"]*/(drift-[\w-]+)\"", one) == [
        f"drift-owned-{day}" for day in (2, 1, 0)
    ]
    marks = re.findall(r'<circle class="(\w+)" cx="([\d.]+)"', one)[:3]
    assert [mark for mark, _ in marks] == ["point", "open", "drift"]
    places = [float(x) for _, x in marks]
    assert places == sorted(places)


def test_a_check_shows_what_has_changed_and_escapes_what_users_wrote(signed_in, services):
    owned.drift_report(services, "default", asdict(REPORT))

    page = signed_in(Role.MODEL_VIEWER).get(f"{HOME}/drift/drift-owned").text

    assert "The data has drifted." in page
    assert "&lt;b&gt;refund&lt;/b&gt;" in page
    assert "<b>refund" not in page
    assert "More users say now: refund, tax." in page
    assert "AUC 0.63" in page
    assert "refusal: all rows of both windows are the same: answered" in page


def test_evidentlys_page_runs_its_scripts_in_a_sandbox_without_origin(signed_in, services):
    owned.drift_report(services, "default", asdict(REPORT))
    browser, address = signed_in(Role.MODEL_VIEWER), f"{HOME}/drift/drift-owned"
    assert browser.get(f"{address}/evidently").status_code == 404
    assert "evidently" not in browser.get(address).text

    services.objects.write(layout.drift_page("drift-owned"), b"<script>1</script>")
    page = browser.get(f"{address}/evidently")

    assert f'href="{address}/evidently"' in browser.get(address).text
    assert page.content == b"<script>1</script>"
    policy = page.headers["content-security-policy"].split("; ")
    assert "sandbox allow-scripts" in policy
    assert "default-src 'none'" in policy
    assert not [part for part in policy if part.startswith("connect-src")]
