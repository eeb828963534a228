"""A cycle by hand from Prefect's form, by schedule and by threshold, each watched in Chromium to its end."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gateway_tuning.cycles.store import CycleStore
from gateway_tuning.feedback.record import FeedbackRecord
from gateway_tuning.feedback.store import FeedbackStore
from gateway_tuning.feedback.threshold import ThresholdStore
from gateway_tuning.runs.prefect_api import PrefectApi
from gateway_tuning.storage.database import open_database
from gateway_tuning.storage.tenants import claim_model
from tests.flows.conftest import call, delete, patch, wait_for

pytestmark = pytest.mark.slow

CHROMIUM = Path("/usr/bin/chromium")
ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
SECONDS = 180_000  # milliseconds of patience: these are other processes on busy cores


@pytest.fixture(scope="module")
def browser():
    if not CHROMIUM.exists():
        pytest.skip("no Chromium is installed here")
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS)
        yield opened
        opened.close()


@pytest.fixture
def page(browser):
    opened = browser.new_page(viewport={"width": 1280, "height": 900})
    opened.set_default_timeout(SECONDS)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def engine(served):
    engine = open_database(f"sqlite:///{served.home / 'gateway-tuning.db'}")
    yield engine
    engine.dispose()


def watch(page, served, run_id):
    """Prefect's page of a run, until it shows the run's end and the cycle that it carried."""
    page.goto(f"{served.url.removesuffix('/api')}/runs/flow-run/{run_id}")
    page.get_by_text("Completed", exact=True).first.wait_for()
    page.get_by_text("Artifacts", exact=True).first.click()
    page.get_by_text(re.compile("cycle", re.IGNORECASE)).first.wait_for()
    assert call(f"{served.url}/flow_runs/{run_id}")["state"]["type"] == "COMPLETED"


def artifacts(served, run_id):
    body = {"artifacts": {"flow_run_id": {"any_": [run_id]}, "key": {"any_": ["cycle"]}}}
    return call(f"{served.url}/artifacts/filter", body)


@pytest.fixture
def prefilled(served):
    """The form of a cycle begins with what the deployment says; other tests have a model of that name already."""
    url = f"{served.url}/deployments/{served.deployment('tuning-cycle')['id']}"
    patch(url, {"parameters": {"plan": {"tenant": "form", "model": "form-bot"}}})
    yield
    patch(url, {"parameters": {}})


@pytest.mark.usefixtures("prefilled")
def test_by_hand_from_the_form(page, served):
    cycle = served.deployment("tuning-cycle")["id"]
    before = {run["id"] for run in served.runs("tuning-cycle")}

    page.goto(f"{served.url.removesuffix('/api')}/deployments/deployment/{cycle}/run")
    page.get_by_text("every choice of this cycle").first.wait_for()
    page.get_by_role("button", name="Submit").last.click()
    (run,) = wait_for(lambda: [run for run in served.runs("tuning-cycle") if run["id"] not in before], 60)

    assert run["parameters"]["plan"]["model"] == "form-bot"
    watch(page, served, run["id"])
    (told,) = artifacts(served, run["id"])
    assert "Too few examples" in told["data"]


def test_by_schedule(page, served):
    cycle = served.deployment("tuning-cycle")["id"]
    soon = datetime.now(UTC) + timedelta(seconds=45)  # what is past when the scheduler looks gets no run
    schedule = {
        "schedule": {"interval": 86_400, "anchor_date": soon.isoformat()},
        "active": True,
        "parameters": {"plan": {"tenant": "scheduled", "model": "scheduled-bot"}},
    }
    (made,) = call(f"{served.url}/deployments/{cycle}/schedules", [schedule])

    def ran():
        body = {
            "deployments": {"id": {"any_": [cycle]}},
            "flow_runs": {"state": {"type": {"not_any_": ["SCHEDULED"]}}},
        }
        found = call(f"{served.url}/flow_runs/filter", body)
        return [run for run in found if run["auto_scheduled"] and "scheduled-bot" in str(run["parameters"])]

    (run,) = wait_for(ran, 240)
    delete(f"{served.url}/deployments/{cycle}/schedules/{made['id']}")

    watch(page, served, run["id"])
    assert len(artifacts(served, run["id"])) == 1


def test_by_threshold(page, served, engine):
    """The event that the store gives once starts the run through the automation of the file."""
    now = datetime.now(UTC)
    thresholds = ThresholdStore(engine, default_count=500, default_hours=24)
    claim_model(engine, "watched-bot", "watched", now=now)
    thresholds.set("watched", "watched-bot", count=3, hours=None)
    records = [
        FeedbackRecord(
            id=f"watched-{number}", tenant="watched", user_id=f"u{number}", type="thumbs_down",
            prompt=f"Question {number}?", response="No.", timestamp=now - timedelta(minutes=1),
        )
        for number in range(3)
    ]  # fmt: skip
    FeedbackStore(engine).add(records, now)
    prefect = PrefectApi(served.url, timeout_s=60)
    (crossing,) = thresholds.reached("watched", datetime.now(UTC))
    assert thresholds.announce([crossing], prefect, datetime.now(UTC)) == 0
    prefect.close()

    (run,) = wait_for(
        lambda: [run for run in served.runs("tuning-cycle") if "watched-bot" in str(run["parameters"])], 180
    )

    watch(page, served, run["id"])
    (cycle,) = [one for one in CycleStore(engine).all() if one.tenant == "watched"]
    assert (cycle.run_id, cycle.watermark >= 3) == (run["id"], True)
