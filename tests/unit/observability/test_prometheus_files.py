"""The rules and the dashboard: of metrics that exist, in queries that parse, with an entry in the runbook for each."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import promql_parser
import pytest
import sqlalchemy as sa
import yaml

from gateway_tuning.api.metrics import Metrics as ApiMetrics
from gateway_tuning.feedback.threshold import ThresholdStore
from gateway_tuning.gateway.telemetry.metrics import Condition
from gateway_tuning.gateway.telemetry.metrics import Metrics as GatewayMetrics
from gateway_tuning.observability.figures import read_figures
from gateway_tuning.observability.scrape import LoopMetrics
from gateway_tuning.storage.database import open_database
from tests.conftest import NOW

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "deployments" / "observability"
RULES = [
    rule
    for group in yaml.safe_load((FOLDER / "alerts.yaml").read_text())["groups"]
    for rule in group["rules"]
]
DASHBOARD = json.loads((FOLDER / "dashboard.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
QUERIES = [
    *((rule["alert"], rule["expr"]) for rule in RULES),
    *((panel["title"], target["expr"]) for panel in PANELS for target in panel["targets"]),
]
NAMED = re.compile(r"gateway_tuning_\w+")
needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool is not installed; Debian has it in `prometheus`"
)


@pytest.fixture(scope="module")
def exposed(tmp_path_factory, migrated_sqlite):
    """Every sample's name, and what its labels are, that the API and the gateway can expose."""
    path = tmp_path_factory.mktemp("store") / "store.db"
    path.write_bytes(migrated_sqlite.read_bytes())
    engine = open_database(f"sqlite:///{path}")
    assert isinstance(engine, sa.Engine)
    api = ApiMetrics()
    gateway = GatewayMetrics(lambda: Condition(0, 0, 0, 1.0, False, 0))
    figures = read_figures(engine, ThresholdStore(engine, default_count=1, default_hours=1), NOW)
    loop = LoopMetrics(lambda: figures)
    text = b"".join([api.text(), gateway.render(), loop.text()]).decode()
    engine.dispose()
    found = {}
    for name, kind in re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE):
        suffixes = ("_bucket", "_count", "_sum") if kind == "histogram" else ("",)
        found |= {f"{name}{suffix}": kind for suffix in suffixes}
    return found


def queries():
    for title, query in QUERIES:
        yield pytest.param(query, id=title)


@pytest.mark.parametrize("query", queries())
def test_every_query_parses_and_names_metrics_that_exist(query, exposed):
    promql_parser.parse(query.replace("$__rate_interval", "5m"))
    named = set(NAMED.findall(query))
    assert named
    assert named - set(exposed) == set()


@pytest.mark.parametrize("query", queries())
def test_a_rate_is_taken_of_what_only_grows(query, exposed):
    for function, name in re.findall(r"(rate|increase)\((gateway_tuning_\w+)", query):
        assert exposed[name] in {"counter", "histogram"}, f"{function} of {name}"


def test_every_loop_metric_is_looked_at_somewhere(exposed):
    used = {name for _, query in QUERIES for name in NAMED.findall(query)}
    loop = {name for name in exposed if name.startswith("gateway_tuning_loop_")}
    told_by_the_share = {"gateway_tuning_loop_canary_stage", "gateway_tuning_loop_figures_read_seconds"}
    assert loop - used == told_by_the_share


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_every_alert_has_an_entry_in_the_runbook(rule):
    runbook = (ROOT / "docs" / "operations.md").read_text()
    assert rule["annotations"]["runbook"] == f"docs/operations.md#{rule['alert'].lower()}"
    _, found, entry = runbook.partition(f"\n### {rule['alert']}\n")
    assert found
    assert len(entry.partition("\n#")[0].split()) > 12
    assert rule["labels"]["severity"] in {"warning", "critical"}


def test_every_alert_has_a_case_in_which_it_fires_and_one_in_which_it_is_quiet():
    cases = yaml.safe_load((FOLDER / "alerts_test.yaml").read_text())["tests"]
    checked = {
        (case["alert_rule_test"][0]["alertname"], bool(case["alert_rule_test"][0]["exp_alerts"]))
        for case in cases
    }
    assert checked == {(rule["alert"], fires) for rule in RULES for fires in (True, False)}


@needs_promtool
@pytest.mark.parametrize(
    "arguments",
    [
        ["check", "rules", "alerts.yaml"],
        ["test", "rules", "alerts_test.yaml"],
        ["check", "config", "--syntax-only", "prometheus.yaml"],
    ],
    ids=" ".join,
)
def test_prometheus_own_tool_finds_no_fault(arguments):
    done = subprocess.run(["promtool", *arguments], cwd=FOLDER, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_dashboards_panels_have_places_of_their_own_and_one_source():
    taken = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert place["x"] + place["w"] <= 24
        assert not cells & taken, panel["title"]
        taken |= cells
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    assert {panel["datasource"]["uid"] for panel in PANELS} == {"${datasource}"}
    assert [variable["name"] for variable in DASHBOARD["templating"]["list"]] == ["datasource"]
