"""Datasets, jobs, models, evaluations, drift, canaries, cycles: what holds for every page of theirs."""

import re
from dataclasses import asdict

from gateway_tuning.access.permissions import Role
from gateway_tuning.api.dashboard import canaries, cycles, datasets, drift, evaluations, jobs, models
from gateway_tuning.api.dashboard.lists import ROWS
from gateway_tuning.api.dashboard.page import POLICY
from gateway_tuning.training.job import TuningSpec
from gateway_tuning.training.jobs import JobStore
from tests.api.dashboard.conftest import HOME
from tests.api.owned import OBJECTS, evaluation
from tests.conftest import NOW
from tests.unit.drift.test_drift_reports import REPORT as DRIFT
from tests.unit.evaluation.earlier import stored

PATHS = [
    route.path
    for module in (datasets, jobs, models, evaluations, drift, canaries, cycles)
    for route in module.router.routes
    if "GET" in route.methods
]
LISTS = [path for path in PATHS if "{" not in path]
OBJECTS_PAGES = [
    path for path in PATHS if "{" in path and not path.endswith(("/card", "/report", "/evidently"))
]
PARAMETER = re.compile(r"{(\w+)(?::path)?}")
RICH = {
    "evaluation_id": lambda services, tenant: evaluation(services, tenant, stored()),
    "report_id": lambda services, tenant: OBJECTS["report_id"](services, tenant, asdict(DRIFT)),
}


def test_a_list_without_anything_says_what_will_fill_it(signed_in):
    browser = signed_in(Role.MODEL_VIEWER)

    pages = {path: browser.get(path) for path in LISTS}

    assert len(pages) == 7
    for path, page in pages.items():
        assert page.status_code == 200, path
        assert re.search(r'class="empty"><p><strong>No \w+.*?<p class="soft">\w+', page.text), path


def test_the_page_of_an_object_is_small_loads_nothing_from_elsewhere_and_holds_no_script_or_style(
    signed_in, services
):
    browser, own = signed_in(Role.MODEL_ADMIN), {f"{HOME}/assets/{name}" for name in ("mark.svg", "dashboard.css", "dashboard.js", "charts.css")}  # fmt: skip
    for path in OBJECTS_PAGES:
        name = PARAMETER.search(path)[1]
        page = browser.get(PARAMETER.sub((RICH.get(name) or OBJECTS[name])(services, "default"), path))

        assert page.status_code == 200, path
        assert len(page.content) < 60_000, path
        assert page.headers["content-security-policy"] == POLICY, path
        assert set(re.findall(r'(?:src|<link[^>]*href)="([^"?]+)', page.text)) <= own, path
        assert not re.search(r"<style|\sstyle=|\son\w+=|<script>", page.text), path


def test_a_long_list_comes_in_pages_that_a_phone_can_hold(signed_in, services):
    store = JobStore(services.engine)
    keys = [
        store.intend(TuningSpec("llama", "base", "ds-1", seed=seed), tenant="default", now=NOW).key
        for seed in range(ROWS + 3)
    ]
    browser = signed_in(Role.MODEL_VIEWER)

    first = browser.get(f"{HOME}/jobs")
    older = browser.get(re.search(r'rel="next" href="([^"]+)"', first.text)[1].replace("&amp;", "&"))

    shown = [re.findall(rf'href="{HOME}/jobs/(\w{{64}})"', page.text) for page in (first, older)]
    assert [len(one) for one in shown] == [ROWS, 3]
    assert set(shown[0] + shown[1]) == set(keys)
    assert len(first.content) < 60_000
    assert f'<a href="{HOME}/jobs">Newest</a>' in older.text
