"""Erasing a person through the API."""

import logging

import pytest

from gateway_tuning.access.permissions import Role
from gateway_tuning.erasure.complete import complete
from gateway_tuning.erasure.places import Places
from gateway_tuning.errors import OrchestratorError
from gateway_tuning.feedback.store import FeedbackStore
from gateway_tuning.runs.orchestrator import OrchestratedRun, RunStatus
from tests.api.conftest import PREFIX
from tests.conftest import NOW

PERSON = "u-quillfeather/7"
SUBJECTS, ERASURES = f"{PREFIX}/subjects", f"{PREFIX}/erasures"
ASKED = f"{SUBJECTS}/u-quillfeather%2F7"


class Orchestrator:
    """Keeps what it was asked to start; away, it answers nobody."""

    def __init__(self):
        self.started = []
        self.is_away = False

    def start(self, deployment, parameters, *, key, tags=()):
        if self.is_away:
            raise OrchestratorError("nobody answers")
        self.started.append((deployment, parameters, key))
        return OrchestratedRun("run", RunStatus.QUEUED)

    def check(self):
        pass


@pytest.fixture
def orchestrator():
    return Orchestrator()


@pytest.fixture
def feedback(engine, make_record):
    store = FeedbackStore(engine)
    store.add([make_record("f1", user_id=PERSON), make_record("f2", user_id="u-2")], NOW)
    return store


def ids(store, tenant="default"):
    return [record.id for _, record in store.read(tenant)]


def test_erasing_removes_the_rows_at_once_and_starts_the_rest(feedback, client_for, orchestrator):
    answer = client_for().delete(ASKED)

    erasure = answer.json()
    assert (answer.status_code, erasure["state"]) == (202, "requested")
    assert erasure["rows_removed"]["feedback"] == 1
    assert ids(feedback) == ["f2"]
    assert orchestrator.started == [
        ("erase-subject/erase-subject", {"erasure_id": erasure["id"]}, erasure["id"])
    ]


def test_neither_answers_nor_logs_nor_the_audit_log_name_the_person(feedback, client_for, caplog):
    caplog.set_level(logging.DEBUG, logger="gateway_tuning")
    admin = client_for()

    answers = [admin.delete(ASKED), admin.get(ERASURES), admin.get(f"{PREFIX}/audit")]

    assert all(answer.is_success for answer in answers)
    assert "quillfeather" not in "".join(answer.text for answer in answers)
    ours = [record.getMessage() for record in caplog.records if record.name.startswith("gateway_tuning")]
    assert "quillfeather" not in "".join(ours)
    assert '"erasure.begin"' in answers[2].text


def test_an_orchestrator_that_is_away_does_not_stop_the_erasure(feedback, client_for, orchestrator):
    orchestrator.is_away = True

    assert client_for().delete(ASKED).status_code == 202
    assert ids(feedback) == ["f2"]


def test_asking_twice_is_one_erasure(feedback, client_for):
    admin = client_for()

    first, second = admin.delete(ASKED).json(), admin.delete(ASKED).json()

    assert first == second
    assert len(admin.get(ERASURES).json()["items"]) == 1


def test_the_certificate_is_there_once_the_erasure_is_completed(feedback, client_for, services, tmp_path):
    admin = client_for()
    erasure = admin.delete(ASKED).json()["id"]
    before = admin.get(f"{ERASURES}/{erasure}").json()

    places = Places(services.engine, services.objects, lambda _name: None, tmp_path, tmp_path / "cache")
    complete(places, erasure, now=services.now())
    after = admin.get(f"{ERASURES}/{erasure}").json()

    assert (before["state"], before["certificate"]) == ("requested", None)
    assert (after["state"], after["certificate"]["erasure"]) == ("completed", erasure)
    assert after["not_done"] == []


@pytest.mark.parametrize("role", [Role.FEEDBACK_WRITER, Role.MODEL_VIEWER, Role.MODEL_MANAGER])
def test_only_an_administrator_erases(feedback, client_for, role):
    assert client_for(role).delete(ASKED).status_code == 403
    assert ids(feedback) == ["f1", "f2"]


def test_another_tenant_reaches_neither_the_person_nor_the_erasure(feedback, client_for):
    erasure = client_for().delete(ASKED).json()["id"]
    stranger = client_for(tenant="globex")

    assert stranger.get(f"{ERASURES}/{erasure}").status_code == 404
    assert stranger.get(ERASURES).json()["items"] == []
    assert stranger.delete(f"{SUBJECTS}/u-2").json()["rows_removed"]["feedback"] == 0
    assert ids(feedback) == ["f2"]


def test_pages_hold_every_erasure_once(feedback, client_for):
    admin = client_for()
    made = {admin.delete(f"{SUBJECTS}/user-{number}").json()["id"] for number in range(5)}

    seen, link = [], f"{ERASURES}?limit=2"
    while link:
        page = admin.get(link).json()
        seen += [erasure["id"] for erasure in page["items"]]
        link = page["next"]

    assert sorted(seen) == sorted(made)
