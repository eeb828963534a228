"""Evaluations on their pages: the verdict, the figures with their intervals, and the stored report."""

import re

from gateway_tuning.access.permissions import Role
from gateway_tuning.evaluation.store import EvaluationStore, StoredEvaluation
from gateway_tuning.storage import layout
from tests.api import owned
from tests.api.dashboard.conftest import HOME
from tests.conftest import NOW
from tests.unit.evaluation.earlier import stored

EVALUATION = f"{HOME}/evaluations/eval-owned"


def test_it_says_what_was_found_and_what_is_not_known(signed_in, services):
    owned.evaluation(services, "default", stored())
    browser = signed_in(Role.MODEL_VIEWER)
    page, listed = browser.get(EVALUATION).text, browser.get(f"{HOME}/evaluations").text

    assert "The candidate is better than the stable model" in page
    assert re.search(r"\+0\.110.*\+0\.040 to \+0\.180", page, re.DOTALL)
    assert "What is not known" in page
    assert re.search(r'badge good">better.*\+0\.110.*\+0\.040 to \+0\.180', listed, re.DOTALL)
    assert 'class="intervals"' in page
    assert 'class="intervals"' in listed


def test_users_words_stand_in_the_report_and_not_on_the_page(signed_in, services):
    owned.evaluation(services, "default", stored())

    assert "At noon" not in signed_in(Role.MODEL_VIEWER).get(EVALUATION).text


def test_nothing_evaluated_is_said_and_not_drawn(signed_in, services):
    owned.evaluation(services, "default")

    page = signed_in(Role.MODEL_VIEWER).get(EVALUATION).text

    assert "Nothing was evaluated, so nothing is known of the candidate." in page
    assert "<svg" not in page


def test_the_stored_report_is_shown_without_rights(signed_in, services):
    owned.evaluation(services, "default", stored())
    body = b"<!doctype html><title>r</title><script>alert(1)</script>"
    services.objects.write(layout.evaluation_page("eval-owned"), body)
    browser = signed_in(Role.MODEL_VIEWER)

    report = browser.get(f"{EVALUATION}/report")

    assert f'href="{EVALUATION}/report"' in browser.get(EVALUATION).text
    assert report.content == body
    assert report.headers["content-security-policy"].startswith("sandbox; default-src 'none'; style-src")
    assert "script-src" not in report.headers["content-security-policy"]


def test_a_report_that_is_gone_is_said_to_be(signed_in, services):
    owned.evaluation(services, "default", stored())
    browser = signed_in(Role.MODEL_VIEWER)

    assert "gone, or not written" in browser.get(EVALUATION).text
    gone = browser.get(f"{EVALUATION}/report")
    assert (gone.status_code, "its dataset was erased or deleted" in gone.text) == (404, True)


def test_those_of_one_model_can_be_seen_alone(signed_in, services):
    for model in ("owned", "other"):
        owned.version(services, "default", f"{model}@1")
        one = StoredEvaluation(
            f"eval-{model}", "default", model, f"{model}@1", f"{model}@0", "ds-1", stored(), NOW
        )
        EvaluationStore(services.engine).add(one)
    browser = signed_in(Role.MODEL_VIEWER)

    every, one = browser.get(f"{HOME}/evaluations").text, browser.get(f"{HOME}/evaluations?model=other").text

    assert re.findall(r"evaluations/(eval-\w+)", every) == ["eval-owned", "eval-other"]
    assert re.findall(r"evaluations/(eval-\w+)", one) == ["eval-other"]
