"""From feedback to a run of the tuning cycle, and runs that a principal asks for, on a real Prefect server."""

import time
from datetime import UTC, datetime, timedelta

import pytest

from gateway_tuning.access.audit import AuditLog
from gateway_tuning.cycles.cycle import CycleOutcome, CycleStatus, StageResult
from gateway_tuning.cycles.plan import CyclePlan
from gateway_tuning.cycles.store import CycleStore
from gateway_tuning.datasets.manifest import Manifest
from gateway_tuning.datasets.splits import SPLITS
from gateway_tuning.errors import ConfigurationError, NotFoundError, OrchestratorError
from gateway_tuning.feedback.record import FeedbackRecord
from gateway_tuning.feedback.store import FeedbackStore
from gateway_tuning.feedback.threshold import ThresholdStore
from gateway_tuning.feedback.threshold_watch import ThresholdWatch
from gateway_tuning.processes import free_port
from gateway_tuning.registry.model_version import STABLE, ModelVersion
from gateway_tuning.registry.store import Registry
from gateway_tuning.rollout.actions import CanaryActions
from gateway_tuning.rollout.canary_store import CanaryStore
from gateway_tuning.runs.approvals import ApprovalState, ApprovalStore
from gateway_tuning.runs.orchestrator import RunStatus
from gateway_tuning.runs.prefect_api import PrefectApi
from gateway_tuning.runs.run import Intent, RunKind
from gateway_tuning.runs.store import RunStore, start_unstarted
from gateway_tuning.storage import layout, leases
from gateway_tuning.storage.database import open_database
from gateway_tuning.storage.object_store import ObjectStore
from gateway_tuning.storage.tables import datasets
from gateway_tuning.storage.tenants import claim_model
from tests.flows.conftest import call, wait_for

pytestmark = pytest.mark.slow

CYCLE = RunKind.TUNING_CYCLE.deployment
FORM = "await-approval/await-approval"


def now():
    return datetime.now(UTC)


@pytest.fixture(scope="module")
def engine(served):
    engine = open_database(f"sqlite:///{served.home / 'gateway-tuning.db'}")
    yield engine
    engine.dispose()


@pytest.fixture(scope="module")
def prefect(served):
    api = PrefectApi(served.url, timeout_s=60)
    yield api
    api.close()


@pytest.fixture
def thresholds(engine):
    return ThresholdStore(engine, default_count=500, default_hours=24)


def dead_server():
    """Nobody listens there."""
    return PrefectApi(f"http://127.0.0.1:{free_port()}/api")


@pytest.fixture
def add(engine):
    """Thumbs down alone: nothing can be learned from them, so that the cycle they start ends soon."""

    def add(tenant, first, last):
        records = [
            FeedbackRecord(
                id=f"{tenant}-{number}", tenant=tenant, user_id=f"u{number}", type="thumbs_down",
                prompt=f"Question {number}?", response="No.", timestamp=now() - timedelta(minutes=1),
            )
            for number in range(first, last + 1)
        ]  # fmt: skip
        FeedbackStore(engine).add(records, now())

    return add


def cycles_of(served, tenant):
    return [run for run in served.runs("tuning-cycle") if run["parameters"]["plan"]["tenant"] == tenant]


def asked(id_, kind=RunKind.DATASET, **parameters):
    return Intent(id_, "acme", kind, parameters, "user:anna", "0" * 64)


def at_the_gate(engine, served, plan):
    """A cycle whose stages up to a passed gate are recorded, as a run left them."""
    versions = Registry(engine)
    for id_ in (f"{plan.model}@0", f"{plan.model}@1"):
        versions.register(
            ModelVersion(
                id=id_,
                tenant=plan.tenant,
                model=plan.model,
                base_model="b",
                provider="llama",
                created_at=now(),
            )
        )
    versions.point(plan.model, STABLE, f"{plan.model}@0", reason="a test", now=now())
    counts = {"records": 30, "used": 30, "left_out": {}, "entities": {}, "groups": 30, "shared_groups": 0}
    manifest = Manifest(
        dataset_id=f"ds-{plan.tenant}", layout_version=1, schema_version=1, tenant=plan.tenant,
        recipe=plan.recipe, anonymizer="a", parts=(), exports=(),
        counts={**counts, "examples": {split: {"demonstration": 15} for split in SPLITS}},
    )  # fmt: skip
    ObjectStore(f"file://{served.home / 'objects'}").write(
        layout.dataset_manifest(manifest.dataset_id), manifest.encode()
    )
    row = {"build_key": plan.tenant, "tenant": plan.tenant, "watermark": 0, "manifest_sha256": "0"}
    with engine.begin() as connection:
        connection.execute(datasets.insert().values(id=manifest.dataset_id, created_at=now(), **row))
    cycles = CycleStore(engine)
    cycle = cycles.open(
        tenant=plan.tenant, model=plan.model, plan=plan.model_dump(mode="json"), watermark=0,
        incumbent=f"{plan.model}@0", started_by="user:anna", now=now(),
    )  # fmt: skip
    lease = leases.acquire(engine, cycle.lease_name, owner="a|1|1", now=now(), seconds=60)
    stages = {
        "dataset": StageResult(id=manifest.dataset_id), "train": StageResult(id=f"{plan.model}@1"),
        "evaluate": StageResult(id="eval-1"), "drift": StageResult(id="drift-1"),
        "gate": StageResult(id="pass", detail={"reasons": ["better"]}),
    }  # fmt: skip
    for stage, result in stages.items():
        cycles.record_stage(cycle.id, stage, result, seconds=1, lease=lease, now=now())
    leases.release(engine, lease, now=now())
    return cycle


def test_a_run_is_started_once_for_its_key_and_notes_its_own_end(prefect, engine):
    store = RunStore(engine)
    plan = {"tenant": "umbrella", "model": "umbrella-bot"}
    run = store.intend(asked("run-1", RunKind.TUNING_CYCLE, plan=plan), now=now())
    doomed = store.intend(asked("run-2", RunKind.TRAINING_JOB, dataset_id="ds-none"), now=now())

    started = store.start(run, prefect, now=now())
    again = store.start(run, prefect, now=now())  # as after a crash: this intent knows of no start
    store.start(doomed, prefect, now=now())
    ended = wait_for(lambda: ended_run(store, run.id), 180)
    failed = wait_for(lambda: ended_run(store, doomed.id), 180)

    assert started.orchestrator_id == again.orchestrator_id
    assert ended.status is RunStatus.SUCCEEDED
    cycle = CycleStore(engine).get(ended.result_id)
    assert (cycle.tenant, cycle.started_by) == ("umbrella", "user:anna")
    assert store.refresh(started, prefect, now=now()).status is RunStatus.SUCCEEDED
    assert failed.status is RunStatus.FAILED
    assert "ds-none" in failed.message


def test_a_cycle_ends_its_run_to_wait_for_approval_and_a_later_answer_is_told_of_the_first(
    served, prefect, engine
):
    plan = CyclePlan(tenant="initech", model="initech-bot", gate={"requires_approval": True})
    cycle = at_the_gate(engine, served, plan)
    cycles, approvals = CycleStore(engine), ApprovalStore(engine)

    assert served.run("tuning-cycle", plan=plan.model_dump(mode="json"))["type"] == "COMPLETED"
    (approval,) = approvals.page("initech", limit=9)
    assert cycles.get(cycle.id).status is CycleStatus.AWAITING_APPROVAL
    assert (approval.candidate, approval.requested_by) == ("initech-bot@1", "user:anna")

    form, _, _ = wait_for(lambda: open_form(served, approval), 180)

    _, run = approvals.decide(
        approval.id, "approve", tenant="initech", by="user:ben", comment=None, now=now()
    )
    RunStore(engine).start(run, prefect, now=now())
    assert fill_in(served, form, decision="reject", by="carol") == "ACCEPT"
    ended = wait_for(lambda: ended_run(RunStore(engine), run.id), 180)

    assert (ended.status, ended.result_id) == (RunStatus.SUCCEEDED, cycle.id)
    assert cycles.get(cycle.id).status is CycleStatus.IN_CANARY
    canary = CanaryStore(engine).get(f"canary-{cycle.id}")
    assert (canary.candidate, canary.started_by) == ("initech-bot@1", "user:anna")
    late = wait_for(lambda: served.ended(form["id"]), 180)
    assert late["type"] == "FAILED"
    assert "approved by user:ben already; nothing was changed" in late["message"]


def test_a_cycle_waits_until_another_canary_of_its_model_has_ended_and_then_goes_on(served, engine):
    plan = CyclePlan(tenant="tyrell", model="tyrell-bot")
    cycle = at_the_gate(engine, served, plan)
    cycles, canaries = CycleStore(engine), CanaryStore(engine)
    other = {"tenant": "tyrell", "model": "tyrell-bot", "candidate": "tyrell-bot@other"}
    canaries.start("of-another", control="tyrell-bot@0", policy=plan.canary, now=now(), **other)

    assert served.run("tuning-cycle", plan=plan.model_dump(mode="json"))["type"] == "COMPLETED"
    waiting = cycles.get(cycle.id)
    assert (waiting.status, waiting.reasons) == (
        CycleStatus.RUNNING,
        ("canary of-another of tyrell-bot has to end first",),
    )
    assert served.run("reconcile-runs", grace_seconds=0)["type"] == "COMPLETED"
    assert cycles.get(cycle.id).run_id == waiting.run_id

    CanaryActions(engine).abort("of-another", by="user:anna", reason="a test", now=now())
    assert served.run("reconcile-runs", grace_seconds=0)["type"] == "COMPLETED"
    begun = wait_for(lambda: cycles.get(cycle.id).status is CycleStatus.IN_CANARY and cycles.get(cycle.id))
    assert begun.reasons == ()
    assert canaries.get(cycle.canary_id).candidate == "tyrell-bot@1"


def test_a_cycle_whose_stable_version_was_replaced_meanwhile_ends(served, engine):
    plan = CyclePlan(tenant="wallace", model="wallace-bot")
    cycle = at_the_gate(engine, served, plan)
    Registry(engine).point("wallace-bot", STABLE, "wallace-bot@1", reason="by hand", now=now())

    assert served.run("tuning-cycle", plan=plan.model_dump(mode="json"))["type"] == "COMPLETED"
    ended = CycleStore(engine).get(cycle.id)
    assert ended.outcome is CycleOutcome.INCONCLUSIVE
    assert "now points to wallace-bot@1" in ended.reasons[0]


def open_form(served, approval, after=None):
    """The suspended run with the form, as Prefect's UI finds it; its schema and text."""
    (run,) = (one for one in served.runs("await-approval") if one["parameters"]["approval_id"] == approval.id)
    if run["state"]["type"] != "PAUSED" or (after and run["state"]["id"] == after["state"]["id"]):
        return None
    keys = run["state"]["state_details"]["run_input_keyset"]
    schema, text = (
        call(f"{served.url}/flow_runs/{run['id']}/input/{keys[name]}") for name in ("schema", "description")
    )
    return run, schema, text


def fill_in(served, run, **answer):
    url = f"{served.url}/flow_runs/{run['id']}/resume"
    return wait_for(lambda: call(url, {"run_input": answer}), 90)["status"]


def test_an_approval_is_a_typed_form_in_prefect_and_whoever_asked_for_it_cannot_approve_it(
    served, prefect, engine
):
    approvals = ApprovalStore(engine)
    run = approvals.request_run(
        asked("run-form"), model="acme-bot", candidate="acme-bot@1", reasons=("better",), now=now()
    )
    (approval,) = approvals.page("acme", limit=1)
    prefect.start(FORM, {"approval_id": approval.id, "tenant": "acme"}, key=f"form:{approval.id}")

    form, schema, text = wait_for(lambda: open_form(served, approval), 180)
    assert schema["properties"]["decision"]["enum"] == ["approve", "reject"]
    assert set(schema["properties"]) == {"decision", "by", "reason"}
    assert "acme-bot@1" in text
    assert "- better" in text
    assert fill_in(served, form, decision="perhaps", by="ben") == "REJECT"
    assert fill_in(served, form, decision="approve", by="Anna") == "ACCEPT"

    again, _, text = wait_for(lambda: open_form(served, approval, after=form), 180)
    assert "Anna asked for it" in text
    assert approvals.get(approval.id, tenant="acme").state is ApprovalState.PENDING
    assert fill_in(served, again, decision="approve", by="ben", reason="read the samples") == "ACCEPT"

    assert wait_for(lambda: served.ended(again["id"]), 180)["type"] == "COMPLETED"
    decided = approvals.get(approval.id, tenant="acme")
    assert decided.state is ApprovalState.APPROVED
    assert (decided.decided_by, decided.comment) == ("prefect:ben", "read the samples")
    entry = AuditLog(engine).page("acme", limit=1)[0].event
    assert (entry.actor, entry.action, entry.object_id) == ("prefect:ben", "approval.approve", approval.id)
    assert RunStore(engine).get(run.id).orchestrator_id is not None


def test_a_run_is_cancelled_before_and_while_it_runs(prefect, engine):
    store = RunStore(engine)
    unstarted = store.intend(asked("run-3"), now=now())
    started = store.start(store.intend(asked("run-4"), now=now()), prefect, now=now())

    before = store.cancel(unstarted, prefect, by="user:anna", now=now())
    store.cancel(started, prefect, by="user:anna", now=now())

    assert before.status is RunStatus.CANCELLED
    assert store.start(before, prefect, now=now()).orchestrator_id is None
    ended = wait_for(lambda: ended_run(store, started.id, prefect), 180)
    assert ended.status is RunStatus.CANCELLED


def test_an_intent_that_nobody_could_start_is_started_later(prefect, engine):
    store = RunStore(engine)
    run = store.intend(asked("run-5"), now=now())
    with pytest.raises(OrchestratorError, match="does not answer"):
        store.start(run, dead_server(), now=now())
    assert "not started yet" in store.get(run.id).message

    told = start_unstarted(store, prefect, now=now() + timedelta(seconds=5), grace_s=1)

    assert told == {run.id: "queued"}
    assert prefect.read(store.get(run.id).orchestrator_id).status in set(RunStatus)


def test_what_prefect_does_not_know_is_said_with_the_remedy(prefect):
    with pytest.raises(OrchestratorError, match="has no deployment no/such; run `gateway-tuning deploy`"):
        prefect.start("no/such", {}, key="k1")
    with pytest.raises(OrchestratorError, match="refused to start tuning-cycle/tuning-cycle"):
        prefect.start(CYCLE, {"plan": {"model": 7}}, key="k2")
    with pytest.raises(ConfigurationError, match="__prefect_kind"):
        prefect.start(CYCLE, {"plan": {"training": {"hyperparameters": [{"__prefect_kind": "x"}]}}}, key="k3")
    with pytest.raises(NotFoundError, match="knows no run"):
        prefect.read("00000000-0000-4000-8000-000000000000")
    with pytest.raises(OrchestratorError, match="set PREFECT_API_URL"):
        dead_server().check()
    prefect.check()


def test_the_500th_record_starts_one_cycle_and_400_more_start_none(served, thresholds, prefect, add, engine):
    claim_model(engine, "shop-bot", "shop", now=now())  # the default name is of whoever comes first
    watch = ThresholdWatch(thresholds, prefect)
    add("shop", 1, 499)
    watch.touch("shop")
    time.sleep(2)  # longer than the event of the 500th takes
    assert cycles_of(served, "shop") == []

    add("shop", 500, 500)
    started = time.monotonic()
    watch.touch("shop")
    wait_for(lambda: cycles_of(served, "shop"), 90)
    created = time.monotonic() - started
    (cycle,) = wait_for(lambda: [one for one in CycleStore(engine).all() if one.tenant == "shop"], 180)
    print(f"\n500th record to run created: {created:.1f} s; to its cycle: {time.monotonic() - started:.1f} s")  # noqa: T201 - shown with -s

    add("shop", 501, 900)
    watch.touch("shop")
    watch.close()
    time.sleep(3)  # in one and a half the event of the 500th had started its run
    assert len(cycles_of(served, "shop")) == 1
    assert watch.failures == 0
    assert (cycle.model, cycle.started_by) == ("shop-bot", "prefect")
    assert cycle.watermark >= 500


def test_what_a_dead_server_or_a_lost_event_missed_is_caught_by_the_check(
    served, thresholds, prefect, add, engine
):
    for tenant in ("acme", "globex"):
        claim_model(engine, f"{tenant}-bot", tenant, now=now())
        thresholds.set(tenant, f"{tenant}-bot", count=5, hours=None)
    add("acme", 1, 5)
    watch = ThresholdWatch(thresholds, dead_server(), interval_s=0)
    watch.touch("acme")
    watch.close()
    (waiting,) = thresholds.unannounced("acme")
    assert "does not answer" in waiting.error
    assert watch.failures == 1
    add("globex", 1, 5)
    (crossing,) = thresholds.reached("globex", now())
    thresholds.mark_announced(crossing, now() - timedelta(seconds=100))  # and the event never came
    assert cycles_of(served, "acme") == cycles_of(served, "globex") == []

    assert served.run("check-threshold", grace_seconds=60)["type"] == "COMPLETED"

    (run,) = wait_for(lambda: cycles_of(served, "acme"), 90)
    assert run["parameters"]["plan"]["model"] == "acme-bot"
    assert thresholds.unannounced() == []
    (caught,) = cycles_of(served, "globex")
    again = prefect.start(CYCLE, {}, key=f"threshold:globex:globex-bot:{crossing.watermark}")
    assert again.id == caught["id"]
    assert {"globex-bot", "acme-bot"} <= {
        parameters["plan"]["model"]
        for parameters in prefect.under_way(CYCLE, now=now() + timedelta(seconds=1))
    }


def ended_run(store, run_id, prefect=None):
    run = store.get(run_id)
    if prefect is not None:
        run = store.refresh(run, prefect, now=now())
    return run if run.status.is_terminal else None


def test_a_run_that_comes_by_itself_leaves_a_cycle_of_another_plan_alone_and_one_by_hand_says_so(
    served, engine
):
    ours = CyclePlan(model="hooli-bot", tenant="hooli")
    claim_model(engine, ours.model, ours.tenant, now=now())
    Registry(engine).register(
        ModelVersion(
            id="hooli-bot@0",
            tenant="hooli",
            model="hooli-bot",
            base_model="b",
            provider="llama",
            created_at=now(),
        )
    )
    Registry(engine).point(ours.model, STABLE, "hooli-bot@0", reason="a test", now=now())
    cycles = CycleStore(engine)
    cycle = cycles.open(
        tenant="hooli", model="hooli-bot", plan=ours.model_dump(mode="json"), watermark=0,
        incumbent="hooli-bot@0", started_by="user:anna", now=now(),
    )  # fmt: skip
    other = ours.model_copy(update={"recipe": ours.recipe.model_copy(update={"max_records": 7})})
    deployment = served.deployment("tuning-cycle")["id"]

    assert served.run("tuning-cycle", plan=other.model_dump(mode="json"))["type"] == "COMPLETED"
    by_hand = call(
        f"{served.url}/deployments/{deployment}/create_flow_run",
        {"parameters": {"plan": other.model_dump(mode="json")}},
    )
    refused = wait_for(lambda: served.ended(by_hand["id"]), 400)

    assert refused["type"] == "FAILED"
    assert cycle.id in refused["message"]
    assert cycles.get(cycle.id).plan == ours.model_dump(mode="json")
    assert cycles.stages(cycle.id) == {}
    cycles.finish(cycle.id, CycleOutcome.ABANDONED, ("the test is over",), now=now())
