import json
import re

import pytest
from typer.testing import CliRunner

from gateway_tuning.access.audit import AuditLog
from gateway_tuning.cli import app
from gateway_tuning.registry.endpoint import Endpoint
from gateway_tuning.registry.store import Registry
from gateway_tuning.rollout.actions import CanaryActions
from gateway_tuning.rollout.canary_store import CanaryStore
from gateway_tuning.settings import Settings
from gateway_tuning.storage.database import open_database
from tests.unit.rollout.reporting.stories import POLICY, START, later, look, start, traffic
from tests.unit.rollout.test_replay import POLICY as REPLAYED
from tests.unit.rollout.test_replay import line, lines, recorded


@pytest.fixture
def engine(tmp_path, monkeypatch, migrated_sqlite):
    monkeypatch.setenv("GATEWAY_TUNING_HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "300")
    (tmp_path / "gateway-tuning.db").write_bytes(migrated_sqlite.read_bytes())
    engine = open_database(Settings().resolved_database_url)
    yield engine
    engine.dispose()


@pytest.fixture
def run(engine):
    def run(*arguments, user="ben"):
        return CliRunner().invoke(app, list(arguments), env={"LOGNAME": user, "USER": user})

    return run


@pytest.fixture
def waiting(engine):
    start(engine)
    traffic(engine, 1)
    traffic(engine, 2)
    return look(engine, 2.5)


def actions(engine):
    return [entry.event.action for entry in AuditLog(engine).page("default", limit=9)]


@pytest.mark.usefixtures("waiting")
def test_status_says_how_it_stands_and_what_a_person_can_do(run):
    told = run("canary", "status").output

    assert "c1: m@2 against m@1, of m" in told
    assert "Running: 10 % of users are on the candidate" in told
    assert re.search(r"latency +not worse", told)
    assert "- a share of 0.5 awaits the approval of a person" in told
    assert "gateway-tuning canary approve c1 --share 0.5" in told
    assert told == run("canary", "status", "c1").output


@pytest.mark.usefixtures("waiting")
def test_status_as_json_has_the_last_look_and_no_salt(run, engine):
    found = json.loads(run("canary", "status", "c1", "--json").output)

    assert (found["canary"]["state"], found["looks"], found["last_look"]["decision"]) == (
        "running",
        1,
        "hold",
    )
    assert found["canary"]["policy"]["approve_before"] == [0.5]
    assert CanaryStore(engine).get("c1").salt not in json.dumps(found)
    assert len(json.loads(run("canary", "status", "--json").output)) == 1


def test_where_none_runs_status_says_where_to_look(run):
    assert "canary list" in run("canary", "status").output


@pytest.mark.usefixtures("waiting")
def test_an_approval_is_kept_with_who_gave_it(run, engine):
    done = run("canary", "approve", "c1", "--share", "0.5", "--comment", "fine")

    assert "approved now: every share" in done.output
    (action,) = CanaryActions(engine).all("c1")
    assert (action.action, action.by, action.comment) == ("approve", "cli:ben", "fine")
    assert actions(engine) == ["canary.approve"]


@pytest.mark.usefixtures("waiting")
def test_an_approval_of_another_share_is_refused_and_leaves_no_entry(run, engine):
    done = run("canary", "approve", "c1", "--share", "0.7")

    assert (done.exit_code, actions(engine)) == (1, [])
    assert "the next share to approve is 0.5" in done.output


def test_whoever_started_it_cannot_approve_it(run, engine):
    start(engine, started_by="cli:ben")
    done = run("canary", "approve", "c1", "--share", "0.5")
    assert done.exit_code == 1
    assert "cli:ben started canary c1" in done.output


@pytest.mark.usefixtures("waiting")
def test_an_abort_needs_a_reason_and_takes_all_users_back(run, engine):
    assert run("canary", "abort", "c1").exit_code == 2

    done = run("canary", "abort", "c1", "--reason", "complaints")

    assert "c1 is rolled back: aborted by cli:ben: complaints" in done.output
    assert CanaryStore(engine).get("c1").share == 0.0
    assert actions(engine) == ["canary.abort"]


@pytest.mark.usefixtures("waiting")
def test_rejecting_ends_it(run, engine):
    assert "rejected by cli:ben" in run("canary", "reject", "c1").output
    assert CanaryStore(engine).get("c1").state == "rolled_back"


@pytest.mark.usefixtures("waiting")
def test_an_override_waits_for_another_person(run, engine):
    first = run("canary", "override", "c1", "--comment", "too few users")
    again = run("canary", "override", "c1")
    second = run("canary", "override", "c1", user="cara")

    assert "another person must want it too" in first.output
    assert "another person must want it too" in again.output
    assert "cli:ben and cli:cara want a share of 50 %; its next look takes it" in second.output
    assert look(engine, 3).share == 0.5
    assert actions(engine) == ["canary.override"] * 2


def test_an_inconclusive_one_is_promoted_at_once_by_two(run, engine):
    start(engine, policy=POLICY.model_copy(update={"max_seconds": 60}))
    traffic(engine, 1)
    assert look(engine, 2).state == "inconclusive"

    run("canary", "override", "c1")
    second = run("canary", "override", "c1", user="cara")

    assert "c1 is promoted: m@2 is stable" in second.output


@pytest.mark.usefixtures("waiting")
def test_the_page_goes_to_standard_output_or_to_a_file(run, tmp_path):
    printed = run("canary", "page", "c1").output
    run("canary", "page", "c1", "-o", str(tmp_path / "c1.html"))

    assert printed.startswith("<!doctype html>")
    assert (tmp_path / "c1.html").read_text().startswith("<!doctype html>")


@pytest.mark.usefixtures("waiting")
def test_canaries_are_listed_with_their_state(run):
    assert re.search(r"c1 +m +m@2 +m@1 +running +10 %", run("canary", "list").output)
    assert "c1" not in run("canary", "list", "other").output


def test_what_is_not_there_is_told_in_one_line(run):
    for command in (["status", "c9"], ["page", "c9"], ["abort", "c9", "--reason", "x"], ["override", "c9"]):
        done = run("canary", *command)
        assert (done.exit_code, done.output.count("\n")) == (1, 1)
        assert "No canary c9" in done.output


def write(path, content):
    path.write_text("\n".join(content) + "\n")
    return str(path)


def test_a_replay_prints_every_look_and_the_reasons_of_the_last(run, tmp_path):
    file = write(tmp_path / "o.jsonl", lines(recorded(6, liked=0.3)))
    policy = write(tmp_path / "p.json", [REPLAYED.model_dump_json()])

    done = run("canary", "replay", file, "--policy", policy, "--every", "10")

    looks = re.findall(r"^2026-01-01 \d\d:\d\d +(\S+ %)  (.*)$", done.output, re.MULTILINE)
    assert done.exit_code == 0
    assert looks[0] == ("10 %", "hold")
    assert looks[-1][1] == "roll back"
    assert len(looks) == done.output.count("    latency  ")
    assert f"{len(looks)} looks; rolled back" in done.output
    assert "- the canary is worse in user feedback" in done.output


def test_a_replay_as_json_has_a_line_a_look(run, tmp_path):
    file = write(tmp_path / "o.jsonl", lines(recorded(3)))
    done = run("canary", "replay", file, "--every", "60", "--json")
    found = [json.loads(text) for text in done.output.splitlines()]
    assert [one["decision"] for one in found] == ["hold"] * len(found)
    assert found[0]["share"] == 0.01
    assert {result["name"] for result in found[-1]["verdict"]["results"]} >= {"latency", "error_rate"}


def test_a_configuration_of_the_other_names_is_a_policy_too(run, tmp_path):
    file = write(tmp_path / "o.jsonl", lines(recorded(2)))
    policy = write(tmp_path / "p.yaml", ["InitialPercentage: 20", "MetricsToMonitor: [Latency]"])

    done = run("canary", "replay", file, "--policy", policy, "--json")

    first = json.loads(done.output.splitlines()[0])
    assert first["share"] == 0.2
    assert [result["name"] for result in first["verdict"]["results"]] == ["latency"]


@pytest.mark.parametrize(
    ("content", "policy", "said"),
    [
        ([line(), '{"x": 1}'], "{}", "o.jsonl: line 2: "),
        ([], "{}", "no line to replay"),
        ([line()], "stages: [0.9]", "stages"),
        ([line()], "mystery: 1", "mystery"),
        ([line()], "- 1", "must be a mapping"),
        ([line()], "a: [", "cannot be read"),
        ([line()], "InitialPercentage: 90", "InitialPercentage"),
    ],
)
def test_what_cannot_be_replayed_is_told_by_its_name(run, tmp_path, content, policy, said):
    file, chosen = write(tmp_path / "o.jsonl", content), write(tmp_path / "p.yaml", [policy])
    done = run("canary", "replay", file, "--policy", chosen)
    assert done.exit_code == 1
    assert said in done.output


def test_a_file_that_is_not_there_is_told(run, tmp_path):
    done = run("canary", "replay", str(tmp_path / "gone.jsonl"))
    assert done.exit_code == 1
    assert "gone.jsonl cannot be read" in done.output


@pytest.mark.usefixtures("waiting")
def test_deployments_tell_what_is_stable_what_is_on_trial_and_where(run, engine):
    Registry(engine).set_endpoint("m@2", Endpoint("http://there/v1", "served"), now=later(3))

    told = run("deployments", "m").output
    found = json.loads(run("deployments", "m", "--json").output)

    assert re.search(r"m@1 +stable +90 %", told)
    assert re.search(r"m@2 +canary +10 % .*http://there/v1 as served +c1", told)
    assert "canary c1 against m@1 began" in told
    assert [one["version_id"] for one in found["now"]] == ["m@1", "m@2"]
    assert found["history"][0]["at"] == START.isoformat()
    assert re.search(r"m@1 +stable", run("deployments").output)
    assert run("deployments", "nothing").exit_code == 1
