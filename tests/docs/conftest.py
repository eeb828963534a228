"""A home with everything in it that commands of the documentation name, and the program loaded."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from gateway_tuning.datasets.example import ExampleKind
from gateway_tuning.feedback.quarantine import QuarantineEntry
from gateway_tuning.feedback.record import FeedbackRecord
from gateway_tuning.feedback.store import FeedbackStore
from gateway_tuning.registry.model_version import CANDIDATE, STABLE, ModelVersion
from gateway_tuning.registry.store import Registry
from gateway_tuning.rollout.assignment import named, user_key
from gateway_tuning.rollout.canary_store import CanaryStore
from gateway_tuning.rollout.outcomes import Outcome, OutcomeStore
from gateway_tuning.rollout.policy import CanaryPolicy
from gateway_tuning.settings import Settings
from gateway_tuning.storage.database import open_database
from gateway_tuning.storage.object_store import ObjectStore
from tests.conftest import NOW, give_key
from tests.docs import program
from tests.unit.datasets.shelf import Shelf, example

SPLITS = ["train"] * 30 + ["validation"] * 8 + ["test"] * 8


@dataclass(frozen=True)
class Home:
    """`names` has what the pages call things, and what they are called here."""

    folder: Path
    names: dict[str, str]


@pytest.fixture(scope="session")
def filled_home(tmp_path_factory, migrated_sqlite):
    home = tmp_path_factory.mktemp("docs") / "var"
    home.mkdir()
    shutil.copyfile(migrated_sqlite, home / "gateway-tuning.db")
    settings = Settings(_env_file=None, home=home)
    engine = open_database(settings.resolved_database_url)
    give_key(engine)
    shelf = Shelf(engine, ObjectStore(settings.resolved_object_storage_url), home)
    kinds = [ExampleKind.DEMONSTRATION, ExampleKind.PREFERENCE]
    examples = [example(number, split, kind=kinds[number % 2]) for number, split in enumerate(SPLITS)]
    said = {"prompt": "Where is parcel 2?", "response": "I do not know.", "corrected_response": "On its way."}
    feedback = FeedbackStore(engine)
    feedback.add([FeedbackRecord(id="f2", type="correction", timestamp=NOW, **said)], NOW)
    aside = QuarantineEntry("default", "trust", "feedback", "f2", ("burst",), None, "f2")
    feedback.add_quarantine([aside], NOW)
    first, second = shelf.put(examples[:40], age=1), shelf.put(examples)
    try_out(engine, first.dataset_id)
    engine.dispose()
    names = {
        "ds-0123456789abcdef": first.dataset_id,
        "ds-fedcba9876543210": second.dataset_id,
        "canary-7f3a": "canary-1",
        "fb-7f3a": "f2",
        "9c56cc51": aside.fingerprint[:8],
    }
    return Home(home, names)


def try_out(engine, dataset_id):
    """Versions of a model, the newest of them on trial."""
    registry = Registry(engine)
    for version in ("assistant@base", "assistant@0a1b2c3d4e5f", "assistant@4f2e9d1fbd8a", "assistant@tuned"):
        made_of = None if version == "assistant@base" else dataset_id
        registry.register(
            ModelVersion(
                id=version, tenant="default", model="assistant", base_model="small", provider="llama",
                created_at=NOW, dataset_id=made_of, job_key=version,
            )
        )  # fmt: skip
    registry.point("assistant", STABLE, "assistant@base", reason="first", now=NOW)
    registry.point("assistant", CANDIDATE, "assistant@tuned", reason="trained", now=NOW)
    canary = CanaryStore(engine).start(
        "canary-1", tenant="default", model="assistant", candidate="assistant@tuned", control="assistant@base",
        policy=CanaryPolicy(), now=NOW,
    )  # fmt: skip
    users = {user: user_key(canary.salt, named(user)) for user in ("anna", "ben")}
    OutcomeStore(engine).write(
        [
            Outcome(f"of-{user}", "assistant", canary.id, "canary", "assistant@tuned", key, NOW, 10.0)
            for user, key in users.items()
        ]
    )


@pytest.fixture(scope="session")
def programs(tmp_path_factory):
    with program.loaded(tmp_path_factory.mktemp("program")) as folder:
        yield folder
