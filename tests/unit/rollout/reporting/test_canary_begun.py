"""What the run that starts a canary leaves."""

from datetime import UTC, datetime

from gateway_tuning.rollout.canary import begin
from gateway_tuning.rollout.policy import CanaryPolicy
from gateway_tuning.rollout.reporting.markdown import begun_markdown

START = datetime(2026, 1, 1, tzinfo=UTC)


def told(**policy):
    chosen = CanaryPolicy(stages=(0.1, 0.25), metrics_to_monitor=("error_rate", "latency"), **policy)
    return begun_markdown(
        begin("c", tenant="t", model="m", candidate="b", control="a", policy=chosen, salt="s", now=START)
    )


def test_it_says_who_is_compared_on_how_many_users():
    text = told()

    assert text.startswith("# Canary `c` has begun\n")
    assert "`b` against `a`, on 10 %, then 25 % of the users of m." in text
    assert "- Share now: 10 %" in text


def test_a_share_that_awaits_approval_serves_nobody_and_says_so():
    text = told(approve_before=(0.1,))

    assert "once somebody approves the first of them" in text
    assert "- Share now: 0 %" in text
