"""Every route, every role, every kind of credentials, every tenant: the matrix is made from the app's own routes."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts

from gateway_tuning.access.permissions import GRANTS, Permission, Role
from gateway_tuning.api.app import ROUTERS, create_app
from gateway_tuning.api.security import declared
from tests.api.owned import NO_OBJECTS, OBJECTS

PUBLIC = {
    ("GET", "/healthz"),
    ("GET", "/readyz"),
    ("GET", "/metrics"),
    ("GET", "/api/model-training/openapi.json"),
}
# What a role without the right to change things may call all the same, of the methods that change things.
READING_POSTS: set[tuple[str, str]] = set()


def routes():
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    for router in ROUTERS:
        app.include_router(router)
    for context in iter_route_contexts(app.routes):
        permission = declared(context.original_route.dependencies).permission
        for method in sorted(context.methods):
            yield method, context.path_format, permission


ROUTES = list(routes())
GUARDED = [route for route in ROUTES if route[2] is not None]
WITH_OBJECT = [route for route in GUARDED if set(re.findall(r"{(\w+)}", route[1])) - NO_OBJECTS]


# Who may call is decided before any database differs from another; whose an object is, is asked of both.
one_database = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)


def named(route):
    return f"{route[0]} {route[1]}" if isinstance(route, tuple) else str(route)


_documents = []


@pytest.fixture
def document(services):
    """The same for every app; made once, as it takes longer than most tests here."""
    if not _documents:
        _documents.append(create_app(services).openapi())
    return _documents[0]


@pytest.fixture
def call(open_client, document):
    def call(method, path, credentials=None, **parameters):
        filled = path
        for name in (*OBJECTS, *NO_OBJECTS):
            filled = filled.replace(f"{{{name}}}", str(parameters.get(name, "0123456789ab")))
        operation = document["paths"].get(path, {}).get(method.lower(), {})
        body = example(operation, document) if "requestBody" in operation else None
        return open_client(credentials).request(method, filled, json=body)

    return call


def example(operation, document):
    """The body that the documentation shows: it must be one that the route accepts."""
    content = operation["requestBody"]["content"]["application/json"]
    if "examples" in content:
        return next(iter(content["examples"].values()))["value"]
    schema = content["schema"]
    if "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return schema["examples"][0]


def test_the_public_routes_are_these_and_no_others():
    assert {(method, path) for method, path, permission in ROUTES if permission is None} == PUBLIC


@pytest.mark.parametrize("route", [route for route in GUARDED if route[0] != "GET"], ids=named)
def test_what_changes_something_asks_for_more_than_to_view(route):
    assert route[2] is not Permission.VIEW or route[:2] in READING_POSTS


@one_database
def test_without_good_credentials_no_route_opens_for_anybody(call, key_for, services):
    now = datetime.now(UTC)
    _, expired = key_for(now=now - timedelta(days=2), expires_at=now - timedelta(days=1))
    revoked, revoked_text = key_for()
    services.keys.revoke(revoked.id, now=now)
    bad = {"none": None, "unknown": "gt_0123456789ab_" + "A" * 43, "nonsense": "nonsense"}
    bad |= {"expired": expired, "revoked": revoked_text}

    wrong = [
        (named(route), what)
        for route in GUARDED
        for what, credentials in bad.items()
        if not is_turned_away(call(*route[:2], credentials))
    ]

    assert wrong == []


def is_turned_away(answer):
    return answer.status_code == 401 and answer.headers["www-authenticate"].startswith("Bearer")


@one_database
@pytest.mark.parametrize("role", Role)
def test_a_role_opens_the_routes_whose_permission_it_has_and_no_others(call, key_for, token_for, role):
    wrong = [
        (named(route), status)
        for route in GUARDED
        for credentials in (key_for(role)[1], token_for(role))
        if not fits(status := call(*route[:2], credentials).status_code, role in GRANTS[route[2]])
    ]

    assert wrong == []


def fits(status, granted):
    if not granted:
        return status == 403
    return status not in {401, 403} and (status < 500 or status == 503)


@pytest.mark.parametrize("route", WITH_OBJECT, ids=named)
def test_an_object_of_another_tenant_is_not_found(call, key_for, services, route):
    method, path, _ = route
    parameters = {name: make(services, "acme") for name, make in OBJECTS.items() if f"{{{name}}}" in path}
    assert path.count("{") == len(parameters), "tests/api/owned.py does not make such an object"
    stranger, owner = key_for(Role.MODEL_ADMIN, "globex")[1], key_for(Role.MODEL_ADMIN, "acme")[1]

    strange = call(method, path, stranger, **parameters)
    unknown = call(method, path, stranger)
    own = call(method, path, owner, **parameters)

    assert strange.status_code == unknown.status_code == 404
    assert own.status_code != 404
