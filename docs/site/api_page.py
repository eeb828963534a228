"""The HTTP API, from its own OpenAPI document."""

from tempfile import TemporaryDirectory
from typing import Any

import sqlalchemy as sa

from docs.site.schemas import fields_of
from docs.site.tables import code, paragraph, table, worded

_METHODS = ("get", "post", "put", "patch", "delete")


def render() -> str:
    document = _document()
    routes = [
        (route["tags"][0] if route.get("tags") else "others", method.upper(), path, route)
        for path, methods in document["paths"].items()
        for method, route in methods.items()
        if method in _METHODS
    ]
    parts = [
        (
            "# HTTP API\n\nServed by `gateway-tuning serve-api`, which has the same as OpenAPI at "
            "`/api/model-training/openapi.json`. Callers send `Authorization: Bearer` with an API key or a token; which "
            "roles have a permission stands in [security](../security.md#roles). Every refusal is a `Problem`.\n"
        ),
        "## Routes\n",
    ]
    for tag in sorted({route[0] for route in routes}):
        parts += [f"### {tag}\n", _routes([route for route in routes if route[0] == tag])]
    parts += ["## Bodies\n", fields_of(dict(sorted(document["components"]["schemas"].items())), depth=3)]
    return "\n".join(parts)


def _routes(routes: list[tuple[str, str, str, dict[str, Any]]]) -> str:
    rows = [
        (
            code(f"{method} {path}"),
            route.get("x-permission", "anybody"),
            paragraph(route.get("description")) or route.get("summary", ""),
            _takes(route),
            _gives(route),
        )
        for _, method, path, route in routes
    ]
    return table(("route", "permission", "what it does", "takes", "gives"), rows)


def _takes(route: dict[str, Any]) -> str:
    content = route.get("requestBody", {}).get("content", {})
    bodies = [worded(media.get("schema", {})) for media in content.values()]
    query = [
        f"{code(one['name'])}" for one in route.get("parameters", ()) if one["in"] in {"query", "header"}
    ]
    return ", ".join([*bodies, *query])


def _gives(route: dict[str, Any]) -> str:
    told = []
    for status, response in route["responses"].items():
        if status.startswith("2"):
            bodies = [worded(media.get("schema", {})) for media in response.get("content", {}).values()]
            told.append(" ".join([status, *bodies]))
    return ", ".join(told)


def _document() -> dict[str, Any]:
    from gateway_tuning.api.app import create_app
    from gateway_tuning.api.services import build_services
    from gateway_tuning.settings import Settings

    with TemporaryDirectory() as home:
        services = build_services(Settings(_env_file=None, home=home), sa.create_engine("sqlite://"))
        try:
            document: dict[str, Any] = create_app(services).openapi()
        finally:
            services.close()
    return document
