"""What is MLflow's alone: files, tags that people change, and a server that does not answer."""

import hashlib
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gateway_tuning.errors import ConfigurationError, ConflictError, IntegrityError, StoreBusyError
from gateway_tuning.processes import free_port
from gateway_tuning.registry.mlflow.client import open_client
from gateway_tuning.registry.mlflow.files import Files
from gateway_tuning.registry.mlflow.registry import MlflowRegistry
from gateway_tuning.registry.model_version import ModelVersion, StoredFile
from gateway_tuning.registry.store import Registry
from gateway_tuning.settings import Settings
from gateway_tuning.storage import leases
from gateway_tuning.storage.object_store import ObjectStore

pytest.importorskip("mlflow", reason="the mlflow extra is not installed")


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore

    SqlAlchemyStore(f"sqlite:///{path}").engine.dispose()
    return path


@pytest.fixture
def url(database, tmp_path):
    return f"sqlite:///{shutil.copyfile(database, tmp_path / 'mlflow.db')}"


@pytest.fixture
def mlflow(url):
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=url, registry_uri=url)


@pytest.fixture
def registry(url, shelf):
    return MlflowRegistry(open_client(Settings(mlflow_url=url)), shelf.engine, Files(shelf.objects))


@pytest.fixture
def store(shelf):
    return Registry(shelf.engine)


@pytest.fixture
def version(shelf, now):
    digest = shelf.objects.write("models/assistant@1/adapter.gguf", b"weights")
    return ModelVersion(
        "assistant@1", "assistant", "small", "llama", now, tenant="default", job_key="j", metrics={"loss": 0.5},
        files={"adapter.gguf": StoredFile("models/assistant@1/adapter.gguf", digest, 7)},
        hyperparameters={"rate": 0.1},
    )  # fmt: skip


def test_people_see_in_mlflow_what_a_version_is(registry, mlflow, version, now):
    registry.register(version)
    registry.point("assistant", "staging/stable", version.id, reason="a try", now=now)

    seen = mlflow.get_model_version_by_alias("assistant", "staging--stable")

    assert seen.tags["gateway_tuning.status"] == "deployed"
    assert seen.tags["gateway_tuning.base_model"] == "small"
    assert seen.tags["gateway_tuning.sha256.adapter.gguf"] == hashlib.sha256(b"weights").hexdigest()


def test_files_stay_where_they_are_unless_a_copy_is_asked_for(registry, mlflow, version):
    registry.register(version)

    (seen,) = mlflow.search_model_versions("name = 'assistant'")

    assert seen.source == "gateway-tuning:/assistant@1"
    assert mlflow.search_experiments(filter_string="name = 'gateway-tuning'") == []


def test_a_version_on_shared_storage_says_where_its_files_lie(version):
    kept = Files(ObjectStore("memory://bucket")).keep(None, version)

    assert kept.source == "memory://bucket/models/assistant@1/"


def test_a_copy_lies_in_a_run_with_metrics_and_hyperparameters(url, shelf, mlflow, version, tmp_path):
    mlflow.create_experiment("gateway-tuning", artifact_location=(tmp_path / "artifacts").as_uri())
    copying = Files(shelf.objects, copy=True)

    MlflowRegistry(open_client(Settings(mlflow_url=url)), shelf.engine, copying).register(version)

    (seen,) = mlflow.search_model_versions("name = 'assistant'")
    run = mlflow.get_run(seen.run_id)
    assert run.data.metrics == {"loss": 0.5}
    assert run.data.params == {"rate": "0.1"}
    assert (Path(seen.source.removeprefix("file://")) / "adapter.gguf").read_bytes() == b"weights"


def test_a_copy_that_outlasts_the_lease_makes_no_second_version(url, shelf, mlflow, version, registry):
    class Slow(Files):
        def keep(self, client, version):
            later = datetime.now(UTC) + timedelta(hours=1)
            name = "MLflow registry, assistant"
            taken = leases.acquire(shelf.engine, name, owner="other|1|x", now=later, seconds=60)
            leases.release(shelf.engine, taken, now=later)
            registry.register(version)
            return super().keep(client, version)

    slow = MlflowRegistry(open_client(Settings(mlflow_url=url)), shelf.engine, Slow(shelf.objects))

    with pytest.raises(ConflictError, match="taken over"):
        slow.register(version)
    assert len(mlflow.search_model_versions("name = 'assistant'")) == 1


def test_a_file_that_was_damaged_is_not_copied(url, shelf, mlflow, version):
    shelf.objects.write("models/assistant@1/adapter.gguf", b"changed")
    copying = MlflowRegistry(
        open_client(Settings(mlflow_url=url)), shelf.engine, Files(shelf.objects, copy=True)
    )

    with pytest.raises(IntegrityError, match="does not match its recorded sha256"):
        copying.register(version)
    assert mlflow.search_model_versions("name = 'assistant'") == []


def test_a_model_that_others_have_in_mlflow_is_left_alone(registry, mlflow, version):
    mlflow.create_registered_model("assistant")

    with pytest.raises(ConflictError, match=r"tag gateway_tuning\.tenant=default"):
        registry.register(version)
    mlflow.set_registered_model_tag("assistant", "gateway_tuning.tenant", "default")
    assert registry.register(version).id == version.id


def test_what_others_did_in_mlflow_is_seen_and_not_overwritten_unseen(registry, mlflow, version, now):
    registry.register(version)
    theirs = mlflow.create_model_version("assistant", "s3://elsewhere/model", await_creation_for=0)
    mlflow.set_registered_model_alias("assistant", "stable", theirs.version)
    mlflow.set_registered_model_alias("assistant", "Champion", "1")

    assert [one.id for one in registry.versions("assistant")] == [version.id]
    assert registry.aliases("assistant") == {}
    with pytest.raises(ConflictError, match="not registered from here"):
        registry.point("assistant", "stable", version.id, reason="ours", now=now, expected=None)
    registry.point("assistant", "stable", version.id, reason="ours", now=now)
    assert registry.aliases("assistant") == {"stable": version.id}
    assert registry.get(version.id).status == "deployed"


def test_tags_that_somebody_broke_are_told(registry, mlflow, version):
    registry.register(version)
    mlflow.set_model_version_tag("assistant", "1", "gateway_tuning.record", "{}")

    with pytest.raises(IntegrityError, match="tags gateway_tuning"):
        registry.get(version.id)


def test_a_name_that_mlflow_cannot_hold_is_told(registry, version):
    with pytest.raises(ConfigurationError, match="MLflow does not take this: Invalid model name"):
        registry.register(ModelVersion("x", "a/b", "small", "llama", version.created_at, tenant="default"))


def test_a_server_that_does_not_answer_is_told_without_its_password(shelf, version, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    settings = Settings(mlflow_url=f"http://anna:secret-word@127.0.0.1:{free_port()}")

    with pytest.raises(StoreBusyError, match="MLflow did not do it: API request to http://127") as told:
        MlflowRegistry(open_client(settings), shelf.engine, Files(shelf.objects)).register(version)
    assert "secret-word" not in str(told.value)


def test_a_model_is_mirrored_from_the_command_line_as_often_as_one_likes(
    run, url, store, version, monkeypatch
):
    monkeypatch.setenv("GATEWAY_TUNING_MLFLOW_URL", url)
    store.register(version)
    store.point("assistant", "stable", version.id, reason="first", now=version.created_at)

    first, again, listed = (
        run("mirror", "assistant"),
        run("mirror", "assistant"),
        run("list", "--in", "mlflow"),
    )

    assert first.output == "assistant in MLflow: 1 versions registered, 0 statuses changed, 1 aliases moved\n"
    assert again.output == "assistant in MLflow: 0 versions registered, 0 statuses changed, 0 aliases moved\n"
    assert "assistant@1  deployed  stable" in listed.output
