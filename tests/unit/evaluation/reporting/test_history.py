from dataclasses import asdict
from datetime import timedelta

import pytest
from typer.testing import CliRunner

from gateway_tuning.cli import app
from gateway_tuning.errors import IntegrityError
from gateway_tuning.evaluation.history import Past, past_evaluations
from gateway_tuning.evaluation.reporting.past import PLOTTED, past_plots, render_history_html, text_bars
from gateway_tuning.evaluation.store import EvaluationStore, StoredEvaluation
from gateway_tuning.storage import layout
from gateway_tuning.storage.database import open_database
from gateway_tuning.storage.object_store import ObjectStore
from tests.conftest import NOW
from tests.unit.evaluation.reporting.results import card, comparison, difference, result

EARLIER = {
    "state": "scored",
    "reasons": [],
    "candidate": {
        "model": "m2", "n": 30, "errors": 0, "similarity": 0.6, "accuracy": 0.5, "latency_ms_mean": 1.0,
        "latency_ms_median": 1.0, "latency_ms_p95": 1.0, "prompt_tokens_mean": None, "completion_tokens_mean": None,
    },
    "similarity": {"mean": 0.2, "low": 0.1, "high": 0.3, "level": 0.95, "n": 30},
    "accuracy": {"mean": 0.1, "low": -0.1, "high": 0.3, "level": 0.95, "n": 30},
    "best": [], "worst": [], "most_changed": [], "settings": {},
}  # fmt: skip
EARLIER["baseline"] = EARLIER["candidate"] | {"similarity": 0.4}


def past(number=0, of=None, **changed):
    values = {
        "evaluation_id": f"eval-{number}",
        "model": "shop",
        "candidate": f"shop@v{number}",
        "stable": "shop@v",
        "dataset_id": "ds-1",
        "created_at": NOW + timedelta(days=number),
        "state": "scored",
        "metric": "similarity",
        "card": card(),
        "mean": 0.5,
        "difference": of or difference(),
    }
    return Past(**values | changed)


@pytest.fixture
def home(tmp_path, monkeypatch, migrated_sqlite):
    home = tmp_path / "home"
    home.mkdir()
    (home / "gateway-tuning.db").write_bytes(migrated_sqlite.read_bytes())
    monkeypatch.setenv("GATEWAY_TUNING_HOME", str(home))
    monkeypatch.setenv("COLUMNS", "250")
    return home


@pytest.fixture
def store(home):
    engine = open_database(f"sqlite:///{home / 'gateway-tuning.db'}")
    store = EvaluationStore(engine)
    stored = {
        "eval-1": ("shop", EARLIER),
        "eval-2": ("shop", asdict(result(comparison(of=difference(-0.1, -0.2, -0.05))))),
        "eval-3": ("other", asdict(result())),
    }
    for number, (name, (model, found)) in enumerate(stored.items()):
        at = NOW + timedelta(hours=number)
        store.add(
            StoredEvaluation(name, "default", model, f"{model}@{name}", f"{model}@old", "ds-1", found, at)
        )
    yield engine
    engine.dispose()


def run(*arguments, code=0):
    found = CliRunner().invoke(app, ["evaluations", *arguments])
    assert found.exit_code == code, found.output + found.stderr
    return found.output + found.stderr


def test_the_history_of_a_model_holds_what_earlier_versions_stored(store):
    first, second = past_evaluations(store, "shop")

    assert (first.candidate, first.mean, first.difference.low) == ("shop@eval-1", 0.6, 0.1)
    assert (second.candidate, second.difference.mean) == ("shop@eval-2", -0.1)
    assert [one.model for one in past_evaluations(store)] == ["shop", "shop", "other"]


def test_an_evaluation_that_cannot_be_read_is_named(store):
    broken = StoredEvaluation("eval-9", "default", "shop", "shop@9", "shop@old", "ds-1", {"state": "?"}, NOW)
    EvaluationStore(store).add(broken)

    with pytest.raises(IntegrityError, match=r"Evaluation eval-9: .*evaluate again"):
        past_evaluations(store, "shop")


def test_evaluations_are_listed_with_what_they_found(store):
    listed = run("list", "shop").splitlines()

    assert [line.split()[0] for line in listed[1:]] == ["eval-1", "eval-2"]
    assert [line.split()[4] for line in listed[1:]] == ["better", "worse"]
    assert "eval-3" in run()


def test_an_evaluation_is_shown_with_its_verdict(store):
    assert "The candidate is worse than the stable model in Word similarity" in run("show", "eval-2")
    assert '"primary":"similarity"' in run("show", "eval-2", "--json")
    assert "No evaluation eval-9" in run("show", "eval-9", code=1)


def test_the_report_is_written_as_it_was_made(store, home, tmp_path, monkeypatch):
    from gateway_tuning.settings import Settings

    objects = ObjectStore.from_settings(Settings())
    objects.write(layout.evaluation_file("eval-2", "report.html"), "<p>as it was é</p>".encode())

    run("show", "eval-2", "--html", str(tmp_path / "page.html"))

    assert (tmp_path / "page.html").read_text(encoding="utf-8") == "<p>as it was é</p>"


def test_a_report_that_is_gone_is_said_to_be_gone(store, tmp_path):
    told = run("show", "eval-1", "--html", str(tmp_path / "page.html"), code=1)

    assert "The report of eval-1 is gone: its dataset was erased or deleted" in told
    assert not (tmp_path / "page.html").exists()


def test_the_history_is_a_table_with_a_plot_newest_first(store, tmp_path):
    lines = run("history", "shop").splitlines()

    assert [line.split()[0] for line in lines[1:]] == ["shop@eval-2", "shop@eval-1"]
    assert "●" in lines[1].partition("│")[0]
    assert "●" in lines[2].partition("│")[2]
    assert "No candidate of nobody was evaluated" in run("history", "nobody", code=1)


def test_the_history_is_a_page_too(store, tmp_path):
    run("history", "shop", "--html", str(tmp_path / "page.html"))

    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "Candidates of shop" in page
    assert page.index("shop@eval-2") < page.index("shop@eval-1")
    assert "shop@eval-3" not in page


def test_an_invalid_comparison_is_listed_and_not_drawn():
    found = [past(0), past(1, state="invalid")]

    (plot,) = past_plots(found)

    assert plot.plot.count('class="point') == 1
    assert text_bars(found)[0] == ""
    assert ">invalid<" in render_history_html("shop", found)


def test_each_metric_that_decided_has_a_plot_of_its_own():
    found = [past(0), past(1, metric="refusal", card=card("refusal"), of=difference(-0.1, -0.2, -0.05))]

    assert [(one.label, one.aim) for one in past_plots(found)] == [
        ("Refusals", "less is better"),
        ("Word similarity", "more is better"),
    ]


def test_old_evaluations_beyond_the_plot_stay_in_the_table():
    found = [past(number) for number in range(PLOTTED + 3)]

    page = render_history_html("shop", found)

    assert "3 older evaluations stand in the table alone" in page
    assert page.count('class="point') == PLOTTED
    assert page.count("<tr>") == PLOTTED + 3 + 1


def test_a_model_without_evaluations_has_a_page_that_says_so():
    assert "Nothing was evaluated yet" in render_history_html("<shop>", [])
    assert "<shop>" not in render_history_html("<shop>", [])


def test_a_difference_without_an_interval_is_a_point():
    assert text_bars([past(of=difference(0.1, None, None, n=1))], width=11) == ["     │    ●"]
    assert text_bars([past(of=difference(0.0, 0.0, 0.0))], width=11) == ["     ●"]
