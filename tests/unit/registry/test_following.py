import pytest

from gateway_tuning.registry.following import follow_job
from gateway_tuning.registry.model_version import ModelVersion, StoredFile
from gateway_tuning.registry.statuses import ModelStatus
from gateway_tuning.registry.store import Registry
from gateway_tuning.training.job import JobStatus


@pytest.fixture
def registry(engine):
    return Registry(engine)


@pytest.fixture
def wanted(now):
    files = {"adapter.gguf": StoredFile("models/a", "0" * 64, 3)}
    return ModelVersion("m@1", "m", "base", "llama", now, tenant="t", job_key="1" * 64, files=files)


def test_a_version_stands_as_its_job_does_until_its_files_are_there(registry, wanted, now):
    seen = [
        follow_job(registry, wanted, status, message=status.value, now=now).status.value
        for status in (
            *(JobStatus.QUEUED, JobStatus.RUNNING, JobStatus.RUNNING, JobStatus.FAILED),
            *(JobStatus.QUEUED, JobStatus.RUNNING, JobStatus.SUCCEEDED),
        )
    ]

    assert seen == ["created", "training", "training", "failed", "failed", "training", "training"]
    assert registry.get("m@1").files == {}
    assert registry.register(wanted).files == wanted.files
    assert [(one.status.value, one.by) for one in registry.status_changes("m@1")][1:3] == [
        ("training", "job 111111111111"),
        ("failed", "job 111111111111"),
    ]


@pytest.mark.parametrize("status", list(JobStatus))
def test_a_finished_version_is_left_alone(registry, wanted, now, status):
    finished = registry.register(wanted)

    assert follow_job(registry, wanted, status, message="late", now=now) == finished
    assert finished.status is ModelStatus.AVAILABLE
