"""What every registry of model versions keeps to."""

import shutil
import threading
from dataclasses import replace
from datetime import timedelta

import pytest

from gateway_tuning.errors import ConfigurationError, ConflictError, GatewayTuningError, NotFoundError
from gateway_tuning.registry import catalog
from gateway_tuning.registry.code_version import CodeVersion
from gateway_tuning.registry.model_version import CANDIDATE, STABLE, ModelVersion, StoredFile
from gateway_tuning.registry.statuses import ModelStatus
from gateway_tuning.settings import Settings

# MLflow takes no more than leases of our store.
REGISTRIES = [
    (name, database)
    for name in catalog.names()
    for database in (("sqlite", "postgresql") if name == "store" else ("sqlite",))
]
pytestmark = pytest.mark.parametrize(("registry", "engine"), REGISTRIES, indirect=True)

FILES = {"adapter.gguf": StoredFile("models/a/adapter.gguf", "0" * 64, 3)}


@pytest.fixture(scope="session")
def mlflow_database(tmp_path_factory):
    """A database of MLflow's with all its tables, to be copied: its migrations take seconds."""
    pytest.importorskip("mlflow", reason="the mlflow extra is not installed")
    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore

    SqlAlchemyStore(f"sqlite:///{path}").engine.dispose()
    return path


@pytest.fixture
def registry(request, engine, tmp_path):
    settings = Settings(home=tmp_path / "home")
    if request.param == "mlflow":
        copied = shutil.copyfile(request.getfixturevalue("mlflow_database"), tmp_path / "mlflow.db")
        settings = Settings(home=tmp_path / "home", mlflow_url=f"sqlite:///{copied}")
    return catalog.registry(request.param, settings, engine)


@pytest.fixture
def make(now):
    def made(id_, **fields):
        given = {"tenant": "t", "job_key": f"job-{id_}", "files": FILES, "metrics": {"loss": 0.5}} | fields
        model = given.pop("model", "assistant")
        return ModelVersion(id_, model, "base", "llama", now, **given)

    return made


def move(registry, alias, version_id, now, **more):
    registry.point("assistant", alias, version_id, reason=f"{alias} for {version_id}", now=now, **more)


def archive(registry, version_id, now, **more):
    return registry.change_status(version_id, ModelStatus.ARCHIVED, reason="old", now=now, **more)


def test_a_version_comes_back_whole_and_is_registered_once(registry, make, now):
    whole = make(
        "assistant@1",
        dataset_id="ds-1",
        served_model="ft:x",
        hyperparameters={"rate": 1e-4, "layers": [1, 2], "name": 'ü "quoted"'},
        code=CodeVersion("0.1.0", "abc", changed=True),
        parents=("assistant@0",),
        holds_erased_since=now + timedelta(seconds=1),
    )

    assert registry.register(whole) == whole
    assert registry.register(replace(whole, metrics={"loss": 9.0})) == whole
    assert registry.versions("assistant") == registry.versions() == [whole]
    assert registry.versions("other") == []
    with pytest.raises(NotFoundError, match="assistant@2"):
        registry.get("assistant@2")


def test_a_job_gives_a_model_one_version_and_another_model_one_more(registry, make):
    registry.register(make("v1"))

    with pytest.raises(ConflictError, match="gave assistant a version already"):
        registry.register(make("v2", job_key="job-v1"))
    assert registry.register(make("w1", model="other", job_key="job-v1")).model == "other"


def test_a_model_of_another_tenant_is_refused(registry, make):
    registry.register(make("v1"))

    with pytest.raises(ConflictError, match="tenant"):
        registry.register(make("v2", tenant="somebody else"))
    assert [version.id for version in registry.versions()] == ["v1"]


def test_a_version_that_was_begun_is_completed_by_what_its_training_left(registry, make, now):
    begun = make("v1", files={}, metrics={}, status=ModelStatus.CREATED)
    registry.register(begun)
    registry.change_status("v1", ModelStatus.TRAINING, reason="its job runs", now=now, by="job 1")

    done = registry.register(make("v1"))

    assert (done.status, done.files, done.revision) == (ModelStatus.AVAILABLE, FILES, 3)
    changes = registry.status_changes("v1")
    assert [(one.before, one.status) for one in changes] == [
        (None, ModelStatus.CREATED),
        (ModelStatus.CREATED, ModelStatus.TRAINING),
        (ModelStatus.TRAINING, ModelStatus.AVAILABLE),
    ]
    assert (changes[1].reason, changes[1].by, changes[1].at) == ("its job runs", "job 1", now)


def test_a_mark_of_an_erasure_is_taken_over(registry, make, now):
    registry.register(make("v1"))

    registry.register(make("v1", holds_erased_since=now))

    assert registry.get("v1").holds_erased_since == now
    assert registry.register(make("v1")).holds_erased_since == now


def test_a_change_that_is_not_allowed_says_what_is(registry, make, now):
    registry.register(make("v1", status=ModelStatus.TRAINING))

    with pytest.raises(
        ConflictError, match="is training and cannot become archived; it may become: available, failed"
    ):
        archive(registry, "v1", now)
    registry.change_status("v1", ModelStatus.FAILED, reason="no memory", now=now)
    assert archive(registry, "v1", now).status is ModelStatus.ARCHIVED


def test_nothing_becomes_available_without_anything_to_serve(registry, make, now):
    registry.register(make("v1", status=ModelStatus.TRAINING, files={}))

    with pytest.raises(ConflictError, match="neither files nor a served model"):
        registry.change_status("v1", ModelStatus.AVAILABLE, reason="?", now=now)


def test_a_status_changes_once(registry, make, now):
    registry.register(make("v1"))

    first, second = archive(registry, "v1", now), archive(registry, "v1", now)

    assert first == second
    assert len(registry.status_changes("v1")) == 2


def test_whoever_saw_an_older_revision_is_refused(registry, make, now):
    seen = registry.register(make("v1"))
    archive(registry, "v1", now, expected_revision=seen.revision)

    with pytest.raises(ConflictError, match="archived at revision 2, not 1"):
        registry.change_status(
            "v1", ModelStatus.AVAILABLE, reason="late", now=now, expected_revision=seen.revision
        )


def test_a_version_is_deployed_while_a_stable_of_any_environment_names_it(registry, make, now):
    registry.register(make("v1"))
    registry.register(make("v2"))

    move(registry, STABLE, "v1", now)
    move(registry, "staging/stable", "v1", now)
    move(registry, "production/stable", "v2", now)

    assert registry.aliases("assistant") == {"stable": "v2", "staging/stable": "v1"}
    assert [registry.get(id_).status for id_ in ("v1", "v2")] == [ModelStatus.DEPLOYED] * 2
    move(registry, "staging/stable", "v2", now)
    assert registry.get("v1").status is ModelStatus.AVAILABLE
    assert registry.status_changes("v1")[-1].reason == "staging/stable: staging/stable for v2"


def test_an_alias_keeps_who_moved_it_why_and_when(registry, make, now):
    registry.register(make("v1"))
    registry.register(make("v2"))
    move(registry, CANDIDATE, "v1", now, by="anna")
    move(registry, CANDIDATE, "v1", now + timedelta(hours=1), by="ben")
    move(registry, CANDIDATE, "v2", now + timedelta(hours=2))
    move(registry, CANDIDATE, None, now + timedelta(hours=3), by="anna")
    move(registry, CANDIDATE, None, now + timedelta(hours=4), by="ben")

    moves = registry.alias_changes("assistant")

    assert [(one.alias, one.version_id, one.by, one.at - now) for one in moves] == [
        ("candidate", "v1", "anna", timedelta()),
        ("candidate", "v2", None, timedelta(hours=2)),
        ("candidate", None, "anna", timedelta(hours=3)),
    ]
    assert registry.aliases("assistant") == {}


@pytest.mark.parametrize(
    "case",
    [
        ("stable", "v9", NotFoundError, "v9"),
        ("stable", "w1", ConflictError, "is a version of other"),
        ("candidate", "begun", ConflictError, "is training"),
        ("staging/Stable", "v1", ConfigurationError, "is no alias"),
        ("v2", "v1", ConfigurationError, "means a version"),
    ],
)
def test_an_alias_names_nothing_that_it_cannot(registry, make, now, case):
    registry.register(make("v1"))
    registry.register(make("w1", model="other"))
    registry.register(make("begun", status=ModelStatus.TRAINING, files={}))

    alias, version_id, error, message = case
    with pytest.raises(error, match=message):
        move(registry, alias, version_id, now)
    assert registry.aliases("assistant") == {}
    assert registry.alias_changes("assistant") == []


def test_what_an_alias_names_is_not_archived_and_the_archived_gets_no_alias(registry, make, now):
    registry.register(make("v1"))
    move(registry, CANDIDATE, "v1", now)

    with pytest.raises(ConflictError, match="assistant's candidate; point that elsewhere"):
        archive(registry, "v1", now)
    move(registry, CANDIDATE, None, now)
    archive(registry, "v1", now)
    with pytest.raises(ConflictError, match="is archived"):
        move(registry, CANDIDATE, "v1", now)


def test_deployed_comes_and_goes_with_the_alias_alone(registry, make, now):
    registry.register(make("v1"))

    with pytest.raises(ConflictError, match="point the alias"):
        registry.change_status("v1", ModelStatus.DEPLOYED, reason="by hand", now=now)
    move(registry, STABLE, "v1", now)
    with pytest.raises(ConflictError, match="point the alias"):
        registry.change_status("v1", ModelStatus.AVAILABLE, reason="by hand", now=now)


@pytest.mark.parametrize("expected", ["v2", None])
def test_an_alias_that_names_something_else_than_expected_stays(registry, make, now, expected):
    registry.register(make("v1"))
    registry.register(make("v2"))
    move(registry, STABLE, "v1", now, expected=None)

    with pytest.raises(ConflictError, match=f"names v1, not {expected or 'nothing'}"):
        move(registry, STABLE, "v2", now, expected=expected)
    assert registry.aliases("assistant") == {"stable": "v1"}


def at_once(*calls):
    """Errors of what ran at the same time, None for what had none, in the order of the calls."""
    start, errors = threading.Barrier(len(calls)), [None] * len(calls)

    def run(number, call):
        start.wait(timeout=30)
        try:
            call()
        except GatewayTuningError as error:
            errors[number] = error

    threads = [threading.Thread(target=run, args=one) for one in enumerate(calls)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    return errors


@pytest.mark.parametrize("before", [None, "v1"])
def test_of_two_who_move_an_alias_at_the_same_time_one_is_refused(registry, make, now, before):
    for id_ in ("v1", "v2", "v3"):
        registry.register(make(id_))
    if before is not None:
        move(registry, STABLE, before, now)

    errors = at_once(
        lambda: move(registry, STABLE, "v2", now, expected=before, by="v2"),
        lambda: move(registry, STABLE, "v3", now, expected=before, by="v3"),
    )

    assert sorted(type(error) for error in errors if error) == [ConflictError]
    winner = "v2" if errors[0] is None else "v3"
    assert registry.aliases("assistant") == {"stable": winner}
    assert [one.by for one in registry.alias_changes("assistant")][-1] == winner
    assert len(registry.alias_changes("assistant")) == (1 if before is None else 2)
    deployed = [one.id for one in registry.versions() if one.status is ModelStatus.DEPLOYED]
    assert deployed == [winner]


def test_of_two_who_change_a_status_at_the_same_time_one_is_refused(registry, make, now):
    seen = registry.register(make("v1", status=ModelStatus.TRAINING))

    def change(status):
        registry.change_status("v1", status, reason=status.value, now=now, expected_revision=seen.revision)

    errors = at_once(lambda: change(ModelStatus.AVAILABLE), lambda: change(ModelStatus.FAILED))

    assert [type(error) for error in errors if error] == [ConflictError]
    winner = ModelStatus.AVAILABLE if errors[0] is None else ModelStatus.FAILED
    assert registry.get("v1").status is winner
    assert [one.status for one in registry.status_changes("v1")] == [ModelStatus.TRAINING, winner]


def test_an_archiving_and_an_alias_that_meet_do_not_both_succeed(registry, make, now):
    registry.register(make("v1"))

    errors = at_once(lambda: archive(registry, "v1", now), lambda: move(registry, CANDIDATE, "v1", now))

    assert [type(error) for error in errors if error] == [ConflictError]
    archived = registry.get("v1").status is ModelStatus.ARCHIVED
    assert registry.aliases("assistant") == ({} if archived else {"candidate": "v1"})


def test_who_registers_at_the_same_time_registers_once(registry, make):
    errors = at_once(*[lambda: registry.register(make("v1"))] * 3)

    assert errors == [None] * 3
    assert len(registry.versions()) == 1
    assert len(registry.status_changes("v1")) == 1
