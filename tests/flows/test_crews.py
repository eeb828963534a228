"""A build by whatever does its jobs is one build, with the real Prefect and a real Dask cluster."""

import pytest

from gateway_tuning.datasets import build as building
from gateway_tuning.datasets.catalog import remove_objects
from gateway_tuning.datasets.recipe import DatasetRecipe
from gateway_tuning.errors import ConfigurationError
from gateway_tuning.feedback.trust_policy import TrustPolicy
from tasks.crews import open_crew
from tasks.runtime import runtime
from tests.conftest import NOW

RECIPE = DatasetRecipe(block_records=100, trust=TrustPolicy(min_burst_accounts=1000))


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("GATEWAY_TUNING_HOME", str(tmp_path / "home"))
    runtime.cache_clear()
    yield tmp_path / "home"
    runtime.cache_clear()


@pytest.fixture
def feedback(make_record, home):
    runtime().feedback.add(
        [
            make_record(
                f"f{number}",
                "correction",
                user_id=f"user-{number % 60}",
                prompt=f"Clara Oswald asks what {'abcdefghij'[number % 10] * 3} {number % 37} is",
                corrected_response=f"It is {number % 11}, Clara Oswald.",
            )
            for number in range(230)
        ],
        NOW,
    )


@pytest.mark.parametrize(
    "setting", ["threads", "processes:", "dask", "dask:", "dask:0", "processes:0", "threads:-1", "4"]
)
def test_a_setting_that_names_nobody_is_refused(setting, home):
    with pytest.raises(ConfigurationError, match="GATEWAY_TUNING_BUILD_CREW"), open_crew(setting):
        raise AssertionError("a crew of nobody")


@pytest.mark.slow
def test_a_thread_and_a_dask_cluster_make_one_manifest(feedback, home):
    from prefect.testing.utilities import prefect_test_harness

    workshop = runtime().workshop()
    request = building.Request("k", "default", RECIPE, runtime().feedback.watermark("default"), "a", NOW)
    manifests = []
    with prefect_test_harness():
        for setting in ("threads:1", "dask:2"):
            with open_crew(setting) as crew:
                built = building.build(request, workshop, crew)
            manifests.append(built.manifest.encode())
            fates = list(built.fates)
            remove_objects(workshop.objects, built.manifest.dataset_id)
            building.sweep(workshop, request.key)

    assert len(fates) == built.manifest.counts.used == 230
    assert len(built.fates.plan.blocks) == 3
    assert set(manifests) == {manifests[0]}
