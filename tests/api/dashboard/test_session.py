"""Signing in, staying in and getting out."""

from datetime import UTC, datetime, timedelta

import pytest

from gateway_tuning.access.permissions import Role
from gateway_tuning.access.principal import Principal, PrincipalKind
from gateway_tuning.api.dashboard.session import COOKIE, Sessions
from gateway_tuning.api.services import build_services
from gateway_tuning.errors import ConfigurationError
from tests.api.dashboard.conftest import HOME, Browser

NOBODY = "gt_0123456789ab_" + "A" * 43


@pytest.mark.parametrize("role", [Role.MODEL_VIEWER, Role.MODEL_MANAGER, Role.MODEL_ADMIN])
def test_an_api_key_that_may_view_opens_the_dashboard(browser, key_for, role):
    visitor = browser()

    answer = visitor.sign_in(key_for(role)[1], path=f"{HOME}/costs")

    assert answer.headers["location"] == f"{HOME}/costs"
    assert role in visitor.get(HOME).text


def test_a_token_opens_it_until_the_token_ends(browser, token_for, services):
    visitor = browser()
    soon = datetime.now(UTC) + timedelta(minutes=10)

    visitor.sign_in(token_for(Role.MODEL_VIEWER, exp=soon))

    cookie = visitor.client.cookies.get(COOKIE)
    assert visitor.get(HOME).status_code == 200
    assert services.sessions.read(cookie, now=soon - timedelta(seconds=5)) is not None
    assert services.sessions.read(cookie, now=soon + timedelta(seconds=1)) is None


def test_an_application_that_may_only_write_is_refused(browser, key_for):
    answer = browser().sign_in(key_for(Role.FEEDBACK_WRITER)[1])

    assert answer.status_code == 403
    assert "FeedbackWriter may not view" in answer.text


@pytest.mark.parametrize("credentials", [NOBODY, "nonsense", "x" * 9000, " ", "a.b.c"])
def test_bad_credentials_open_nothing_and_are_not_repeated(browser, credentials):
    visitor = browser()

    answer = visitor.sign_in(credentials)

    assert answer.status_code in {401, 422}
    assert 'role="alert"' in answer.text
    assert len(credentials) < 3 or credentials not in answer.text
    assert COOKIE not in visitor.client.cookies


def test_failed_logins_count_as_the_apis_do(start_server, api_settings, engine, key_for):
    services = build_services(api_settings.model_copy(update={"failed_logins_per_minute": 2}), engine)
    visitor = Browser(start_server(services).url)
    good = key_for()[1]

    answers = [visitor.sign_in(NOBODY).status_code for _ in range(3)]
    late = visitor.sign_in(good)
    by_header = visitor.get("/api/model-training/runs", headers={"authorization": f"Bearer {NOBODY}"})
    visitor.client.close()
    services.close()

    assert answers == [401, 401, 429]
    assert late.status_code == by_header.status_code == 429
    assert int(late.headers["retry-after"]) > 0


def test_the_cookie_is_for_the_dashboard_alone_and_out_of_a_scripts_reach(browser, key_for):
    answer = browser().sign_in(key_for()[1])

    cookie = next(line for line in answer.headers.get_list("set-cookie") if line.startswith(COOKIE))
    assert {"HttpOnly", "SameSite=strict", f"Path={HOME}"} <= set(cookie.split("; "))
    assert "Secure" not in cookie


def test_behind_https_the_cookie_travels_no_other_way(start_server, api_settings, engine, key_for):
    services = build_services(api_settings.model_copy(update={"dashboard_https": True}), engine)
    visitor = Browser(start_server(services).url)
    page = visitor.get(f"{HOME}/sign-in")
    visitor.client.close()
    services.close()

    assert "Secure" in page.headers["set-cookie"].split("; ")


def test_the_cookie_does_not_hold_the_key(browser, key_for):
    _, text = key_for()
    visitor = browser()
    visitor.sign_in(text)

    secret = text.split("_", 2)[2]
    assert secret not in visitor.client.cookies.get(COOKIE)


@pytest.mark.parametrize(
    "elsewhere",
    [
        "https://evil.example",
        "//evil.example",
        "/\\evil.example",
        "/dashboardly",
        "/dashboard/\nx",
        "javascript:1",
    ],
)
def test_signing_in_leads_nowhere_but_into_the_dashboard(browser, key_for, elsewhere):
    assert browser().sign_in(key_for()[1], path=elsewhere).headers["location"] == HOME


def test_a_session_ends_with_its_key_at_once(browser, key_for, services):
    key, text = key_for()
    visitor = browser()
    visitor.sign_in(text)
    assert visitor.get(HOME).status_code == 200

    services.keys.revoke(key.id, now=datetime.now(UTC))

    answer = visitor.get(f"{HOME}/costs")
    assert answer.status_code == 303
    assert answer.headers["location"] == f"{HOME}/sign-in?next=/dashboard/costs"


def test_a_session_ends_when_its_key_expires(start_server, api_settings, engine, key_for):
    begun = datetime.now(UTC)
    clock = [begun]
    services = build_services(api_settings, engine, now=lambda: clock[0])
    visitor = Browser(start_server(services).url)
    visitor.sign_in(key_for(expires_at=begun + timedelta(hours=1))[1])

    answers = []
    for hours in (0.5, 2):
        clock[0] = begun + timedelta(hours=hours)
        answers.append(visitor.get(HOME).status_code)
    visitor.client.close()
    services.close()

    assert answers == [200, 303]


def test_signing_out_ends_the_session_also_for_a_copy_of_its_cookie(browser, key_for):
    visitor, copy = browser(), browser()
    visitor.sign_in(key_for()[1])
    copy.client.cookies = dict(visitor.client.cookies)

    answer = visitor.send(visitor.get(HOME), f"{HOME}/sign-out")

    assert "Signed out" in visitor.get(answer.headers["location"]).text
    assert visitor.get(HOME).status_code == copy.get(HOME).status_code == 303


@pytest.mark.parametrize("change", ["flip", "cut", "empty", "other key"])
def test_a_cookie_that_was_changed_opens_nothing(browser, signed_in, change):
    cookie = signed_in().client.cookies.get(COOKIE)
    text, _, signature = cookie.partition(".")
    forged = {
        "flip": f"{text[:-1]}{'A' if text[-1] != 'A' else 'B'}.{signature}",
        "cut": text,
        "empty": "",
        "other key": Sessions(b"k" * 32, hours=1).cookie(a_session(Sessions(b"k" * 32, hours=1))),
    }[change]
    visitor = browser()
    visitor.client.cookies.set(COOKIE, forged)

    assert visitor.get(HOME).status_code == 303


def a_session(sessions, now=datetime(2026, 11, 1, tzinfo=UTC)):
    someone = Principal("user:ann", "default", frozenset({Role.MODEL_ADMIN}), PrincipalKind.USER)
    return sessions.open(someone, now=now)


def test_processes_with_one_key_know_each_others_sessions_until_they_expire():
    one, other = Sessions(b"k" * 32, hours=2), Sessions(b"k" * 32, hours=2)
    session = a_session(one)

    read = other.read(one.cookie(session), now=session.expires_at - timedelta(seconds=1))

    assert read == session
    assert other.read(one.cookie(session), now=session.expires_at) is None


def test_a_session_key_that_could_be_guessed_is_refused(api_settings):
    with pytest.raises(ConfigurationError, match="DASHBOARD_SESSION_KEY has 5 bytes"):
        Sessions.from_settings(
            api_settings.model_copy(update={"dashboard_session_key": type(api_settings.jwt_secret)("short")})
        )


def test_a_form_without_the_sessions_own_token_changes_nothing(signed_in, key_for):
    mine, theirs = signed_in(), signed_in()
    page = theirs.get(HOME).text
    foreign = page.split('name="form_token" value="')[1].split('"')[0]

    for data in ({"x": "1"}, {"form_token": ""}, {"form_token": foreign}):
        answer = mine.client.post(f"{HOME}/sign-out", data=data)
        assert answer.status_code == 403
        assert "not of your session" in answer.text
    assert mine.get(HOME).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"origin": "https://evil.example"},
        {"origin": "null"},
    ],
)
def test_a_form_of_another_site_is_refused(signed_in, headers):
    visitor = signed_in()
    visitor.client.headers.update(headers)

    assert visitor.send(visitor.get(HOME), f"{HOME}/sign-out").status_code == 403


def test_no_other_site_can_sign_somebody_in(browser, key_for):
    visitor = browser()
    page = browser().get(f"{HOME}/sign-in")

    answer = visitor.send(page, f"{HOME}/sign-in", credentials=key_for()[1])

    assert answer.status_code == 403
    assert COOKIE not in visitor.client.cookies


def test_a_form_in_another_notation_is_refused(signed_in):
    answer = signed_in().client.post(f"{HOME}/sign-out", json={"form_token": "x"})

    assert answer.status_code == 415
