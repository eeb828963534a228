"""What was made, as the API shows it: complete, in pages, and without a word of a user."""

from dataclasses import asdict
from datetime import UTC, datetime, timedelta

import pytest

from gateway_tuning.access.permissions import Role
from gateway_tuning.datasets.manifest import Counts, Manifest
from gateway_tuning.datasets.recipe import DatasetRecipe
from gateway_tuning.storage import layout
from gateway_tuning.storage.tables import datasets
from gateway_tuning.training.cost.entries import CostStore
from gateway_tuning.training.job import JobStatus, ProviderJob, TuningSpec
from gateway_tuning.training.jobs import JobStore
from tests.api import owned
from tests.api.conftest import PREFIX
from tests.unit.drift.test_drift_reports import REPORT as DRIFT
from tests.unit.evaluation.earlier import stored

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
COUNTS = Counts(
    records=3,
    used=2,
    left_out={"duplicate": 1},
    examples={"train": {"demonstration": 2}},
    entities={},
    groups=2,
    shared_groups=0,
)


def add_dataset(services, number, *, build=0, tenant="default", retired=False):
    row = {
        "build_key": f"{tenant}-{number}-{build}",
        "id": f"ds-{number}",
        "tenant": tenant,
        "watermark": 7 + build,
        "manifest_sha256": "0" * 64,
        "created_at": NOW + timedelta(minutes=number // 2, hours=build),
        "retired_at": NOW if retired else None,
    }
    with services.engine.begin() as connection:
        connection.execute(datasets.insert().values(row))


@pytest.fixture
def manifest(services):
    def write(dataset_id):
        made = Manifest(
            dataset_id=dataset_id,
            layout_version=1,
            schema_version=1,
            tenant="default",
            recipe=DatasetRecipe(),
            anonymizer="a",
            counts=COUNTS,
            parts=(),
            exports=(),
        )
        services.objects.write(layout.dataset_manifest(dataset_id), made.encode())

    return write


def test_a_dataset_shows_the_counts_of_its_manifest_once_however_often_it_was_built(
    client_for, services, manifest
):
    add_dataset(services, 1)
    add_dataset(services, 1, build=1)
    manifest("ds-1")
    viewer = client_for(Role.MODEL_VIEWER)

    (listed,) = viewer.get(f"{PREFIX}/datasets").json()["items"]

    assert listed == viewer.get(f"{PREFIX}/datasets/ds-1").json()
    assert listed["counts"] == COUNTS.model_dump(mode="json")
    assert listed["watermark"] == 8
    assert datetime.fromisoformat(listed["created_at"]) == NOW


def test_counts_that_cannot_be_read_are_null_and_not_zero(client_for, services, manifest):
    add_dataset(services, 1)
    add_dataset(services, 2, retired=True)
    manifest("ds-2")

    found = client_for().get(f"{PREFIX}/datasets").json()["items"]

    assert [(one["id"], one["counts"], one["retired_at"] is None) for one in found] == [
        ("ds-2", None, False),
        ("ds-1", None, True),
    ]


def test_pages_hold_every_dataset_of_the_tenant_once(client_for, services):
    for number in range(7):
        add_dataset(services, number)
    add_dataset(services, 9, tenant="globex")
    viewer = client_for(Role.MODEL_VIEWER)

    seen, link = [], f"{PREFIX}/datasets?limit=3"
    while link:
        page = viewer.get(link).json()
        seen += [one["id"] for one in page["items"]]
        link = page["next"]

    assert seen == [f"ds-{number}" for number in (6, 5, 4, 3, 2, 1, 0)]


def test_a_cost_that_is_not_known_is_null_with_a_note_and_counted_once(client_for, services):
    from gateway_tuning.training.cost.actual import cost_of_job

    jobs = JobStore(services.engine)
    job = jobs.intend(TuningSpec("llama", "b", "ds-1"), tenant="default", now=NOW)
    metrics = {"tokens": 81.0, "train_loss": 1.3}
    jobs.record(job.key, ProviderJob("p", JobStatus.SUCCEEDED, metrics=metrics), now=NOW)
    for _ in range(2):
        CostStore(services.engine).add(cost_of_job(jobs.get(job.key), now=NOW))
    viewer = client_for(Role.MODEL_VIEWER)

    (cost,) = viewer.get(f"{PREFIX}/costs").json()["items"]
    (shown,) = viewer.get(f"{PREFIX}/training-jobs").json()["items"]

    assert (cost["amount"], cost["currency"], cost["usage"]) == (None, None, {"tokens": 81.0})
    assert cost["note"] == "the price of llama is not known, its usage is"
    assert (cost["object_id"], shown["status"], shown["metrics"]) == (job.key, "succeeded", metrics)


def test_what_was_set_aside_is_shown_without_what_its_reasons_quote(client_for, services):
    owned.set_aside(services, "default")

    (found,) = client_for(Role.MODEL_VIEWER).get(f"{PREFIX}/quarantine").json()["items"]

    assert found["reasons"] == ["Prompt is empty"]
    assert "raw" not in found


def test_samples_of_an_evaluation_are_in_no_list(client_for, services):
    owned.evaluation(services, "default")
    viewer = client_for(Role.MODEL_VIEWER)

    (listed,) = viewer.get(f"{PREFIX}/evaluations").json()["items"]
    shown = viewer.get(f"{PREFIX}/evaluations/eval-owned").json()

    assert not {"best", "worst", "most_changed"} & listed.keys()
    assert listed.items() <= shown.items()
    assert (listed["state"], listed["systems"][0]["means"]["latency_ms"]) == ("no_data", None)


def test_an_evaluation_of_the_version_before_is_shown_as_todays_are(client_for, services):
    owned.evaluation(services, "default", stored())

    shown = client_for(Role.MODEL_VIEWER).get(f"{PREFIX}/evaluations/eval-owned").json()

    (similarity, _) = shown["comparisons"]
    assert (similarity["against"], similarity["difference"]["low"]) == ("stable", 0.04)
    assert shown["best"][0]["answers"] == {"candidate": "At noon.", "stable": None}
    assert shown["cards"]["similarity"]["higher_is_better"] is True


def test_a_model_shows_its_versions_and_which_alias_names_them(client_for, services):
    owned.canary(services, "default")
    viewer = client_for(Role.MODEL_VIEWER)

    (model,) = viewer.get(f"{PREFIX}/models").json()["items"]
    versions = viewer.get(f"{PREFIX}/models/owned/versions").json()["items"]

    assert (model["name"], model["aliases"]) == ("owned", {"stable": "owned@0"})
    assert {version["id"]: version["aliases"] for version in versions} == {
        "owned@0": ["stable"],
        "owned@1": [],
    }
    assert viewer.get(f"{PREFIX}/models/owned/versions/owned@1").json() in versions
    assert viewer.get(f"{PREFIX}/models/other/versions/owned@1").status_code == 404


def test_a_canary_comes_with_its_looks_and_a_cycle_with_its_stages(client_for, services):
    from gateway_tuning.rollout.canary_store import CanaryStore

    owned.canary(services, "default")
    cycle = owned.cycle(services, "default")
    CanaryStore(services.engine).tick("canary-owned", now=datetime.now(UTC))
    viewer = client_for(Role.MODEL_VIEWER)

    canary = viewer.get(f"{PREFIX}/canaries/canary-owned").json()
    (listed,) = viewer.get(f"{PREFIX}/canaries").json()["items"]
    shown = viewer.get(f"{PREFIX}/cycles/{cycle}").json()

    assert [look["decision"] for look in canary["looks"]] == ["hold"]
    assert canary["looks"][0]["reasons"] == canary["reasons"]
    assert "looks" not in listed
    assert (shown["status"], shown["outcome"], shown["stages"]) == ("running", None, [])


def test_the_threshold_of_a_model_is_shown_set_and_taken_back(client_for, services):
    owned.model(services, "default")
    manager = client_for(Role.MODEL_MANAGER)
    address = f"{PREFIX}/models/owned/threshold"

    default = manager.get(address).json()
    changed = manager.put(address, json={"count": 50, "hours": 6}).json()
    back = manager.put(address, json={}).json()

    assert default == {"model": "owned", "count": 500, "hours": 24.0, "is_default": True}
    assert (changed["count"], changed["hours"], changed["is_default"]) == (50, 6.0, False)
    assert back == default
    assert client_for(Role.MODEL_VIEWER).put(address, json={"count": 1}).status_code == 403
    assert client_for(Role.MODEL_ADMIN, "globex").put(address, json={"count": 1}).status_code == 404
    assert manager.put(address, json={"count": 0}).status_code == 422


def test_a_drift_report_is_listed_with_its_figures_and_shown_with_topics_and_words_too(client_for, services):
    owned.drift_report(services, "default", asdict(DRIFT))
    viewer = client_for(Role.MODEL_VIEWER)

    (listed,) = viewer.get(f"{PREFIX}/drift-reports").json()["items"]
    shown = viewer.get(f"{PREFIX}/drift-reports/drift-owned").json()

    assert listed.items() <= shown.items()
    assert (listed["classifier"]["auc"], listed["unmeasured"][0]["name"]) == (0.63, "refusal")
    assert "refund" not in str(listed | {"reasons": []})
    assert (shown["words_current"], shown["topics"][0]["label"]) == (
        ["refund", "tax"],
        "<b>refund</b>, & more",
    )
    assert shown["bins"]["topics"] == shown["topics"]
    assert (shown["reference"], shown["current"]) == ("ds-1", "ds-2")
