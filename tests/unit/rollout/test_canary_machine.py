"""Any schedule of looks, crashes, outages, clock jumps, people and changes, over the real store.

What may be served is kept beside the store by rules of its own, and compared after every step.
"""

import shutil
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from sqlalchemy import event

from gateway_tuning.errors import ConflictError
from gateway_tuning.registry.endpoint import Endpoint
from gateway_tuning.registry.store import Registry
from gateway_tuning.rollout.actions import CanaryActions
from gateway_tuning.rollout.assignment import arm, bucket
from gateway_tuning.rollout.canary_store import CanaryStore
from gateway_tuning.rollout.judge import MetricResult, Verdict, metrics
from gateway_tuning.rollout.outcomes import Outcome, OutcomeStore
from gateway_tuning.rollout.policy import CanaryPolicy
from gateway_tuning.storage.database import open_database
from gateway_tuning.storage.tables import aliases
from gateway_tuning.storage.tables.columns import metadata

BEGINNING = datetime(2026, 1, 1, tzinfo=UTC)
PEOPLE = ("user:anna", "user:ben", "user:cara")
USERS = tuple(f"user:{number}" for number in range(60))
MAX_SECONDS, STALE_SECONDS = 3600, 120

policies = st.builds(
    lambda stages, named, stage_seconds, stage_max: CanaryPolicy(
        stages=stages,
        approve_before=tuple(share for share in named if share in (*stages, 1.0)),
        stage_seconds=stage_seconds,
        stage_max_seconds=stage_max,
        max_seconds=MAX_SECONDS,
        stale_seconds=STALE_SECONDS,
        min_users=20,
        metrics_to_monitor=("error_rate", "latency"),
    ),
    st.sampled_from([(0.1, 0.5), (0.5,), (0.05, 0.1, 0.3)]),
    st.lists(st.sampled_from([0.05, 0.1, 0.3, 0.5, 1.0]), unique=True, max_size=3),
    st.sampled_from([0, 30]),
    st.sampled_from([None, 900]),
)
BAD = ("harmed", "no data", "unknown", "half", "unbalanced", "doubtful", "few", "fails")
seen = st.sampled_from([*["good"] * 8, *["open"] * 8, *BAD])
pauses = st.sampled_from([1, *[31] * 8, 61, 61, 130, 1000, 4000])
arms = st.sampled_from([*[(True, True)] * 6, (True, False), (False, True), (False, False)])
jumps = st.sampled_from([-100_000, -4000, -200, -31, 31, 200, 4000, 100_000])
people = st.sampled_from(PEOPLE)


class CrashError(Exception):
    """The process is gone: whatever was not committed never happened."""


class CanaryMachine(RuleBasedStateMachine):
    crashes = is_out = False
    engine: sa.Engine

    @initialize()
    def begin(self):
        with self.engine.begin() as connection:
            for table in reversed(metadata.sorted_tables):
                connection.execute(sa.delete(table))
        event.listen(self.engine, "commit", self._crash)
        event.listen(self.engine, "begin", self._fail)
        self.crashes = self.is_out = False
        self.now, self.stable, self.count, self.answers = BEGINNING, "v0", 0, 0
        with self.engine.begin() as connection:
            connection.execute(
                sa.insert(aliases).values(model="m", alias="stable", version_id="v0", updated_at=self.now)
            )
        self.store, self.actions = CanaryStore(self.engine), CanaryActions(self.engine)
        self.allowed: dict[str, float | None] = {}  # the highest share, None for all
        self.said: dict[tuple[str, float], set[str]] = {}  # who overrode what
        self.voided: dict[str, float] = {}  # what was served when the configuration changed
        self.arms: dict[str, dict[str, set[str]]] = {}
        self.ended: dict[str, str] = {}

    def teardown(self):
        """Whatever happened: in the end the clock goes on, and every canary comes to its end."""
        if not hasattr(self, "store"):
            return
        for canary in self.store.running():
            last = max(canary.started_at, canary.last_look_at or canary.started_at)
            self._tick(canary.id, "fails", at=last + timedelta(seconds=MAX_SECONDS + 1))
            assert self.store.get(canary.id).state in {"inconclusive", "invalid", "rolled_back"}
        self.served_is_what_may_be_served()
        event.remove(self.engine, "commit", self._crash)
        event.remove(self.engine, "begin", self._fail)

    def _crash(self, _connection):
        if self.crashes:
            raise CrashError

    def _fail(self, _connection):
        if self.is_out:
            raise sa.exc.OperationalError("BEGIN", {}, Exception("the store is away"))

    @property
    def running(self):
        return self.store.running("m")

    @rule(policy=policies, supersede=st.booleans(), by=people, crashes=st.booleans())
    def start(self, policy, supersede, by, crashes):
        running, self.count = self.running, self.count + 1
        new = f"c{self.count}"
        self.crashes = crashes
        try:
            self.store.start(
                new, tenant="t", model="m", candidate=f"v{self.count}", control=self.stable, policy=policy,
                now=self.now, started_by=by, supersede=supersede,
            )  # fmt: skip
        except CrashError:
            assert self.store.running("m") == running
            return
        except ConflictError:
            assert running
            assert not supersede
            return
        finally:
            self.crashes = False
        self.allowed[new] = self._up_to(policy, 0.0) if policy.approve_before else None
        for old in running:
            assert self.store.get(old.id).state == "superseded"

    @rule(looks=st.lists(st.tuples(seen, pauses, arms), min_size=1, max_size=6))
    def look(self, looks):
        for verdict, pause, (canary, control) in looks:
            self.now += timedelta(seconds=pause)
            self._answer(canary=canary, control=control)
            for one in self.running:
                self._tick(one.id, verdict)
                in_time = self.now >= (one.last_look_at or one.started_at)
                if in_time and self.now - one.started_at > timedelta(seconds=MAX_SECONDS):
                    assert self.store.get(one.id).state != "running"

    @rule(pauses=st.lists(pauses, min_size=1, max_size=4))
    def look_at_good_traffic(self, pauses):
        """Often enough that canaries come far."""
        self.look([("good", pause, (True, True)) for pause in pauses])

    @precondition(lambda self: self.running)
    @rule(first=seen, second=seen, pause=pauses)
    def two_look_at_once(self, first, second, pause):
        self.now += timedelta(seconds=pause)
        self._answer(canary=True, control=True)
        (one,) = self.running

        def slower(*arguments):
            self._tick(one.id, second)
            return self._judge(first)(*arguments)

        self._tick(one.id, judge=slower)
        assert self.store.get(one.id).looks == one.looks + 1

    @precondition(lambda self: self.running)
    @rule(verdict=seen)
    def a_look_crashes_before_it_is_kept(self, verdict):
        (one,) = self.running
        self._answer(canary=True, control=True)
        self.crashes = True
        with pytest.raises(CrashError):
            self._tick(one.id, verdict)
        self.crashes = False
        assert self.store.get(one.id) == one

    @precondition(lambda self: self.running)
    @rule()
    def the_store_is_away(self):
        (one,) = self.running
        self.is_out = True
        with pytest.raises(sa.exc.OperationalError):
            self._tick(one.id, "good")
        with pytest.raises(sa.exc.OperationalError):
            self.actions.abort(one.id, by=PEOPLE[0], reason="stop", now=self.now)
        self.is_out = False
        assert self.store.get(one.id) == one

    @rule(seconds=jumps)
    def the_clock_jumps(self, seconds):
        self.now += timedelta(seconds=seconds)

    @precondition(lambda self: self.running)
    @rule(by=people)
    def approve(self, by):
        (one,) = self.running
        share = one.unapproved_share or 1.0
        try:
            self.actions.approve(one.id, share, by=by, now=self.now)
        except ConflictError:
            assert by == one.started_by or one.unapproved_share is None
            return
        if one.unapproved_share is not None:
            assert by != one.started_by
            self.allowed[one.id] = self._up_to(one.policy, share)

    @rule(by=people)
    def override(self, by):
        for canary_id in self.allowed:
            one = self.store.get(canary_id)
            share = one.next_share if one.state == "running" else 1.0
            try:
                self.actions.override(canary_id, share, by=by, now=self.now)
            except ConflictError:
                continue
            assert by != one.started_by
            self.said.setdefault((canary_id, share), set()).add(by)

    @precondition(lambda self: self.running)
    @rule(by=people, rejects=st.booleans(), patience=st.integers(0, 3))
    def stop(self, by, rejects, patience):
        if patience:
            return
        (one,) = self.running
        if rejects:
            self.actions.reject(one.id, by=by, now=self.now)
        else:
            self.actions.abort(one.id, by=by, reason="complaints", now=self.now)
        assert self.store.get(one.id).state == "rolled_back"

    @precondition(lambda self: self.running)
    @rule(of_candidate=st.booleans(), patience=st.integers(0, 1))
    def the_configuration_changes(self, of_candidate, patience):
        if patience:
            return
        (one,) = self.running
        version = one.candidate if of_candidate else one.control
        registry = Registry(self.engine)
        known = registry.endpoint_changes(version)
        registry.set_endpoint(version, Endpoint(f"http://{len(known)}/v1", version), now=self.now)
        if known:  # the first time is no change
            self.voided.setdefault(one.id, one.share)

    @rule(patience=st.integers(0, 3))
    def somebody_points_stable_elsewhere(self, patience):
        if patience:
            return
        self.count += 1
        self.stable = f"v{self.count}"
        with self.engine.begin() as connection:
            connection.execute(sa.update(aliases).values(version_id=self.stable))
        for one in self.running:
            self.voided.setdefault(one.id, one.share)

    def _tick(self, canary_id, verdict=None, *, judge=None, at=None):
        before = self.store.get(canary_id)
        self.store.tick(canary_id, now=at or self.now, judge=judge or self._judge(verdict))
        after = self.store.get(canary_id)
        if after.state == "promoted" and before.state != "promoted":
            assert before.id not in self.voided
            self._assert_proven(after)
        if before.state == "running" and before.id in self.voided and after.looks > before.looks:
            assert after.state == "invalid"

    def _assert_proven(self, canary):
        last = self.store.looks(canary.id)[-1].verdict
        statuses = {result["name"]: result["status"] for result in last["results"]}
        assert set(statuses) == {metric.name for metric in metrics(canary.policy)}
        assert "harmed" not in statuses.values()
        assert last["balanced"]
        proven = set(statuses.values()) == {"non_inferior"}
        proven = proven and not last["holds"] and last["canary_users"] >= canary.policy.min_users
        assert proven or len(self.said.get((canary.id, 1.0), set())) > 1

    def _answer(self, *, canary, control):
        batch = []
        for one in self.running:
            for name, is_there in (("canary", canary), ("control", control)):
                self.answers += 1
                if is_there:
                    batch.append(
                        Outcome(
                            f"a{self.answers}",
                            "m",
                            one.id,
                            name,
                            "v",
                            f"{name}-{self.answers}",
                            self.now,
                            9.0,
                        )
                    )
        OutcomeStore(self.engine).write(batch)

    def _judge(self, verdict):
        def judge(_statistics, policy, plan):
            if verdict == "fails":
                raise ZeroDivisionError("no arms")
            status = {"open": "undecided", "no data": "no_data"}.get(verdict, "non_inferior")
            names = [metric.name for metric in plan]
            if verdict == "unknown":
                names[0] = "happiness"
            results = [MetricResult(name, "guardrail", status, 0.1, 0.3, 50, 50) for name in names]
            if verdict == "harmed":
                results[-1] = MetricResult(names[-1], "guardrail", "harmed", 0.1, 0.3, 50, 50)
            users = policy.min_users - 1 if verdict == "few" else 50
            return Verdict(
                results=tuple(results[1:] if verdict == "half" else results),
                canary_users=users,
                control_users=users,
                balanced=verdict != "unbalanced",
                score=1.0,
                simulated_requests=0,
                reasons=("figures",),
                holds=("not comparable",) if verdict == "doubtful" else (),
            )

        return judge

    @staticmethod
    def _up_to(policy, share):
        """Approved is what no named share stands before."""
        return max(
            (
                one
                for one in (*policy.stages, 1.0)
                if not any(share < named <= one for named in policy.approve_before)
            ),
            default=0.0,
        )

    @invariant()
    def served_is_what_may_be_served(self):
        known = [self.store.get(canary_id) for canary_id in self.allowed]
        assert sum(one.state == "running" for one in known) <= 1
        for one in known:
            self._is_allowed(one)
            self._ended_for_ever(one)
            assert [look.look for look in self.store.looks(one.id)] == list(range(1, one.looks + 1))
            if one.state == "running":
                self._nobody_changes_arms(one)
        with self.engine.connect() as connection:
            assert connection.execute(sa.select(aliases.c.version_id)).scalar_one() == self.stable

    def _is_allowed(self, one):
        if one.id in self.voided:
            assert one.share <= self.voided[one.id]
        most = self.allowed[one.id]
        two_said = [share for (id_, share), by in self.said.items() if id_ == one.id and len(by) > 1]
        if most is not None:
            assert one.share <= max([most, *two_said])

    def _ended_for_ever(self, one):
        if one.state == "running":
            assert one.id not in self.ended
            return
        assert one.share == 0.0
        before = self.ended.setdefault(one.id, one.state)
        if one.state == "promoted" and (before == "inconclusive" or one.id not in self._promoted):
            self._promoted.add(one.id)
            self.stable = one.candidate
            self.ended[one.id] = "promoted"
            self._assert_proven(one)
        assert self.ended[one.id] == one.state

    @property
    def _promoted(self):
        return self.__dict__.setdefault("promoted", set())

    def _nobody_changes_arms(self, one):
        arms = self.arms.setdefault(one.id, {})
        for user in USERS:
            arms.setdefault(user, set()).add(arm(bucket(one.salt, one.id, user), one.share))
            assert not {"canary", "control"} <= arms[user]


@pytest.fixture(scope="module", autouse=True)
def _engine(tmp_path_factory, migrated_sqlite):
    """One store for all schedules, emptied for each: opening one takes longer than a schedule."""
    path = tmp_path_factory.mktemp("machine") / "store.db"
    shutil.copyfile(migrated_sqlite, path)
    CanaryMachine.engine = open_database(f"sqlite:///{path}")
    event.listen(CanaryMachine.engine, "connect", lambda raw, _: raw.execute("PRAGMA synchronous=OFF"))
    CanaryMachine.engine.dispose()
    yield
    CanaryMachine.engine.dispose()


TestCanaryMachine = pytest.mark.slow(CanaryMachine.TestCase)
TestCanaryMachine.settings = settings(stateful_step_count=30)
