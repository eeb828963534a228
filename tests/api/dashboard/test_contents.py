"""What pages say, and what their forms do."""

import re
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from gateway_tuning.access.permissions import Role
from gateway_tuning.feedback.quarantine import QuarantineEntry
from gateway_tuning.feedback.reviews import Decision, Reviews
from gateway_tuning.feedback.store import FeedbackStore
from gateway_tuning.storage.tables import approvals, audit_entries, canaries, cost_reservations
from tests.api.dashboard.conftest import HOME
from tests.api.dashboard.test_pages import token_of
from tests.dashboard_world import WRITTEN, add_costs, add_cycle, add_feedback, add_notices, add_versions
from tests.orchestrator import MemoryOrchestrator


@pytest.fixture
def orchestrator():
    return MemoryOrchestrator()


@pytest.fixture
def now():
    return datetime.now(UTC)


def text_of(page):
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page.text))


def rows_of(page):
    return [
        re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", row)).strip()
        for row in re.findall(r"<tr>(.*?)</tr>", page.text.partition("<tbody>")[2], re.DOTALL)
    ]


def set_canary_running(services, now):
    versions = add_versions(services.engine, now, "default", "assistant")
    return add_cycle(services.engine, now, "default", "assistant", versions)


def actions(engine):
    query = sa.select(audit_entries.c.action, audit_entries.c.object_id, audit_entries.c.outcome)
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(query.order_by(audit_entries.c.sequence))]


def test_an_empty_tenant_is_told_what_comes_next_and_never_zero_of_nothing(signed_in):
    page = text_of(signed_in().get(HOME))

    assert "None in 14 days" in page
    assert "assistant: 0 of 500 new records within 24 h begin a cycle" in page
    assert "Enough new feedback begins one" in page
    assert "0.00 USD no budget is set" in page


def test_the_overview_shows_the_loop(signed_in, services, now):
    add_feedback(services.engine, now, "default")
    cycle_id = set_canary_running(services, now)
    add_costs(services.engine, now, "default")

    page = text_of(signed_in().get(HOME))

    assert "assistant@2 awaits approval" in page
    assert "2 records set aside to review" in page
    assert "75 in 14 days" in page
    assert "15 of 500 new records" in page
    assert f"assistant, {cycle_id}" in page
    assert "train 10 min 41 s done" in page
    assert "canary with users under way" in page
    assert "assistant@2 : 5.0% of users, 7 looks" in page
    assert "42.00 USD of 50.00 USD" in page
    assert "Of 1 more the cost is not known" in page


def test_a_viewer_is_not_told_of_what_only_others_may_decide(signed_in, services, now):
    add_feedback(services.engine, now, "default")
    set_canary_running(services, now)

    page = text_of(signed_in(Role.MODEL_VIEWER).get(HOME))

    assert "awaits approval" not in page
    assert "to review" not in page


def test_a_reached_threshold_is_told_as_reached(start_server, services, signed_in, now):
    add_feedback(services.engine, now, "default")
    add_versions(services.engine, now, "default", "assistant")
    services.threshold_watch.touch("default")
    with services.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE models SET feedback_threshold = 60")

    assert "assistant: enough new feedback for a cycle (60)" in text_of(signed_in().get(HOME))


def test_feedback_is_listed_newest_first_in_pages(signed_in, services, now):
    add_feedback(services.engine, now, "default")
    visitor = signed_in()

    seen, address = [], f"{HOME}/feedback"
    while address:
        page = visitor.get(address)
        seen += re.findall(r"/records/(fb-\d+)", page.text)
        following = re.search(r'rel="next" href="([^"]+)"', page.text)
        address = following and following[1].replace("&amp;", "&")

    assert seen == [f"fb-{number:03d}" for number in reversed(range(75))]


def test_a_record_is_found_by_its_id_with_what_became_of_it(signed_in, services, now):
    add_feedback(services.engine, now, "default")

    page = signed_in().get(f"{HOME}/feedback/find", params={"id": " fb-003 "}, follow_redirects=True)

    assert page.status_code == 200
    assert "correction" in text_of(page)
    assert "trust" in text_of(page)
    assert "arrives on Friday" not in page.text


def test_a_record_that_nobody_sent_is_not_found(signed_in):
    assert signed_in().get(f"{HOME}/feedback/records/fb-000").status_code == 404


def test_the_queue_of_reviews_holds_what_a_person_may_decide(signed_in, services, now):
    add_feedback(services.engine, now, "default")
    visitor = signed_in(Role.MODEL_MANAGER)

    waiting = rows_of(visitor.get(f"{HOME}/quarantine"))
    everything = rows_of(visitor.get(f"{HOME}/quarantine?state=all"))

    assert [row.split()[0] for row in waiting] == [everything[1].split()[0], "fb-003"]
    assert "Many alike" in waiting[1]
    assert "to review" in waiting[1]
    assert "cannot be accepted" in everything[0]
    assert len(everything) == 3
    assert len(rows_of(visitor.get(f"{HOME}/quarantine?state=all&stage=reading"))) == 1


@pytest.mark.parametrize("decision", ["accepted", "rejected"])
def test_a_manager_decides_on_a_record_with_a_reason(signed_in, services, now, decision):
    crowd, *_ = add_feedback(services.engine, now, "default")
    visitor = signed_in(Role.MODEL_MANAGER)
    address = f"{HOME}/quarantine/{crowd.fingerprint}"

    answer = visitor.send(
        visitor.get(address), address, decision=decision, reason="ten colleagues of one shop"
    )

    after = text_of(visitor.get(answer.headers["location"]))
    review = Reviews(services.engine).latest("default", [crowd.fingerprint])[crowd.fingerprint]
    assert review.decision is Decision(decision)
    assert review.reason == "ten colleagues of one shop"
    assert f"{decision.capitalize()}." in after
    assert "ten colleagues of one shop" in after
    assert [row.split()[0] for row in rows_of(visitor.get(f"{HOME}/quarantine?state={decision}"))] == [
        "fb-003"
    ]
    assert "fb-003" not in visitor.get(f"{HOME}/quarantine").text


def test_what_cannot_be_accepted_offers_no_such_button_and_a_forged_form_is_refused(signed_in, services, now):
    _, empty, unread = add_feedback(services.engine, now, "default")
    visitor = signed_in()

    for entry in (empty, unread):
        address = f"{HOME}/quarantine/{entry.fingerprint}"
        page = visitor.get(address)
        assert ">Accept</button>" not in page.text
        assert "It cannot be accepted" in page.text
        answer = visitor.send(page, address, decision="accepted", reason="I want it")
        assert answer.status_code == 409
        assert "cannot be accepted" in answer.text
    assert Reviews(services.engine).latest("default", [empty.fingerprint, unread.fingerprint]) == {}


@pytest.mark.parametrize("reason", ["", "   ", "x" * 1001])
def test_a_decision_needs_a_reason(signed_in, services, now, reason):
    crowd, *_ = add_feedback(services.engine, now, "default")
    visitor = signed_in()
    address = f"{HOME}/quarantine/{crowd.fingerprint}"

    answer = visitor.send(visitor.get(address), address, decision="accepted", reason=reason)

    assert answer.status_code == 422
    assert "Give a reason" in answer.text
    assert Reviews(services.engine).history("default", crowd.fingerprint) == []


def test_a_viewer_cannot_decide_and_the_attempt_is_audited(signed_in, services, now):
    crowd, *_ = add_feedback(services.engine, now, "default")
    visitor = signed_in(Role.MODEL_VIEWER)
    address = f"{HOME}/quarantine/{crowd.fingerprint}"
    data = {"form_token": token_of(visitor), "decision": "accepted", "reason": "because"}

    answer = visitor.client.post(address, data=data)

    assert answer.status_code == 403
    assert Reviews(services.engine).history("default", crowd.fingerprint) == []
    assert actions(services.engine)[-1] == ("access", f"POST {HOME}/quarantine/{{fingerprint}}", "denied")


def test_reading_what_a_user_wrote_is_asked_for_and_audited(signed_in, services, now):
    odd = QuarantineEntry(
        "default", "validation", "api", "element 1", ("Text is short: 'a'",), f'{{"prompt": "{WRITTEN}"}}'
    )
    FeedbackStore(services.engine).add_quarantine([odd], now)
    visitor, viewer = signed_in(Role.MODEL_MANAGER), signed_in(Role.MODEL_VIEWER)
    address = f"{HOME}/quarantine/{odd.fingerprint}"

    before = visitor.get(address)
    read = visitor.client.post(f"{address}/text", data={"form_token": token_of(visitor)})
    refused = viewer.client.post(f"{address}/text", data={"form_token": token_of(viewer)})

    assert WRITTEN not in before.text
    assert WRITTEN in read.text
    assert refused.status_code == 403
    assert WRITTEN not in refused.text
    assert ("quarantine.read", odd.fingerprint, "done") in actions(services.engine)


def test_markup_in_what_a_user_wrote_stays_text(signed_in, services, now):
    raw = '{"prompt": "<script>alert(1)</script>"}'
    odd = QuarantineEntry("default", "validation", "api<b>", "element 1", ("Text is <i>short</i>: x",), raw)
    FeedbackStore(services.engine).add_quarantine([odd], now)
    visitor = signed_in()
    address = f"{HOME}/quarantine/{odd.fingerprint}"

    page = visitor.client.post(f"{address}/text", data={"form_token": token_of(visitor)})

    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page.text
    assert not re.search(r"<script>|<b>|<i>short", page.text)


@pytest.mark.parametrize(
    ("decision", "after"),
    [("approve", ("approved", "running", 1.0)), ("reject", ("rejected", "rolled_back", 0.05))],
)
def test_an_administrator_answers_an_approval_with_a_reason(signed_in, services, now, decision, after):
    set_canary_running(services, now)
    visitor = signed_in()
    address = f"{HOME}/approvals/approval-default"

    answer = visitor.send(
        visitor.get(f"{HOME}/approvals"), address, decision=decision, reason="figures are fine"
    )

    with services.engine.connect() as connection:
        decided = connection.execute(sa.select(approvals)).one()
        canary = connection.execute(sa.select(canaries)).one()
    assert answer.headers["location"] == f"{HOME}/approvals?told=approval.{after[0]}"
    assert (decided.state, canary.state, canary.approved_share) == after
    assert decided.comment == "figures are fine"
    assert (f"approval.{decision}", "approval-default", "done") in actions(services.engine)


def test_whoever_asked_is_offered_no_approval_of_it(signed_in, services, now, key_for):
    set_canary_running(services, now)
    key, text = key_for()
    with services.engine.begin() as connection:
        connection.execute(sa.update(approvals).values(requested_by=f"key:{key.id}"))
    visitor = signed_in()
    visitor.client.cookies.clear()
    visitor.sign_in(text)

    page = visitor.get(f"{HOME}/approvals")
    forged = visitor.client.post(
        f"{HOME}/approvals/approval-default",
        data={"form_token": token_of(visitor), "decision": "approve", "reason": "mine"},
    )

    assert "another administrator must approve it" in page.text
    assert "Approve</button>" not in page.text
    assert forged.status_code == 403
    with services.engine.connect() as connection:
        assert connection.execute(sa.select(approvals.c.state)).scalar_one() == "pending"


def test_costs_stand_against_the_budget_and_the_unknown_is_named(signed_in, services, now):
    add_costs(services.engine, now, "default")

    page = signed_in(Role.MODEL_VIEWER).get(f"{HOME}/costs")

    text = text_of(page)
    assert "42.00 USD of 50.00 USD" in text
    assert "What 1 job of this month cost is not known" in text
    assert 'aria-label="42.00 USD of 50.00 USD"' in page.text
    assert 'class="bar note"' in page.text
    assert "unknown unknown the price of openai is not known" in text


def test_money_beyond_the_budget_is_shown_as_such(signed_in, services, now):
    add_costs(services.engine, now, "default")
    with services.engine.begin() as connection:
        connection.execute(
            sa.update(cost_reservations).where(cost_reservations.c.state == "reserved").values(ceiling="500")
        )

    assert 'class="bar bad"' in signed_in().get(f"{HOME}/costs").text


def test_amounts_of_two_currencies_are_never_added(signed_in, services, now):
    add_costs(services.engine, now, "default")
    with services.engine.begin() as connection:
        connection.execute(
            sa.update(cost_reservations).where(cost_reservations.c.state == "reserved").values(currency="EUR")
        )

    page = text_of(signed_in().get(f"{HOME}/costs"))

    assert "11.50 EUR and 30.50 USD" in page
    assert "42.00" not in page


def test_the_audit_log_is_shown_and_verified(signed_in, services, now):
    crowd, *_ = add_feedback(services.engine, now, "default")
    Reviews(services.engine).reject("default", crowd.fingerprint, actor="cli:ann", reason="no", now=now)
    visitor = signed_in()

    page = visitor.get(f"{HOME}/audit")
    verified = visitor.send(page, f"{HOME}/audit/verification")

    assert "cli:ann quarantine.reject" in text_of(page)
    assert "Yes: all 1 entries follow each other" in text_of(verified)


def test_a_changed_audit_entry_is_told_with_its_number(signed_in, services, now):
    crowd, *_ = add_feedback(services.engine, now, "default")
    Reviews(services.engine).reject("default", crowd.fingerprint, actor="cli:ann", reason="no", now=now)
    with services.engine.begin() as connection:
        for trigger in connection.exec_driver_sql(
            "SELECT name FROM sqlite_master WHERE type = 'trigger'"
        ).scalars():
            connection.exec_driver_sql(f"DROP TRIGGER {trigger}")
        connection.execute(sa.update(audit_entries).values(actor="cli:eve"))
    visitor = signed_in()

    verified = visitor.send(visitor.get(f"{HOME}/audit"), f"{HOME}/audit/verification")

    assert "No. Entry 1: its content does not match its hash" in text_of(verified)


def test_notices_tell_what_became_of_them(signed_in, services, now):
    add_notices(services.engine, now, "default")

    page = text_of(signed_in(Role.MODEL_VIEWER).get(f"{HOME}/notices"))

    assert "Gate of assistant: pass" in page
    assert "Sent nowhere" in page
    assert "1 attempt, next in" in page
    assert "the webhook answered 503" in page
    assert "tuning-cycle: the run crashed alarm" in page


def test_a_decision_elsewhere_empties_the_queue(signed_in, services, now):
    crowd, *_ = add_feedback(services.engine, now, "default")
    visitor = signed_in()
    assert "fb-003" in visitor.get(f"{HOME}/quarantine").text

    Reviews(services.engine).accept(
        "default", crowd.fingerprint, actor="cli:ann", reason="fine", now=now + timedelta(seconds=1)
    )

    assert "fb-003" not in visitor.get(f"{HOME}/quarantine").text
