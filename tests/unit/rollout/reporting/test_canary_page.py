import base64
import hashlib
import re
from datetime import date
from decimal import Decimal

import pytest

from gateway_tuning.errors import NotFoundError
from gateway_tuning.rollout.actions import CanaryActions
from gateway_tuning.rollout.canary_store import CanaryStore
from gateway_tuning.rollout.reporting.markdown import render_markdown
from gateway_tuning.rollout.reporting.page import content_policy, render_html
from gateway_tuning.rollout.reporting.spending import total
from gateway_tuning.rollout.reporting.story import newest, newest_looks, read_story
from gateway_tuning.training.cost.prices import Price, PriceBook, Unit
from tests.unit.evaluation.reporting.test_page import Elements
from tests.unit.rollout.reporting.stories import POLICY, START, later, look, start, traffic

EVIL = '<script>alert(1)</script> `x` | "quoted" {{ 7 * 7 }}'
PRICES = PriceBook(
    tuple(
        Price("custom", "base-*", unit, Decimal(amount), "EUR", date(2025, 1, 1), "own", date(2025, 1, 1))
        for unit, amount in ((Unit.MILLION_READ, "1.5"), (Unit.MILLION_WRITTEN, "6"))
    )
)


@pytest.fixture
def story(engine):
    """Of a canary, told at a minute after its beginning."""

    def told(minute=10, canary_id="c1", prices=PRICES, **more):
        return read_story(engine, canary_id, now=later(minute), prices=prices, **more)

    return told


@pytest.fixture
def waiting(engine):
    """At 10 % since its beginning, with every metric measured, for want of an approval of 50 %."""
    start(engine)
    for minute in (1, 2, 3):
        traffic(engine, minute)
        canary = look(engine, minute + 0.5)
    assert canary.reasons[0] == "a share of 0.5 awaits the approval of a person"
    return canary


@pytest.mark.usefixtures("waiting")
def test_a_page_needs_nothing_else_and_may_do_nothing_else(story):
    html = render_html(story())
    elements = Elements(html)

    (style,) = re.findall(r"<style>(.*?)</style>", html, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    (policy,) = [meta["content"] for meta in elements.named("meta") if "http-equiv" in meta]

    assert elements.unclosed == []
    assert policy == content_policy()
    assert f"style-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'")
    assert not elements.named("script") + elements.named("link") + elements.named("img")
    assert not [attrs for _, attrs in elements.found if "style" in attrs]


@pytest.mark.usefixtures("waiting")
def test_a_running_canary_says_how_it_stands_and_what_is_needed_next(story):
    html = render_html(story())

    assert "Running: 10 % of users are on the candidate" in html
    assert "up to 10 %" in html
    assert "Next: a share of 50 %" in html
    assert "a share of 0.5 awaits the approval of a person" in html
    assert "gateway-tuning canary approve c1 --share 0.5" in html
    assert "simulated" not in html


@pytest.mark.usefixtures("waiting")
def test_every_metric_of_the_policy_has_a_picture_over_its_looks(story):
    elements = Elements(render_html(story()))
    pictures = [svg["aria-label"] for svg in elements.named("svg") if "aria-label" in svg]

    assert len(pictures) == 1 + len(POLICY.metrics_to_monitor) + 1
    assert pictures[0] == "Share of users over time: 10 % from 2026-01-01 00:00 to now"
    assert sum("The harm lies in" in said for said in pictures) == len(POLICY.metrics_to_monitor)
    estimates = [attrs["d"] for tag, attrs in elements.found if attrs.get("class") == "estimate"]
    assert [path.count("L") for path in estimates] == [2] * 5  # three looks each


def test_harm_is_shown_as_what_took_the_canary_back(engine, story):
    start(engine)
    for minute in (1, 2, 3):
        traffic(engine, minute, likes=0.2, simulated=True)
    assert look(engine, 3.5).state == "rolled_back"

    html = render_html(story())

    assert "Rolled back: all users are on m@1" in html
    assert "the canary is worse in user feedback" in html
    assert '<span class="bad-text">worse</span>' in html
    assert "900 of the requests came from simulated users" in html
    assert "not verified" in html


def test_words_of_people_stay_words(engine, waiting, story):
    CanaryActions(engine).abort(waiting.id, by="user:ben", reason=EVIL, now=later(9))

    html, found = render_html(story()), story()
    told = render_markdown(found.canary, found.looks[-1], found.steps, now=later(10))

    assert "<script>" not in html
    assert "&lt;script&gt;" in html
    assert "{{ 7 * 7 }}" in html
    assert "aborted" in html
    assert told.startswith("# Canary `c1`: rolled back\n")
    assert "aborted by user:ben: \\<script\\>" in told


def test_who_approved_and_who_overrode_is_told_in_order(engine, waiting, story):
    actions = CanaryActions(engine)
    actions.approve(waiting.id, 0.5, by="user:ben", comment="figures are fine", now=later(5))
    actions.override(waiting.id, 0.5, by="user:cara", now=later(6))

    people = render_html(story()).partition("Who did what")[2].partition("</table>")[0]
    rows = re.findall(r"<tr><td[^>]*>[^<]*</td><td>([^<]*)</td><td[^>]*>([^<]*)</td>", people)

    assert rows == [
        ("started", "user:anna"),
        ("approved a share of 50 %", "user:ben"),
        ("overrode a share of 50 %", "user:cara"),
    ]
    assert "figures are fine" in people


def test_a_canary_that_nobody_looked_at_has_a_page_without_figures(engine, story):
    start(engine)
    html = render_html(story(0))
    assert "its first look" in html
    assert "No request of either arm has come yet" in html
    assert "Metrics over time" not in html


def test_a_judge_that_failed_is_told_instead_of_figures(engine, story):
    start(engine)
    traffic(engine, 1)

    def broken(*_):
        raise ZeroDivisionError("no arms")

    CanaryStore(engine).tick("c1", now=later(2), judge=broken)

    assert "The last look found nothing: the judge failed: ZeroDivisionError: no arms" in render_html(story())


def test_a_story_of_no_canary_is_refused(story):
    with pytest.raises(NotFoundError, match="c9"):
        story(canary_id="c9")


def test_a_long_canary_is_thinned_out_for_drawing_and_says_so(engine, story):
    start(engine)
    traffic(engine, 1)
    for minute in range(2, 12):
        look(engine, minute)

    thinned = story(20, drawn=4)

    assert [one.look for one in thinned.looks] == [1, 4, 7, 10]
    assert thinned.looks_in_all == thinned.steps[0].looks == 10
    assert "4 of 10 looks are drawn" in render_html(thinned)
    assert [one.look for one in newest_looks(engine, "c1", 3)] == [8, 9, 10]


def test_an_answer_that_stable_gave_for_the_canary_is_paid_at_the_price_of_stable(engine, story):
    start(engine)
    traffic(engine, 1, users=10, failing=4, answered_by="m@1")

    spent = {(one.arm, one.version_id): one for one in story().spent}

    assert spent["canary", "m@1"].requests == 10
    assert ("canary", "m@2") not in spent
    assert spent["control", "m@1"].failed == 0


def test_what_it_cost_is_the_tokens_by_the_price_table(engine, story):
    start(engine)
    traffic(engine, 1, users=10, failing=4)

    canary, control = story().spent

    assert (canary.arm, canary.version_id, canary.requests, canary.failed) == ("canary", "m@2", 10, 4)
    assert (canary.read, control.read) == (600, 1000)
    assert canary.cost == (600 * Decimal("1.5") + canary.written * Decimal(6)) / 1_000_000
    assert total([canary, control]) == (canary.cost + control.cost, "EUR")
    assert f"{canary.cost + control.cost:,.4f} EUR" in render_html(story())


def test_a_price_or_usage_that_is_not_known_makes_no_sum(engine, story):
    start(engine)
    traffic(engine, 1, users=10)
    assert total(story(prices=PriceBook()).spent) is None
    unpriced = render_html(story(prices=PriceBook()))
    assert "What it cost in all is not known" in unpriced
    assert "no price of a token of base-1 at custom is known" in unpriced
    assert story(prices=None).spent is None


def test_markdown_for_the_artifact_has_metrics_shares_and_the_way_to_the_page(waiting, story):
    found = story()
    told = render_markdown(waiting, found.looks[-1], found.steps, now=later(10))

    assert told.startswith("# Canary `c1`: hold\n")
    assert "| 10 % | 2026-01-01 00:00 | 10 min | 3 | it goes on |" in told
    assert "| Latency |" in told
    assert "`gateway-tuning canary approve c1 --share 0.5`" in told
    assert "`gateway-tuning canary page c1`" in told


def test_canaries_are_listed_newest_first(engine):
    start(engine)
    CanaryActions(engine).abort("c1", by="user:ben", reason="r", now=START)
    CanaryStore(engine).start(
        "c2", tenant="default", model="m", candidate="m@2", control="m@1", policy=POLICY, now=later(1)
    )
    assert [one.id for one in newest(engine, limit=9)] == ["c2", "c1"]
    assert [one.id for one in newest(engine, model="m", limit=1)] == ["c2"]
    assert newest(engine, model="other", limit=9) == []
