"""Routes of pages: guarded like the API's, by a session instead of a header, and answered in HTML.

`page_router(...)` as `api_router`; each route declares its permission. A form is read by `FormData`; it must carry
the session's token (macro `token()`).
"""

from collections.abc import Awaitable, Callable, Coroutine
from typing import Annotated, Any
from urllib.parse import parse_qsl, quote, urlsplit

from anyio import to_thread
from fastapi import APIRouter, Depends, Request
from starlette.responses import RedirectResponse, Response

from gateway_tuning.access.permissions import Permission
from gateway_tuning.access.principal import Principal, PrincipalKind
from gateway_tuning.api.dashboard.nav import HOME
from gateway_tuning.api.dashboard.page import error_page
from gateway_tuning.api.dashboard.session import COOKIE, Session
from gateway_tuning.api.problems import ProblemError
from gateway_tuning.api.security import GuardedRoute, admit, declared
from gateway_tuning.api.services import Services, services_of
from gateway_tuning.errors import NotFoundError

SIGN_IN = f"{HOME}/sign-in"
TOKEN_FIELD = "form_token"  # noqa: S105 - a field's name
_MOST_FIELDS = 50
_READING = {"GET", "HEAD"}


class PageRoute(GuardedRoute):
    """A public page has no session, and its POST checks its own token."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        declaration = declared(self.dependencies)
        handler = self._handler()

        async def opened(request: Request) -> Response:
            if declaration is None:
                raise ProblemError(403, "This page declares no permission, so nobody may open it")
            if declaration.permission is None:
                return await handler(request)
            return await _for_session(request, declaration.permission, handler)

        async def page(request: Request) -> Response:
            try:
                if request.method not in _READING:
                    refuse_other_sites(request)
                return await opened(request)
            except Exception as error:  # noqa: BLE001 - told on a page
                return await error_page(request, error)

        return page


def page_router(**options: Any) -> APIRouter:
    return APIRouter(prefix=HOME, route_class=PageRoute, include_in_schema=False, **options)


async def _for_session(
    request: Request, permission: Permission, handler: Callable[[Request], Awaitable[Response]]
) -> Response:
    services = services_of(request)
    session = services.sessions.read(request.cookies.get(COOKIE), now=services.now())
    principal = None if session is None else await to_thread.run_sync(_principal, services, session)
    if session is None or principal is None:
        return _to_sign_in(request)
    request.state.session = session
    request.state.principal = principal
    if request.method not in _READING:
        given = (await form_of(request)).get(TOKEN_FIELD, "")
        if not services.sessions.is_form_token(session.id, given):
            raise ProblemError(403, "This form is not of your session; open the page again and repeat it")
    await admit(request, principal, permission)
    return await handler(request)


def _principal(services: Services, session: Session) -> Principal | None:
    """Who it is now. An API key is asked for each time, so that a session ends with its key and not later."""
    if session.key_id is None:
        return session.principal
    try:
        key = services.keys.get(session.key_id, tenant=session.principal.tenant)
    except NotFoundError:
        return None
    if not key.is_valid(services.now()):
        return None
    return Principal(f"key:{key.id}", key.tenant, frozenset({key.role}), PrincipalKind.KEY)


def _to_sign_in(request: Request) -> Response:
    wanted = request.url.path if request.method in _READING else HOME
    response = RedirectResponse(f"{SIGN_IN}?next={quote(wanted)}", 303)
    response.delete_cookie(COOKIE, path=HOME, httponly=True, samesite="strict")
    return response


def refuse_other_sites(request: Request) -> None:
    """Raises ProblemError 403 for a form that a page of another site has sent."""
    # The browser's own word counts first: a proxy may have changed the host that the origin is held against.
    told, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    if told is not None:
        is_ours = told in {"same-origin", "none"}
    else:
        is_ours = origin is None or urlsplit(origin).netloc == request.headers.get("host", "")
    if not is_ours:
        raise ProblemError(403, "This form was sent by another site; open the dashboard and repeat it there")


async def form_of(request: Request) -> dict[str, str]:
    """The fields of a form; of several with one name the last. Raises ProblemError: 415, 422."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        raise ProblemError(415, "Send the form as application/x-www-form-urlencoded")
    try:
        text = (await request.body()).decode()
        fields = parse_qsl(text, keep_blank_values=True, max_num_fields=_MOST_FIELDS, errors="strict")
    except ValueError:
        raise ProblemError(422, "The form cannot be read; send at most 50 fields in UTF-8") from None
    return dict(fields)


FormData = Annotated[dict[str, str], Depends(form_of)]


def reason_in(form: dict[str, str], *, longest: int = 1000) -> str:
    """The field `reason`. Raises ProblemError 422 where nothing stands in it."""
    reason = form.get("reason", "").strip()
    if not 1 <= len(reason) <= longest or "\0" in reason:
        raise ProblemError(422, f"Give a reason of 1 to {longest:,} characters: it is kept with the decision")
    return reason


def going_to(path: str, *, told: str) -> Response:
    """After a form: to the page at `path`, which says what `told.TOLD[told]` says."""
    return RedirectResponse(f"{path}?told={quote(told)}", 303)
