"""`gateway-tuning jobs`, on a provider whose jobs lie in a folder."""

import json
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gateway_tuning.cli import app
from gateway_tuning.errors import NotFoundError
from gateway_tuning.storage.database import open_database
from gateway_tuning.training import catalog
from gateway_tuning.training.job import JobStatus, ProviderJob, TuningSpec
from gateway_tuning.training.jobs import JobStore
from gateway_tuning.training.provider import Capabilities, KnownJob

NOW = datetime.now(UTC)  # the commands live by the clock


class Folder:
    """Each job a file that holds its status."""

    def __init__(self, path: Path):
        self.path = path
        path.mkdir()

    capabilities = Capabilities({"supervised": "chat"}, None, 1)

    def put(self, key, status="running"):
        (self.path / key).write_text(json.dumps(status))

    def poll(self, job_id):
        if not (self.path / job_id).exists():
            raise NotFoundError(job_id)
        return ProviderJob(job_id, JobStatus(json.loads((self.path / job_id).read_text())), 0.25, "training")

    def cancel(self, job_id):
        self.put(job_id, "cancelled")

    def known_jobs(self):
        return [KnownJob(path.name, self.poll(path.name)) for path in sorted(self.path.iterdir())]

    def submit(self, key, spec, files): ...
    def collect(self, job_id): ...
    def discard(self, job_id): ...


@pytest.fixture
def folder(tmp_path, monkeypatch):
    found = Folder(tmp_path / "at the provider")
    monkeypatch.setitem(catalog._BUILT_IN, "folder", lambda _settings: found)
    return found


@pytest.fixture
def jobs(tmp_path, monkeypatch, migrated_sqlite):
    home = tmp_path / "home"
    home.mkdir()
    (home / "gateway-tuning.db").write_bytes(migrated_sqlite.read_bytes())
    monkeypatch.setenv("GATEWAY_TUNING_HOME", str(home))
    monkeypatch.setenv("COLUMNS", "250")
    engine = open_database(f"sqlite:///{home / 'gateway-tuning.db'}")
    yield JobStore(engine)
    engine.dispose()


@pytest.fixture
def job(jobs):
    return jobs.intend(TuningSpec("folder", "base", "ds-1"), tenant="default", now=NOW)


def run(*arguments):
    result = CliRunner().invoke(app, ["jobs", *arguments])
    assert result.exit_code == 0, result.output + result.stderr
    return result.output


def test_a_running_job_is_cancelled_at_its_provider_and_shown_so(folder, jobs, job):
    folder.put(job.key)
    jobs.record(job.key, folder.poll(job.key), now=NOW)

    told = run("cancel", job.key[:10])

    assert told == f"{job.key[:12]} has ended: cancelled\n"
    assert folder.poll(job.key).status is JobStatus.CANCELLED
    assert "cancelled by cli:" in run("list")
    assert job.key[:12] not in run("list", "--unfinished")


def test_a_job_that_no_provider_heard_of_ends_without_one(folder, jobs, job):
    assert "has ended: cancelled" in run("cancel", job.key)
    assert jobs.get(job.key).provider_job_id is None


def test_a_job_that_its_provider_keeps_on_running_is_not_called_ended(folder, jobs, job, monkeypatch):
    folder.put(job.key)
    jobs.record(job.key, folder.poll(job.key), now=NOW)
    monkeypatch.setattr(folder, "cancel", lambda _id: None)

    assert "folder was asked to cancel" in run("cancel", job.key)
    assert "to be stopped: cancelled by cli:" in run("list")
    assert jobs.get(job.key).status is JobStatus.RUNNING


def test_reconciling_adopts_what_is_ours_and_names_what_is_not(folder, jobs, job):
    folder.put(job.key, "succeeded")
    folder.put("e" * 64)

    told = run("reconcile")

    assert "ended" in told
    assert f"folder has job {'e' * 64} (key {'e' * 12}): no intent has this key" in told
    assert jobs.get(job.key).status is JobStatus.SUCCEEDED
    assert folder.poll("e" * 64).status is JobStatus.RUNNING


def test_an_ended_job_is_said_to_have_ended(folder, jobs, job):
    jobs.record(job.key, ProviderJob("p", JobStatus.SUCCEEDED), now=NOW)

    assert run("cancel", job.key) == f"{job.key[:12]} has ended: succeeded\n"


@pytest.mark.parametrize(("status", "code"), [(JobStatus.SUCCEEDED, 0), (JobStatus.FAILED, 1)])
def test_who_waits_for_a_job_learns_by_the_exit_code_how_it_ended(jobs, job, status, code):
    jobs.record(job.key, ProviderJob("p", status, message="the loss is not a number"), now=NOW)

    result = CliRunner().invoke(app, ["jobs", "wait", job.key[:10]])

    assert (result.exit_code, result.stdout) == (code, f"{job.key[:12]} has ended: {status}\n")
    assert ("the loss is not a number" in result.stderr) == bool(code)


def test_a_wait_that_is_given_up_says_how_the_job_stands(jobs, job):
    result = CliRunner().invoke(app, ["jobs", "wait", job.key, "--minutes", "0"])

    assert result.exit_code == 1
    assert f"Job {job.key[:12]} is still queued" in result.stderr


def test_a_wait_sees_the_end_that_another_process_wrote(jobs, job, monkeypatch):
    monkeypatch.setattr("gateway_tuning.cli.jobs.LOOK_S", 0.05)
    ended = ProviderJob("p", JobStatus.SUCCEEDED)
    later = threading.Timer(0.2, lambda: jobs.record(job.key, ended, now=NOW))
    later.start()

    result = CliRunner().invoke(app, ["jobs", "wait", job.key])
    later.join()

    assert (result.exit_code, result.stdout) == (0, f"{job.key[:12]} has ended: succeeded\n")


def test_a_job_is_shown_in_full_as_json(jobs, job):
    shown = json.loads(run("show", job.key[:8], "--json"))
    (listed,) = json.loads(run("list", "--json"))

    assert shown["key"] == listed["job"] == job.key
    assert (shown["progress"], listed["progress"]) == (None, None)
    assert shown["spec"]["dataset_id"] == "ds-1"
