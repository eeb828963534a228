import json
from datetime import UTC, datetime
from decimal import Decimal

import pytest
import sqlalchemy as sa
from typer.testing import CliRunner

from gateway_tuning.access.audit import AuditLog
from gateway_tuning.cli import app
from gateway_tuning.registry.model_version import ModelVersion
from gateway_tuning.registry.store import Registry
from gateway_tuning.rollout.shadows.shadow import Pair, TokenPrices
from gateway_tuning.rollout.shadows.store import ShadowStore
from gateway_tuning.settings import Settings
from gateway_tuning.storage.database import open_database
from gateway_tuning.storage.tables import aliases, endpoints

NOW = datetime.now(UTC)
PRICES = """
[[price]]
provider = "custom"
model = "base-*"
unit = "million_{}_tokens"
amount = "{}"
currency = "EUR"
valid_from = 2026-01-01
"""


@pytest.fixture
def engine(tmp_path, monkeypatch):
    monkeypatch.setenv("GATEWAY_TUNING_HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "400")
    engine = open_database(Settings().resolved_database_url)
    registry = Registry(engine)
    for version in ("v1", "v2"):
        registry.register(
            ModelVersion(
                version,
                tenant="default",
                model="assistant",
                base_model="base-1",
                provider="custom",
                created_at=NOW,
            )
        )
    with engine.begin() as connection:
        row = {"model": "assistant", "alias": "stable", "version_id": "v1", "updated_at": NOW}
        connection.execute(sa.insert(aliases).values(row))
        served = {"base_url": "http://x/v1", "served_model": "x", "extra_body": {}, "updated_at": NOW}
        connection.execute(sa.insert(endpoints).values(version_id="v2", **served))
    yield engine
    engine.dispose()


@pytest.fixture
def run(engine):
    return lambda *arguments: CliRunner().invoke(app, ["shadow", *arguments])


@pytest.fixture
def prices(tmp_path, monkeypatch):
    path = tmp_path / "prices.toml"
    path.write_text(PRICES.format("input", "1.5") + PRICES.format("output", "6"))
    monkeypatch.setenv("GATEWAY_TUNING_PRICE_FILE", str(path))


@pytest.mark.usefixtures("prices")
def test_a_shadow_with_a_budget_keeps_the_prices_of_its_beginning(run, engine):
    done = run("start", "assistant", "--candidate", "v2", "--budget", "1.00", "--hours", "2")

    (shadow,) = ShadowStore(engine).all()
    assert done.exit_code == 0, done.output
    assert shadow.prices == TokenPrices(Decimal("1.5"), Decimal(6), "EUR")
    assert (shadow.budget, shadow.max_requests, shadow.share) == (Decimal("1.00"), 500, 0.1)
    assert "0 EUR spent of 1.00 EUR" in done.output
    assert [entry.event.action for entry in AuditLog(engine).page("default", limit=1)] == ["shadow.start"]


def test_without_a_price_the_requests_must_be_limited_and_the_cost_is_said_to_be_unknown(run, engine):
    neither = run("start", "assistant", "--candidate", "v2")
    budget = run("start", "assistant", "--candidate", "v2", "--budget", "1")
    limited = run("start", "assistant", "--candidate", "v2", "--max-requests", "50")

    assert (neither.exit_code, budget.exit_code, limited.exit_code) == (1, 1, 0)
    assert "--max-requests" in neither.output
    assert "price_file" in budget.output
    assert "cost not known" in limited.output


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["start", "assistant", "--candidate", "v2", "--budget", "much"], "A budget is a decimal"),
        (["start", "helper", "--candidate", "v2", "--max-requests", "5"], "is a version of assistant"),
        (["start", "assistant", "--candidate", "v9", "--max-requests", "5"], "v9"),
        (["stop", "s9"], "No shadow s9"),
        (["report", "s9"], "No shadow s9"),
    ],
)
def test_what_cannot_be_is_told_in_a_line(run, arguments, told):
    done = run(*arguments)

    assert done.exit_code == 1
    assert told in done.output
    assert "Traceback" not in done.output


def test_a_shadow_is_listed_reported_and_stopped(run, engine):
    run("start", "assistant", "--candidate", "v2", "--max-requests", "50", "--share", "0.5")
    (shadow,) = ShadowStore(engine).all()
    pair = Pair(shadow.id, "a1", "key", NOW, {"failed": 0.0}, {"failed": 1.0}, 10.0, None, "timeout", None)
    ShadowStore(engine).record(pair, bound=None, charged=None)

    listed, told = run("status", "assistant"), run("report", shadow.id)
    page, data = run("report", shadow.id, "--markdown"), run("report", shadow.id, "--json")
    stopped, after = run("stop", shadow.id), run("status")

    assert shadow.id in listed.output
    assert "0 of 50" in listed.output
    assert "inconclusive: v2 against v1" in told.output
    assert "the candidate failed 1 times: timeout" in told.output
    assert page.output.startswith("## Shadow of assistant")
    assert json.loads(data.output)["pairs"] == 1
    assert "stopped by cli:" in stopped.output
    assert "stopped" in after.output
