"""Signing in with an API key or a token, and out again; and the files that pages load."""

import secrets
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

import jwt
from fastapi import Request
from starlette.responses import RedirectResponse, Response

from gateway_tuning.access.permissions import Permission
from gateway_tuning.access.principal import Principal, PrincipalKind
from gateway_tuning.api.dashboard.nav import HOME
from gateway_tuning.api.dashboard.page import ASSETS, asset, render
from gateway_tuning.api.dashboard.routes import SIGN_IN, TOKEN_FIELD, FormData, page_router
from gateway_tuning.api.dashboard.session import COOKIE, Session
from gateway_tuning.api.problems import ProblemError
from gateway_tuning.api.security import admit, allow, identify, public
from gateway_tuning.api.services import CallServices, services_of

_BEFORE = "gateway_tuning_sign_in"  # a random name for the form, so that no other site signs somebody in
_LONGEST = 8192
_FOR_EVER = {"cache-control": "public, max-age=31536000, immutable"}
router = page_router()


@router.get("/sign-in", dependencies=[public()])
def sign_in(request: Request, next: str = HOME) -> Response:  # noqa: A002 - the parameter's name in the address
    return _form(request, next)


@router.post("/sign-in", dependencies=[public()])
async def signed_in(request: Request, services: CallServices, form: FormData) -> Response:
    wanted = form.get("next", HOME)
    before = request.cookies.get(_BEFORE, "")
    if not before or not services.sessions.is_form_token(before, form.get(TOKEN_FIELD, "")):
        return _form(
            request, wanted, "This page was open for long, or cookies are off; try again", status=403
        )
    credentials = form.get("credentials", "").strip()
    if not 1 <= len(credentials) <= _LONGEST:
        return _form(request, wanted, "Give an API key or a token", status=422)
    try:
        principal = await identify(request, credentials)
        await admit(request, principal, Permission.VIEW)
    except ProblemError as error:
        return _form(request, wanted, str(error.detail), status=error.status_code, headers=error.headers)
    session = services.sessions.open(
        principal, now=services.now(), at_most_until=_end_of_token(principal, credentials)
    )
    response = RedirectResponse(_inside(wanted), HTTPStatus.SEE_OTHER)
    _keep(request, response, COOKIE, services.sessions.cookie(session), until=session.expires_at)
    response.delete_cookie(_BEFORE, path=SIGN_IN, httponly=True, samesite="strict")
    return response


@router.post("/sign-out", dependencies=[allow(Permission.VIEW)])
async def sign_out(request: Request, services: CallServices) -> Response:
    session: Session = request.state.session
    services.sessions.end(session)
    response = RedirectResponse(f"{SIGN_IN}?told=session.ended", HTTPStatus.SEE_OTHER)
    response.delete_cookie(COOKIE, path=HOME, httponly=True, samesite="strict")
    return response


@router.get("/assets/{name}", dependencies=[public()])
def file(name: str) -> Response:
    if name not in ASSETS:
        raise ProblemError(404, "The dashboard has no such file")
    return Response(asset(name)[0], media_type=ASSETS[name], headers=_FOR_EVER)


def _form(
    request: Request, wanted: str, refused: str = "", *, status: int = 200, headers: Any = None
) -> Response:
    sessions = services_of(request).sessions
    before = request.cookies.get(_BEFORE) or secrets.token_hex(16)
    token = sessions.form_token(before)
    response = render(
        request,
        "sign_in.html.j2",
        status=status,
        refused=refused,
        next=_inside(wanted),
        sign_in_token=token,
    )
    response.headers.update(headers or {})
    _keep(request, response, _BEFORE, before, path=SIGN_IN)
    return response


def _inside(path: str) -> str:
    """The page, if it is one of ours: no address leads out of the dashboard."""
    is_ours = path == HOME or path.startswith(f"{HOME}/")
    return path if is_ours and path.isprintable() and "\\" not in path else HOME


def _end_of_token(principal: Principal, credentials: str) -> datetime | None:
    if principal.kind is not PrincipalKind.USER:
        return None
    claims = jwt.decode(credentials, options={"verify_signature": False})  # `identify` has verified it
    return datetime.fromtimestamp(claims["exp"], UTC)


def _keep(
    request: Request,
    response: Response,
    name: str,
    value: str,
    *,
    until: datetime | None = None,
    path: str = HOME,
) -> None:
    is_https = request.url.scheme == "https" or services_of(request).settings.dashboard_https
    response.set_cookie(
        name, value, expires=until, path=path, httponly=True, samesite="strict", secure=is_https
    )
