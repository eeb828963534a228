"""The dashboard as a person meets it: a real browser, a real server, every page that a link leads to."""

import os
import subprocess
import sys
import time
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlsplit

import httpx
import pytest

from gateway_tuning.access.keys import KeyStore
from gateway_tuning.access.permissions import Role
from gateway_tuning.processes import free_port
from gateway_tuning.storage.database import open_database
from gateway_tuning.training.job import JobStatus, ProviderJob, TuningSpec
from gateway_tuning.training.jobs import JobStore
from tests.api import owned
from tests.dashboard_world import fill
from tests.unit.drift.test_drift_reports import REPORT
from tests.unit.evaluation.earlier import stored

CHROMIUM = Path("/usr/bin/chromium")
OPTIONS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
LEAST_CONTRAST = 4.5  # WCAG 2.2, level AA
MOST_PAGES = 80
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not CHROMIUM.exists(), reason=f"no Chromium at {CHROMIUM}"),
]

# Texts whose colour is too near to what lies behind them. What is drawn lies on the page.
FAINT_TEXTS = """
least => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgba = colour => {
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
    return canvas.getImageData(0, 0, 1, 1).data;
  };
  const luminance = colour => {
    const [r, g, b] = [...rgba(colour)].slice(0, 3).map(c => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = element => {
    for (let one = element; one; one = one.parentElement) {
      const colour = getComputedStyle(one).backgroundColor;
      if (rgba(colour)[3] === 255) return colour;
    }
    return "white";
  };
  const faint = [];
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const element = texts.currentNode.parentElement;
    if (!texts.currentNode.data.trim() || !element.checkVisibility() || element.closest(".told, .skip")) continue;
    const style = getComputedStyle(element);
    const pair = [luminance(element.closest("svg") ? style.fill : style.color), luminance(behind(element))].sort((a, b) => b - a);
    const contrast = (pair[0] + 0.05) / (pair[1] + 0.05);
    if (contrast < least) faint.push(`${texts.currentNode.data.trim().slice(0, 40)}: ${contrast.toFixed(2)}`);
  }
  return faint;
}
"""
# What a screen reader needs, and a heading of each page.
FLAWS = """
() => {
  const flaws = [];
  const named = e => e.labels?.length || e.ariaLabel || e.textContent.trim() || e.title;
  for (const e of document.querySelectorAll("a[href], button, input:not([type=hidden]):not([hidden]), textarea, select, summary"))
    if (!named(e)) flaws.push(`without a name: ${e.outerHTML.slice(0, 80)}`);
  for (const e of document.querySelectorAll("img:not([alt]), svg:not([aria-label]):not([aria-hidden]):not(svg svg)"))
    flaws.push(`without words: ${e.outerHTML.slice(0, 80)}`);
  for (const e of document.querySelectorAll("th:not([scope])")) flaws.push(`a heading of nothing: ${e.outerHTML.slice(0, 80)}`);
  const ids = [...document.querySelectorAll("[id]")].map(e => e.id);
  for (const id of ids.filter((id, place) => ids.indexOf(id) !== place)) flaws.push(`twice: #${id}`);
  if (document.querySelectorAll("h1").length !== 1) flaws.push("not one h1");
  if (document.querySelectorAll("main").length !== 1) flaws.push("not one main");
  if (!document.documentElement.lang) flaws.push("no language");
  return flaws;
}
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A server over a tenant in the middle of things: its address, its store, and a key of each role."""
    home = tmp_path_factory.mktemp("dashboard")
    engine = open_database(f"sqlite:///{home / 'gateway-tuning.db'}")
    now = datetime.now(UTC)
    fill(engine, now)
    services = SimpleNamespace(engine=engine)
    owned.dataset(services, "default")
    owned.cost(services, "default")
    owned.evaluation(services, "default", stored())
    owned.drift_report(services, "default", asdict(REPORT))
    keys = {
        role: KeyStore(engine).create("default", "e2e", role, by="cli:tests", now=now)[1] for role in Role
    }
    clean = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("GATEWAY_TUNING_", "PREFECT_"))
    }
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "gateway_tuning.cli", "serve-api", "--port", str(port)],
        env=clean | {"GATEWAY_TUNING_HOME": str(home)},
        cwd=home,
    )
    address = f"http://127.0.0.1:{port}"
    try:
        wait_for(address, process)
        yield SimpleNamespace(address=address, engine=engine, keys=keys)
    finally:
        process.terminate()
        process.wait(20)
        engine.dispose()


def wait_for(address, process):
    end = time.monotonic() + 60
    while True:
        try:
            httpx.get(f"{address}/healthz", trust_env=False)
        except httpx.TransportError:
            assert process.poll() is None, "the server has ended"
            assert time.monotonic() < end, "the server does not answer"
            time.sleep(0.1)
        else:
            return


@pytest.fixture(scope="module")
def chromium():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=list(OPTIONS))
        yield browser
        browser.close()


@pytest.fixture
def visit(chromium, site):
    """A window in which somebody of the role has signed in; `page.complaints` is what went wrong in it."""
    opened = []

    def visit(role=Role.MODEL_ADMIN, *, width=1200, **options):
        context = chromium.new_context(
            viewport={"width": width, "height": 800}, base_url=site.address, **options
        )
        opened.append(context)
        page = context.new_page()
        page.complaints = []
        page.on(
            "console",
            lambda said: page.complaints.append(said.text) if said.type in {"error", "warning"} else None,
        )
        page.on("pageerror", lambda error: page.complaints.append(str(error)))
        page.on(
            "request",
            lambda asked: (
                page.complaints.append(asked.url) if not asked.url.startswith(site.address) else None
            ),
        )
        page.goto("/dashboard")
        page.get_by_label("API key or token").fill(site.keys[role])
        page.keyboard.press("Enter")
        page.wait_for_url(f"{site.address}/dashboard")
        return page

    yield visit
    for context in opened:
        context.close()


def pages_from(page):
    """Every page that links lead to, one of each kind of list and object."""
    seen, waiting = set(), ["/dashboard"]
    while waiting and len(seen) < MOST_PAGES:
        path = waiting.pop(0)
        kind = kind_of(path)
        if kind in seen:
            continue
        seen.add(kind)
        assert page.goto(path).status == 200, path
        yield path
        links = page.eval_on_selector_all(
            "a[href^='/dashboard'], a[href^='?']", "all => all.map(one => one.href)"
        )
        waiting += [f"{urlsplit(link).path}?{urlsplit(link).query}".rstrip("?") for link in links]


def kind_of(path):
    """Lists and what filters them, and of the objects of a list one."""
    parts = urlsplit(path)
    names = parts.path.strip("/").split("/")
    return "/".join([*names[:2], *("one" for _ in names[2:])]), parts.query.partition("=")[0]


@pytest.mark.parametrize(("scheme", "width"), [("light", 1200), ("dark", 390)])
def test_every_page_can_be_read_by_everybody_and_asks_nobody_else(visit, scheme, width):
    page = visit(width=width, color_scheme=scheme)
    faults = {}
    pages = []

    for path in pages_from(page):
        pages.append(path)
        found = page.evaluate(FAINT_TEXTS, LEAST_CONTRAST) + page.evaluate(FLAWS)
        if (wide := page.evaluate("document.documentElement.scrollWidth")) > width:
            found.append(f"{wide} pixels wide")
        if found:
            faults[path] = found

    assert faults == {}
    assert page.complaints == []
    assert {path.split("/")[2].partition("?")[0] for path in pages[1:]} >= {
        *("feedback", "quarantine", "datasets", "drift", "cycles", "jobs", "models", "evaluations"),
        *("canaries", "approvals", "costs", "notices", "audit"),
    }


def test_a_record_is_accepted_with_the_keyboard_alone(visit):
    page = visit(Role.MODEL_MANAGER)
    page.goto("/dashboard/quarantine")

    press_until(page, "fb-003")
    page.keyboard.press("Enter")
    page.wait_for_url("**/quarantine/*")
    press_until(page, "Reason")
    page.keyboard.type("ten colleagues of one shop")
    press_until(page, "Accept")
    page.keyboard.press("Enter")

    page.get_by_role("status").wait_for()
    assert "The next dataset may use it" in page.get_by_role("status").inner_text()
    assert page.get_by_role("cell", name="ten colleagues of one shop").count() == 1
    assert page.complaints == []


def press_until(page, name, most=60):
    """Tab until what has the focus is called so; whatever has it must show that."""
    told = "e => e.labels?.length ? e.labels[0].textContent : e.textContent.trim()"
    for _ in range(most):
        page.keyboard.press("Tab")
        focused = page.evaluate_handle("document.activeElement")
        assert page.evaluate("e => getComputedStyle(e).outlineStyle !== 'none'", focused)
        if page.evaluate(told, focused) == name:
            return
    raise AssertionError(f"the keyboard never reaches {name}")


def test_the_first_key_leads_past_the_menu(visit):
    page = visit()

    page.keyboard.press("Tab")
    page.keyboard.press("Enter")

    assert page.evaluate("document.activeElement.id") == "main"


def test_what_happens_shows_by_itself(visit, site):
    page = visit()
    page.clock.install()
    page.goto("/dashboard")
    with site.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE canaries SET looks = 8")

    page.clock.fast_forward(16_000)

    page.get_by_text("8 looks").wait_for()
    assert page.complaints == []


def test_without_scripts_the_page_is_loaded_again(visit):
    page = visit(java_script_enabled=False)

    assert 'http-equiv="refresh"' in page.content()
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url("**/sign-in*")
    assert "Signed out" in page.content()


def test_a_viewer_sees_everything_but_no_button_of_others(visit):
    page = visit(Role.MODEL_VIEWER)
    found = set()

    for _ in pages_from(page):
        found |= set(page.get_by_role("button").all_inner_texts())

    assert found <= {"Sign out", "Find"}
    assert page.complaints == []


def test_a_job_moves_on_by_itself_and_a_half_written_reason_stays(visit, site):
    jobs, now = JobStore(site.engine), datetime.now(UTC)
    key = jobs.intend(TuningSpec("llama", "base", "ds-1"), tenant="default", now=now).key
    jobs.record(key, ProviderJob("p", JobStatus.RUNNING, 0.25), now=now)
    page = visit()
    page.clock.install()
    page.goto(f"/dashboard/jobs/{key}")
    page.get_by_label("Reason").fill("half a thought")
    jobs.record(key, ProviderJob("p", JobStatus.RUNNING, 0.8, "step 40 of 50"), now=now)

    page.clock.fast_forward(4_000)

    page.get_by_text("step 40 of 50").wait_for()
    assert page.get_by_role("progressbar").get_attribute("value") == "0.8"
    assert page.get_by_label("Reason").input_value() == "half a thought"
    assert page.complaints == []
