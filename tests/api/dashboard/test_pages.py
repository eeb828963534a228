"""What holds for every page: who may open it, what it may load, whose data it shows. Made from the app's routes."""

import re

import pytest
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts

from gateway_tuning.access.permissions import GRANTS, Permission, Role
from gateway_tuning.api.dashboard.page import ASSETS
from gateway_tuning.api.dashboard.pages import PAGES
from gateway_tuning.api.security import declared
from tests.api.dashboard.conftest import HOME
from tests.api.owned import OBJECTS
from tests.dashboard_world import WRITTEN, fill

LARGEST = 60_000  # bytes of a page
PUBLIC = {
    ("GET", "/"),
    ("GET", f"{HOME}/sign-in"),
    ("POST", f"{HOME}/sign-in"),
    ("GET", f"{HOME}/assets/{{name}}"),
}
# Reading what a person wrote, and following the chain, change nothing; both ask for more than to view.
VIEWERS_POSTS = {f"{HOME}/sign-out"}


def routes():
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    for router in PAGES:
        app.include_router(router)
    for context in iter_route_contexts(app.routes):
        permission = declared(context.original_route.dependencies).permission
        for method in sorted(context.methods):
            yield method, re.sub(r":\w+}", "}", context.path_format), permission


ROUTES = list(routes())
GUARDED = [route for route in ROUTES if route[2] is not None]
PLAIN = [route for route in GUARDED if route[0] == "GET" and "{" not in route[1]]
OF_OBJECT = [route for route in GUARDED if set(re.findall(r"{(\w+)}", route[1])) & set(OBJECTS)]


def named(route):
    return f"{route[0]} {route[1]}" if isinstance(route, tuple) else str(route)


def filled(path, **parameters):
    return re.sub(r"{(\w+)}", lambda found: str(parameters.get(found[1], "0123456789ab")), path)


def ask(visitor, token, method, path):
    data = {"form_token": token, "reason": "a test"} if method == "POST" else None
    return visitor.client.request(method, path, data=data)


def token_of(visitor):
    return re.search(r'name="form_token" value="(\w+)"', visitor.get(HOME).text)[1]


@pytest.fixture
def world(services):
    fill(services.engine, services.now())
    return services


def test_the_public_addresses_are_these_and_no_others():
    assert {(method, path) for method, path, permission in ROUTES if permission is None} == PUBLIC


@pytest.mark.parametrize("route", [route for route in GUARDED if route[0] == "POST"], ids=named)
def test_what_changes_something_asks_for_more_than_to_view(route):
    assert route[2] is not Permission.VIEW or route[1] in VIEWERS_POSTS


def test_without_a_session_every_page_leads_to_the_sign_in(browser):
    visitor = browser()

    answers = {named(route): ask(visitor, "", route[0], filled(route[1])) for route in GUARDED}

    assert {answer.status_code for answer in answers.values()} == {303}
    assert {answer.headers["location"].partition("?")[0] for answer in answers.values()} == {
        f"{HOME}/sign-in"
    }


def test_an_api_key_in_a_header_opens_no_page(browser, key_for):
    assert browser().get(HOME, headers={"authorization": f"Bearer {key_for()[1]}"}).status_code == 303


@pytest.mark.parametrize("role", [Role.MODEL_VIEWER, Role.MODEL_MANAGER, Role.MODEL_ADMIN])
def test_a_role_opens_the_pages_whose_permission_it_has_and_no_others(signed_in, world, role):
    visitor = signed_in(role)
    token = token_of(visitor)
    others = [route for route in GUARDED if not route[1].endswith("/sign-out")]

    wrong = [
        (named(route), answer.status_code)
        for route in others
        if not fits(answer := ask(visitor, token, route[0], filled(route[1])), role in GRANTS[route[2]])
    ]

    assert wrong == []


def fits(answer, granted):
    if not granted:
        return answer.status_code == 403
    return answer.status_code not in {401, 403} and (answer.status_code < 500 or answer.status_code == 503)


@pytest.mark.parametrize("role", [Role.MODEL_VIEWER, Role.MODEL_ADMIN])
def test_a_menu_shows_what_the_role_may_open(signed_in, world, role):
    visitor = signed_in(role)

    entries = re.findall(r'<li><a class="go" href="([^"]+)"', visitor.get(HOME).text)

    assert {visitor.get(entry).status_code for entry in entries} == {200}
    assert (f"{HOME}/audit" in entries) == (role is Role.MODEL_ADMIN)


def test_a_viewer_meets_no_button_but_to_sign_out_and_to_find(signed_in, world):
    visitor = signed_in(Role.MODEL_VIEWER)

    for _, path, permission in PLAIN:
        if permission is not Permission.VIEW:
            continue
        buttons = set(re.findall(r"<button[^>]*>([^<]+)</button>", visitor.get(path).text))
        assert buttons <= {"Sign out", "Find"}, path


@pytest.mark.parametrize("route", OF_OBJECT, ids=named)
def test_an_object_of_another_tenant_is_not_found(signed_in, services, route):
    method, path, _ = route
    parameters = {name: make(services, "acme") for name, make in OBJECTS.items() if f"{{{name}}}" in path}
    assert path.count("{") == len(parameters), "tests/api/owned.py does not make such an object"
    stranger, owner = signed_in(tenant="globex"), signed_in(tenant="acme")
    mine, unknown = filled(path, **parameters), filled(path)
    token = token_of(stranger)

    strange = told(ask(stranger, token, method, mine), *parameters.values())
    of_unknown = told(ask(stranger, token, method, unknown), "0123456789ab")
    own = told(ask(owner, token_of(owner), method, mine), *parameters.values())

    assert strange[0] in (
        {404} if method == "GET" else {404, 422}
    )  # a form may be refused before anybody looks
    assert strange == of_unknown
    assert method != "GET" or own != strange


def told(answer, *names):
    """Status and message, without the names of what was asked for."""
    message = re.search(r'role="alert">(.*?)</p>', answer.text)
    text = message[1] if message else ""
    for name in names:
        text = text.replace(str(name), "it")
    return answer.status_code, text


def test_no_page_shows_another_tenants_objects_or_what_a_user_wrote(signed_in, world):
    owner, stranger = signed_in(), signed_in(tenant="globex")

    for _, path, _ in PLAIN:
        assert WRITTEN not in owner.get(path).text, path
        assert "fb-07" not in stranger.get(path).text, path
        assert "assistant@2" not in stranger.get(path).text, path


def test_every_page_is_small_loads_only_its_own_files_and_runs_nothing_inline(signed_in, world):
    visitor = signed_in()

    for _, path, _ in PLAIN:
        page = visitor.get(path, follow_redirects=True)
        assert len(page.content) < LARGEST, path
        assert page.headers["content-type"] == "text/html; charset=utf-8", path
        assert page.headers["cache-control"] == "no-store", path
        policy = page.headers["content-security-policy"]
        assert "default-src 'none'" in policy, path
        assert "unsafe" not in policy, path
        assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?! src=\"/dashboard/)", page.text), path
        loaded = re.findall(r'<(?:link|script|img)[^>]*(?:href|src)="([^"]+)"', page.text)
        assert all(address.startswith(f"{HOME}/assets/") for address in loaded), path


def test_the_files_of_pages_are_small_and_may_be_kept(browser):
    visitor = browser()

    for name in ASSETS:
        answer = visitor.get(f"{HOME}/assets/{name}")
        assert answer.status_code == 200
        assert "immutable" in answer.headers["cache-control"]
        assert len(answer.content) < LARGEST / 2
    assert visitor.get(f"{HOME}/assets/page.py").status_code == 404
    assert visitor.get(f"{HOME}/assets/..%2Fpage.py").status_code in {303, 404}


def test_an_address_that_leads_nowhere_is_told_on_a_page(signed_in):
    answer = signed_in().get(f"{HOME}/nowhere<script>")

    assert answer.status_code == 404
    assert "No page" in answer.text
    assert "nowhere<script>" not in answer.text


def test_the_servers_own_address_leads_to_the_dashboard(browser):
    answer = browser().get("/")

    assert (answer.status_code, answer.headers["location"]) == (307, HOME)


def test_no_address_makes_a_page_say_what_it_was_not_told_to(signed_in):
    assert "You won" not in signed_in().get(HOME, params={"told": "You won"}).text


def test_a_store_that_is_away_is_told_on_a_page(signed_in, services, engine):
    visitor = signed_in()
    token_of(visitor)
    with engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE quarantine RENAME TO gone")

    answer = visitor.get(f"{HOME}/quarantine")

    assert answer.status_code == 503
    assert "The metadata store does not answer" in answer.text
    assert "<main" in answer.text
