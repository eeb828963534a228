"""A tenant in the middle of things, for pages to show: feedback of two weeks, a cycle with users, money spent."""

import hashlib
from datetime import timedelta
from decimal import Decimal

import sqlalchemy as sa

from gateway_tuning.cycles.cycle import StageResult
from gateway_tuning.cycles.store import CycleStore
from gateway_tuning.feedback.quarantine import QuarantineEntry
from gateway_tuning.feedback.record import FeedbackRecord
from gateway_tuning.feedback.store import FeedbackStore
from gateway_tuning.notices.notice import Kind, Notice, Severity, notice_id
from gateway_tuning.notices.store import NoticeStore
from gateway_tuning.registry.model_version import ModelVersion
from gateway_tuning.registry.store import Registry
from gateway_tuning.rollout.canary_store import CanaryStore
from gateway_tuning.rollout.policy import CanaryPolicy
from gateway_tuning.storage import leases
from gateway_tuning.storage.tables import approvals, canaries, cost_entries, cost_reservations
from gateway_tuning.training.cost.budgets import BudgetStore
from gateway_tuning.training.cost.limits import Budget

TYPES = ("thumbs_up", "thumbs_up", "thumbs_down", "correction", "text")
WRITTEN = "my parcel for Ada Lovelace"


def fill(engine, now, tenant="default", model="assistant"):
    add_feedback(engine, now, tenant)
    stable, candidate = add_versions(engine, now, tenant, model)
    add_cycle(engine, now, tenant, model, (stable, candidate))
    add_costs(engine, now, tenant)
    add_notices(engine, now, tenant)


def add_feedback(engine, now, tenant):
    """75 records in 14 days; three set aside: one that may be accepted, one that cannot, one that nobody can read."""
    records = [
        FeedbackRecord(
            id=f"fb-{number:03d}",
            tenant=tenant,
            type=TYPES[number % len(TYPES)],
            prompt=f"Where is order {number}?",
            response="On its way.",
            corrected_response="It arrives on Friday."
            if TYPES[number % len(TYPES)] == "correction"
            else None,
            comment="Too short." if TYPES[number % len(TYPES)] == "text" else None,
            timestamp=now - timedelta(hours=4.2 * number + 0.1),
        )
        for number in range(75)
    ]
    store = FeedbackStore(engine)
    store.add(records, now)
    crowd = QuarantineEntry(
        tenant, "trust", "build", "group 7", ("Many alike: ten of one source",), None, "fb-003"
    )
    store.add_quarantine([crowd], now - timedelta(hours=2))
    empty = QuarantineEntry(
        tenant,
        "validation",
        "api",
        "element 3",
        ("Original prompt cannot be empty: ''",),
        f'{{"prompt": "", "comment": "{WRITTEN}"}}',
    )
    unread = QuarantineEntry(tenant, "reading", "march.jsonl", "line 17", ("Not JSON: {",), '"{"')
    store.add_quarantine([empty, unread], now - timedelta(days=1))
    return crowd, empty, unread


def add_versions(engine, now, tenant, model):
    registry = Registry(engine)
    for number, days in (("1", 20), ("2", 1)):
        registry.register(
            ModelVersion(
                id=f"{model}@{number}",
                tenant=tenant,
                model=model,
                base_model="SmolLM2-135M-Instruct",
                provider="llama",
                created_at=now - timedelta(days=days),
            )
        )
    registry.point(model, "stable", f"{model}@1", reason="first", now=now - timedelta(days=20))
    return f"{model}@1", f"{model}@2"


def add_cycle(engine, now, tenant, model, versions):
    """In its canary, at 5% of users, which asks an administrator for more."""
    stable, candidate = versions
    store = CycleStore(engine)
    begun = now - timedelta(hours=5)
    cycle = store.open(
        tenant=tenant,
        model=model,
        plan={},
        watermark=60,
        incumbent=stable,
        started_by="key:starter",
        now=begun,
    )
    canary_id = f"canary-{cycle.id}"
    lease = leases.acquire(engine, cycle.lease_name, owner="tests", now=begun, seconds=36_000)
    made = {
        "dataset": ("ds-owned", 12.0),
        "train": (candidate, 641.0),
        "evaluate": ("eval-owned", 80.0),
        "drift": ("drift-owned", 9.0),
        "gate": ("pass", 0.1),
        "canary": (canary_id, 0.2),
    }
    for hours, (name, (object_id, seconds)) in enumerate(made.items()):
        detail = {"reasons": ["better than +0.000: similarity +0.081"]} if name == "gate" else {}
        store.record_stage(
            cycle.id,
            name,
            StageResult(id=object_id, detail=detail),
            seconds=seconds,
            lease=lease,
            now=begun + timedelta(minutes=20 * hours),
        )
    policy = CanaryPolicy(stages=(0.05, 0.25), approve_before=(0.25,))
    CanaryStore(engine).start(
        canary_id, tenant=tenant, model=model, candidate=candidate, control=stable, policy=policy, now=begun
    )
    with engine.begin() as connection:
        connection.execute(
            sa.update(canaries)
            .where(canaries.c.id == canary_id)
            .values(share=0.05, approved_share=0.05, looks=7)
        )
        connection.execute(
            approvals.insert().values(
                id=f"approval-{tenant}",
                tenant=tenant,
                model=model,
                candidate=candidate,
                awaited_by="canary",
                awaited_id=f"{canary_id}@0.25",
                requested_by="key:starter",
                reasons=["no harm found at a share of 0.05"],
                state="pending",
                created_at=now - timedelta(minutes=30),
            )
        )
    store.enter_canary(cycle.id)
    return cycle.id


def add_costs(engine, now, tenant):
    """This month 42 of 50 USD, and one job of which nobody knows what it cost."""
    BudgetStore(engine).set(tenant, Budget("USD", Decimal(20), Decimal(50)), by="cli:tests", now=now)
    months = [f"{now:%Y-%m}", f"{now.replace(day=1) - timedelta(days=1):%Y-%m}"]
    jobs = [("settled", months[0], "30.50"), ("reserved", months[0], "11.50"), ("settled", months[0], None)]
    jobs += [("settled", months[1], "17.20")]
    with engine.begin() as connection:
        for number, (state, month, amount) in enumerate(jobs):
            key = hashlib.sha256(f"{tenant}{number}".encode()).hexdigest()
            connection.execute(
                cost_reservations.insert().values(
                    job_key=key,
                    tenant=tenant,
                    month=month,
                    provider="openai",
                    base_model="gpt-4.1-nano-2025-04-14",
                    method="supervised",
                    state=state,
                    currency="USD",
                    expected=amount,
                    ceiling=amount,
                    actual=amount if state == "settled" else None,
                    confidence="high",
                    detail={},
                    created_at=now - timedelta(hours=number),
                )
            )
            if state == "settled":
                connection.execute(
                    cost_entries.insert().values(
                        id=key,
                        tenant=tenant,
                        purpose="training",
                        object_id=key,
                        provider="openai",
                        amount=amount,
                        currency="USD" if amount else None,
                        usage={"tokens": 81234.0},
                        note="12.2 million tokens at 2.5 USD"
                        if amount
                        else "the price of openai is not known",
                        created_at=now - timedelta(hours=number),
                    )
                )


def add_notices(engine, now, tenant):
    store = NoticeStore(engine, {"webhook": Severity.WARNING})
    told = [
        (Kind.GATE, Severity.INFORMATION, "Gate of assistant: pass", "0a1b2c3d4e5f6071"),
        (Kind.COST, Severity.WARNING, "84% of the budget of this month is spent", None),
        (
            Kind.FAILURE,
            Severity.ALARM,
            "tuning-cycle: the run crashed",
            "4f2e9d1f-0000-0000-0000-000000000000",
        ),
    ]
    for hours, (kind, severity, subject, object_id) in enumerate(told):
        notice = Notice(
            notice_id(tenant, subject),
            tenant,
            kind,
            severity,
            subject,
            f"{subject}.\n\nIts page says more.",
            object_id,
        )
        store.add([notice], now - timedelta(hours=hours))
    failed = next(one for one in store.due(now, limit=10) if one.notice.kind is Kind.COST)
    store.claim(failed, now)
    store.failed(failed, "the webhook answered 503", now)
