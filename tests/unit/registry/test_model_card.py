"""The card: all that is known of a version, what is unknown said so, and nothing of anybody that opens a tag."""

import math
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from html import unescape

import pytest

from gateway_tuning.errors import NotFoundError
from gateway_tuning.evaluation.store import EvaluationStore, StoredEvaluation
from gateway_tuning.registry.card import model_card
from gateway_tuning.registry.card_page import render_html, render_markdown
from gateway_tuning.registry.code_version import CodeVersion
from gateway_tuning.registry.curves import curves
from gateway_tuning.registry.model_version import CANDIDATE, ModelVersion, StoredFile
from gateway_tuning.registry.store import Registry
from gateway_tuning.training.cost.entries import CostStore
from gateway_tuning.training.cost.entry import CostEntry
from gateway_tuning.training.job import Checkpoint, JobStatus, ProviderJob, TuningSpec
from gateway_tuning.training.jobs import JobStore
from tests.unit.datasets.shelf import example
from tests.unit.datasets.test_card import Page
from tests.unit.evaluation.earlier import stored

HOSTILE = "</td><script>alert(1)</script> | `x`"
SHA = "5" * 64


@pytest.fixture
def tuned(shelf, now):
    """A version with all that may be known of one."""
    dataset = shelf.put([example(n) for n in range(3)]).dataset_id
    jobs = JobStore(shelf.engine)
    spec = TuningSpec("llama", "small", dataset, hyperparameters={"rate": 0.0001, "note": HOSTILE}, seed=7)
    job = jobs.intend(spec, tenant="default", now=now)
    points = [(10, 2.5), (20, math.nan), (30, 1.25)]
    checkpoints = tuple(Checkpoint(step, {"train_loss": loss, "tokens": 5.0}) for step, loss in points)
    running = ProviderJob(job.key, JobStatus.RUNNING, 0.5, "step 10", {}, checkpoints[:1])
    jobs.record(job.key, running, now=now)
    ended = ProviderJob(job.key, JobStatus.SUCCEEDED, 1.0, "finished", {"train_loss": 1.25}, checkpoints)
    jobs.record(job.key, ended, now=now + timedelta(minutes=90))
    version = ModelVersion(
        id="assistant@1", tenant="default", model="assistant", base_model="small", provider="llama",
        created_at=now, dataset_id=dataset, job_key=job.key, metrics={"train_loss": 1.25},
        files={"adapter.gguf": StoredFile("models/assistant@1/adapter.gguf", SHA, 1234)},
        hyperparameters=spec.hyperparameters, code=CodeVersion("0.1.0", "abcdef0123456789", changed=False),
        parents=("assistant@0",),
    )  # fmt: skip
    registry = Registry(shelf.engine)
    registry.register(version)
    registry.point("assistant", CANDIDATE, version.id, reason=f"trained {HOSTILE}", by="anna", now=now)
    return version


def evaluate(shelf, version, now, **changed):
    evaluation = StoredEvaluation(
        "eval-1",
        "default",
        "assistant",
        version.id,
        "assistant@0",
        version.dataset_id,
        stored(**changed),
        now,
    )
    EvaluationStore(shelf.engine).add(evaluation)


def pages(shelf, version_id):
    card = model_card(shelf.engine, shelf.objects, version_id)
    return render_markdown(card), render_html(card)


def texts(shelf, version_id):
    """Both as a person reads them."""
    return [unescape(page) for page in pages(shelf, version_id)]


def test_a_card_tells_data_training_evaluation_lineage_cost_and_files(shelf, tuned, now):
    evaluate(shelf, tuned, now)
    entry = CostEntry(tuned.job_key, "default", "training", tuned.job_key, "llama", now, "by the hour", Decimal("1.50"), "EUR", {"seconds": 5400.0})  # fmt: skip
    CostStore(shelf.engine).add(entry)

    for page in texts(shelf, tuned.id):
        for told in (
            f"small, tuned by llama on {tuned.dataset_id}",
            "available, assistant's candidate",
            f"gateway-tuning datasets card {tuned.dataset_id}",
            "masks-1",
            "supervised",
            "90.0 minutes",
            "0.0001",
            "assistant@0",
            "0.61",
            "+0.110 (+0.040 to +0.180)",
            "1.50 EUR",
            "5,400",
            SHA,
            "1,234",
            "0.1.0, commit abcdef012345",
            "anna",
        ):
            assert told in page


def test_what_is_unknown_is_said_and_no_figure_is_made_up(shelf, tuned):
    for page in texts(shelf, tuned.id):
        assert "Unknown: nothing was recorded." in page
        assert "It was not evaluated" in page
        assert "unknown here; whoever published it says" in page
        assert "No evaluation compares it with another version." in page


def test_a_cost_that_is_not_known_is_not_free(shelf, tuned, now):
    entry = CostEntry(tuned.job_key, "default", "training", tuned.job_key, "llama", now, "no price is known")
    CostStore(shelf.engine).add(entry)

    markdown, _ = pages(shelf, tuned.id)

    assert "- Paid: unknown" in markdown
    assert "no price is known" in markdown


def test_an_evaluation_without_an_interval_is_told_as_such(shelf, tuned, now):
    unknown = {"mean": None, "low": None, "high": None, "level": 0.95, "n": 0}
    nobody = stored()["candidate"] | {"n": 0, "similarity": None}
    evaluate(shelf, tuned, now, state="no_data", candidate=nobody, baseline=nobody, similarity=unknown)

    markdown, _ = pages(shelf, tuned.id)

    assert "| eval-1 | no_data | assistant@0 |" in markdown
    assert "| 0 | Similarity | unknown | unknown | unknown |" in markdown
    assert "None of its evaluations is valid." in markdown


def test_the_loss_is_drawn_with_a_gap_where_it_was_no_number(shelf, tuned):
    markdown, html = pages(shelf, tuned.id)

    assert "| 20 | not a number |" in markdown
    assert html.count("<circle") == 2
    assert "<line" not in html
    assert "from 2.5 to 1.25" in html


def test_a_version_whose_job_is_forgotten_is_not_taken_for_a_base_model(shelf, now):
    lost = ModelVersion("assistant@2", "assistant", "small", "llama", now, tenant="default", job_key="gone")
    Registry(shelf.engine).register(lost)

    for page in texts(shelf, lost.id):
        assert "Which dataset it was trained on is unknown." in page
        assert "The store knows its job no more." in page
        assert "not trained here" not in page


def test_a_base_model_has_a_short_card(shelf, now):
    base = ModelVersion("assistant@small", "assistant", "small", "llama", now, tenant="default")
    Registry(shelf.engine).register(base)

    for page in texts(shelf, base.id):
        assert "small as it is, not trained here." in page
        assert "no feedback is known to be in it" in page
        assert "None: it was not trained here." in page


def test_a_person_who_was_erased_since_is_told_of_first(shelf, tuned, now):
    Registry(shelf.engine).register(replace(tuned, holds_erased_since=now))

    markdown, html = pages(shelf, tuned.id)

    assert markdown.index("A person was erased on 2026-11-01") < markdown.index("## Model")
    assert "A person was erased on 2026-11-01" in html


def test_nothing_of_anybody_opens_a_tag_and_nothing_is_loaded(shelf, tuned):
    markdown, html = pages(shelf, tuned.id)
    page = Page(html)

    assert "script" not in page.tags
    assert page.open == []
    assert page.addresses == []
    assert "<script" not in markdown
    rows = [
        line.replace("\\|", "") for line in markdown.splitlines() if "alert" in line and line.startswith("|")
    ]
    assert {row.count("|") for row in rows} == {3, 5}


def test_of_a_version_that_is_not_there_is_no_card(shelf):
    with pytest.raises(NotFoundError, match="No model version assistant@9"):
        model_card(shelf.engine, shelf.objects, "assistant@9")


@pytest.mark.parametrize("series", [{}, {"loss": []}, {"loss": [(1, math.nan)]}])
def test_without_a_number_there_is_no_curve(series):
    assert curves("Loss", series) == ""


def test_every_series_has_its_line_inside_the_picture():
    drawn = curves("Loss", {f"loss {n}": [(step, 1.0 / step + n) for step in range(1, 9)] for n in range(3)})

    assert drawn.count("<line") == 3 * 7
    places = [float(part.split('"')[1]) for part in drawn.split("cy=")[1:]]
    height = float(drawn.split('height="')[1].split('"')[0])
    assert 0 < min(places) <= max(places) < height
