"""What people do to a canary, over the real store."""

from dataclasses import replace
from datetime import timedelta

import pytest
import sqlalchemy as sa

from gateway_tuning.errors import ConflictError, ErasedError, NotFoundError
from gateway_tuning.rollout.actions import CanaryActions
from gateway_tuning.rollout.canary_store import CanaryStore
from gateway_tuning.rollout.judge import judge
from gateway_tuning.runs.approvals import ApprovalState, ApprovalStore
from gateway_tuning.storage.tables import aliases, api_keys, model_versions
from tests.unit.rollout.test_canary_store import POLICY, START, later, pointers, start, traffic

ANNA, BEN, CARA = "user:anna", "user:ben", "user:cara"
ASKS = POLICY.model_copy(update={"approve_before": (1.0,)})


@pytest.fixture(autouse=True)
def _two_versions(engine):
    with engine.begin() as connection:
        for alias, version in (("stable", "v1"), ("candidate", "v2")):
            connection.execute(
                sa.insert(aliases).values(model="m", alias=alias, version_id=version, updated_at=START)
            )


@pytest.fixture
def store(engine):
    return CanaryStore(engine)


@pytest.fixture
def actions(engine):
    return CanaryActions(engine)


def broken(*_):
    raise ZeroDivisionError("no arms")


def ended_inconclusive(engine, store, **policy):
    start(store, policy=POLICY.model_copy(update={"max_seconds": 15, **policy}), started_by=ANNA)
    traffic(engine, canary_likes=0.5, control_likes=0.5, users=10)
    canary, _ = store.tick("c1", now=later(16))
    assert canary.state == "inconclusive"


def test_a_canary_waits_for_a_person_and_is_promoted_once_one_approved(engine, store, actions):
    start(store, policy=ASKS, started_by=ANNA)
    traffic(engine, canary_likes=0.9, control_likes=0.5)
    held, _ = store.tick("c1", now=later())
    assert (held.state, held.reasons[0]) == ("running", "the promotion awaits the approval of a person")

    actions.approve("c1", 1.0, by=BEN, comment="looks good", now=later(21))
    promoted, _ = store.tick("c1", now=later(22))

    assert (promoted.state, promoted.approved_share) == ("promoted", 1.0)
    assert pointers(engine) == {"stable": "v2"}
    assert [(one.action, one.share, one.by, one.comment) for one in actions.all("c1")] == [
        ("approve", 1.0, BEN, "looks good")
    ]


def test_what_it_waits_for_is_listed_with_the_approvals_and_may_be_answered_there(engine, store):
    start(store, policy=ASKS, started_by=ANNA)
    traffic(engine, canary_likes=0.9, control_likes=0.5)
    for second in (20, 21):
        store.tick("c1", now=later(second))
    approvals = ApprovalStore(engine)
    (asked,) = approvals.page("t", limit=9)
    assert (asked.awaited_by, asked.awaited_id, asked.requested_by, asked.candidate) == (
        "canary",
        "c1@1.0",
        ANNA,
        "v2",
    )

    with pytest.raises(ConflictError, match="another administrator"):
        approvals.decide(asked.id, "approve", tenant="t", by=ANNA, comment=None, now=later(22))
    decided, run = approvals.decide(asked.id, "approve", tenant="t", by=BEN, comment=None, now=later(22))

    assert (decided.state, run) == (ApprovalState.APPROVED, None)
    assert store.get("c1").approved_share == 1.0
    assert store.tick("c1", now=later(23))[0].state == "promoted"


def test_rejecting_what_it_waits_for_ends_it(engine, store, actions):
    start(store, policy=ASKS, started_by=ANNA)
    traffic(engine, canary_likes=0.9, control_likes=0.5)
    store.tick("c1", now=later())
    approvals = ApprovalStore(engine)
    (asked,) = approvals.page("t", limit=9)

    approvals.decide(asked.id, "reject", tenant="t", by=BEN, comment="too terse", now=later(21))

    ended = store.get("c1")
    assert (ended.state, ended.share, ended.ended_by) == ("rolled_back", 0.0, BEN)
    assert ended.reasons == ("rejected by user:ben: too terse",)
    assert pointers(engine) == {"stable": "v1"}
    assert [(one.action, one.share) for one in actions.all("c1")] == [("reject", 1.0)]


def test_an_approval_elsewhere_answers_the_one_that_is_listed(engine, store, actions):
    start(store, policy=ASKS, started_by=ANNA)
    traffic(engine, canary_likes=0.9, control_likes=0.5)
    store.tick("c1", now=later())
    actions.approve("c1", 1.0, by=BEN, now=later(21))
    (asked,) = ApprovalStore(engine).page("t", limit=9)
    assert (asked.state, asked.decided_by) == (ApprovalState.APPROVED, BEN)


def test_an_end_withdraws_what_was_asked(engine, store, actions):
    start(store, policy=ASKS, started_by=ANNA)
    traffic(engine, canary_likes=0.9, control_likes=0.5)
    store.tick("c1", now=later())
    actions.abort("c1", by=BEN, reason="complaints", now=later(21))
    (asked,) = ApprovalStore(engine).page("t", limit=9)
    assert asked.state is ApprovalState.WITHDRAWN


def test_whoever_started_it_cannot_approve_it_nor_through_a_key_of_theirs(engine, store, actions):
    with engine.begin() as connection:
        connection.execute(
            sa.insert(api_keys).values(
                id="k1", tenant="t", name="k", secret_sha256="0" * 64, role="admin", created_by=ANNA, created_at=START
            )
        )  # fmt: skip
    start(store, policy=ASKS, started_by=ANNA)
    for by in (ANNA, "key:k1"):
        with pytest.raises(ConflictError, match="cannot alone approve"):
            actions.approve("c1", 1.0, by=by, now=later())
    assert store.get("c1").approved_share == 0.5


def test_only_the_next_share_may_be_approved_and_the_same_twice_is_once(store, actions):
    start(store, policy=ASKS, started_by=ANNA)
    with pytest.raises(ConflictError, match="the next share to approve is 1"):
        actions.approve("c1", 0.5, by=BEN, now=later())
    first = actions.approve("c1", 1.0, by=BEN, now=later())
    assert actions.approve("c1", 1.0, by=BEN, now=later(21)) == first
    assert len(actions.all("c1")) == 1
    with pytest.raises(ConflictError, match="nothing of it has to be approved"):
        actions.approve("c1", 1.0, by=CARA, now=later(22))


@pytest.mark.parametrize("judge_is_broken", [False, True])
def test_an_abort_works_at_any_time_and_with_a_broken_judge(engine, store, actions, judge_is_broken):
    start(store)
    traffic(engine, canary_likes=0.9, control_likes=0.5)
    if judge_is_broken:
        store.tick("c1", now=later(1), judge=broken)
    ended = actions.abort("c1", by=BEN, reason="complaints", now=later(2))
    assert (ended.state, ended.share, ended.finished_at) == ("rolled_back", 0.0, later(2))
    assert ended.reasons == ("aborted by user:ben: complaints",)
    assert pointers(engine) == {"stable": "v1"}
    assert store.tick("c1", now=later(30))[0] == ended
    assert actions.abort("c1", by=BEN, reason="again", now=later(31)) == ended
    with pytest.raises(ConflictError, match="has ended rolled_back by user:ben"):
        actions.abort("c1", by=CARA, reason="me too", now=later(32))


def test_an_abort_while_a_look_is_taken_wins(engine, store, actions):
    from gateway_tuning.rollout.judge import judge

    def abort_and_judge(*arguments):
        actions.abort("c1", by=BEN, reason="stop", now=later(19))
        return judge(*arguments)

    start(store)
    traffic(engine, canary_likes=0.9, control_likes=0.5)
    canary, look = store.tick("c1", now=later(), judge=abort_and_judge)
    assert (canary.state, look) == ("rolled_back", None)
    assert pointers(engine) == {"stable": "v1"}


def test_an_override_needs_two_people_neither_of_whom_started_it(engine, store, actions):
    start(store, started_by=ANNA)
    traffic(engine, canary_likes=0.55, control_likes=0.5, users=25)
    with pytest.raises(ConflictError, match="started canary c1 and cannot override it"):
        actions.override("c1", 1.0, by=ANNA, now=later())
    for _ in range(2):
        actions.override("c1", 1.0, by=BEN, comment="users love it", now=later())
    assert store.tick("c1", now=later())[0].state == "running"

    actions.override("c1", 1.0, by=CARA, now=later(21))
    promoted, look = store.tick("c1", now=later(22))

    assert (promoted.state, promoted.ended_by) == ("promoted", "user:ben and user:cara")
    assert look.decision == "promote"
    assert "overrode what was missing" in look.reasons[0]
    assert [one.by for one in actions.all("c1")] == [BEN, CARA]


def test_no_two_people_override_harm(engine, store, actions):
    start(store, started_by=ANNA)
    traffic(engine, canary_likes=0.2, control_likes=0.8)
    for by in (BEN, CARA):
        actions.override("c1", 1.0, by=by, now=later())
    assert store.tick("c1", now=later(21))[0].state == "rolled_back"
    with pytest.raises(ConflictError, match="no override goes over that"):
        actions.override("c1", 1.0, by="user:dora", now=later(22))


def test_an_inconclusive_canary_is_promoted_by_two_people(engine, store, actions):
    ended_inconclusive(engine, store)
    waiting = actions.override("c1", 1.0, by=BEN, now=later(30))
    assert (waiting.state, pointers(engine)) == ("inconclusive", {"stable": "v1"})
    promoted = actions.override("c1", 1.0, by=CARA, now=later(31))
    assert (promoted.state, promoted.share, promoted.ended_by) == ("promoted", 0.0, "user:ben and user:cara")
    assert pointers(engine) == {"stable": "v2"}


def of_another_plan(statistics, policy, plan):
    """A judge that says nothing of one metric, and of another that the policy does not know."""
    found = judge(statistics, policy, plan)
    first, *others = found.results
    return replace(found, results=(replace(first, name="happiness"), *others))


@pytest.mark.parametrize(
    "case",
    [
        (10, broken, "the judge failed"),
        (10, of_another_plan, "the judge said nothing of error_rate"),
        (0, judge, "no outcome of the canary"),
    ],
    ids=["a judge that failed", "a judge of another plan", "no outcomes"],
)
def test_an_inconclusive_canary_whose_findings_are_worth_nothing_is_promoted_by_nobody(
    engine, store, actions, case
):
    users, judged, told = case
    start(store, policy=POLICY.model_copy(update={"max_seconds": 15}), started_by=ANNA)
    if users:
        traffic(engine, canary_likes=0.5, control_likes=0.5, users=users)
    canary, _ = store.tick("c1", now=later(16), judge=judged)

    for person in (BEN, CARA):
        with pytest.raises(ConflictError, match=f"ended without findings.*{told}"):
            actions.override("c1", 1.0, by=person, now=later(30))

    assert (canary.state, store.get("c1").state) == ("inconclusive", "inconclusive")
    assert pointers(engine) == {"stable": "v1"}


def test_an_inconclusive_canary_with_a_new_stable_stays_as_it_is(engine, store, actions):
    ended_inconclusive(engine, store)
    actions.override("c1", 1.0, by=BEN, now=later(61))
    with engine.begin() as connection:
        connection.execute(sa.update(aliases).where(aliases.c.alias == "stable").values(version_id="v9"))
    with pytest.raises(ConflictError, match="nothing was changed"):
        actions.override("c1", 1.0, by=CARA, now=later(62))
    assert store.get("c1").state == "inconclusive"
    assert len(actions.all("c1")) == 1


def test_no_override_of_a_candidate_that_holds_an_erased_person(engine, store, actions):
    with engine.begin() as connection:
        connection.execute(
            sa.insert(model_versions).values(
                id="v2", tenant="t", model="m", base_model="b", job_key="k", provider="llama",
                files={}, metrics={}, hyperparameters={}, created_at=START,
            )
        )  # fmt: skip
    ended_inconclusive(engine, store)
    with engine.begin() as connection:
        connection.execute(sa.update(model_versions).values(holds_erased_since=START))
    with pytest.raises(ErasedError):
        actions.override("c1", 1.0, by=BEN, now=later(30))


def test_what_is_told_along_is_in_the_same_transaction_and_only_where_something_changed(store, actions):
    start(store, policy=ASKS, started_by=ANNA)

    def refuse(_connection):
        raise RuntimeError("the audit log is full")

    with pytest.raises(RuntimeError):
        actions.abort("c1", by=BEN, reason="stop", now=later(), also=refuse)
    assert store.get("c1").state == "running"
    actions.approve("c1", 1.0, by=BEN, now=later())
    actions.approve("c1", 1.0, by=BEN, now=later(), also=refuse)  # changes nothing, so tells nothing


def test_an_unknown_canary_is_named(actions):
    for act in (
        lambda: actions.approve("c404", 0.5, by=BEN, now=START),
        lambda: actions.abort("c404", by=BEN, reason="x", now=START),
        lambda: actions.override("c404", 0.5, by=BEN, now=START + timedelta(seconds=1)),
    ):
        with pytest.raises(NotFoundError, match="c404"):
            act()
