"""One page of the dashboard: a template with what every page knows. No inline script or style: the policy forbids it."""

import hashlib
import json
from datetime import datetime
from functools import cache
from http import HTTPStatus
from pathlib import Path
from typing import Any

from fastapi import Request
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import HTMLResponse, Response

from gateway_tuning import __version__
from gateway_tuning.access.principal import Principal
from gateway_tuning.api.dashboard import nav, wording
from gateway_tuning.api.dashboard.session import Session
from gateway_tuning.api.dashboard.told import TOLD
from gateway_tuning.api.fast_lane import answer
from gateway_tuning.api.problems import log_defect
from gateway_tuning.api.services import services_of
from gateway_tuning.feedback.shaping import short_reason

_HERE = Path(__file__).parent
ASSETS = {
    "dashboard.css": "text/css",
    "charts.css": "text/css",
    "dashboard.js": "text/javascript",
    "mark.svg": "image/svg+xml",
}
POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


def render(request: Request, template: str, *, status: int = 200, **values: Any) -> Response:
    """`template` of `templates/`, which extends `base.html.j2`, with `values`.

    Every template may also use: `request`, `principal` (None before sign-in), `may(permission)`, `form_token`, `now`.
    """
    services = services_of(request)
    session: Session | None = getattr(request.state, "session", None)
    principal: Principal | None = getattr(request.state, "principal", None)
    text = (
        _environment()
        .get_template(template)
        .render(
            request=request,
            path=request.url.path,
            principal=principal,
            may=lambda permission: principal is not None and principal.may(permission),
            groups=[] if principal is None else nav.groups_for(principal),
            is_current=nav.is_current,
            home=nav.HOME,
            form_token="" if session is None else services.sessions.form_token(session.id),
            told=TOLD.get(request.query_params.get("told", "")),
            now=services.now(),
            version=__version__,
            **values,
        )
    )
    # Without a referrer, browsers send forms as from nowhere.
    headers = {"content-security-policy": POLICY, "referrer-policy": "same-origin"}
    return HTMLResponse(text, status, headers=headers)


async def error_page(request: Request, error: Exception) -> Response:
    """The API's answer to the error, as a page."""
    try:
        found = await answer(request, error)
        problem = json.loads(bytes(found.body))
        kept = {name: found.headers[name] for name in ("retry-after", "allow") if name in found.headers}
    except Exception:  # noqa: BLE001 - a defect: nobody handles such an error
        log_defect(request.scope, error)
        problem = {"status": 500, "detail": "The service failed; its log holds the request's id"}
        kept = {}
    status = HTTPStatus(problem["status"])
    page = render(
        request,
        "error.html.j2",
        status=status,
        title=status.phrase,
        detail=problem["detail"],
        errors=problem.get("errors") or [],
        request_id=request.state.request_id,
    )
    page.headers.update(kept)
    return page


@cache
def asset(name: str) -> tuple[bytes, str]:
    """Its bytes, and a name of this very content: an address with it may be kept for ever."""
    content = (_HERE / "assets" / name).read_bytes()
    return content, hashlib.sha256(content).hexdigest()[:12]


def _asset_url(name: str) -> str:
    return f"{nav.HOME}/assets/{name}?v={asset(name)[1]}"


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["asset"] = _asset_url
    environment.filters |= {
        "tone": wording.tone,
        "said": wording.said,
        "at": _at,
        "ago": wording.ago,
        "number": wording.number,
        "share": wording.share,
        "short_reason": short_reason,
    }
    return environment


def _at(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M UTC")
