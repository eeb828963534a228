"""Who calls, and whether they may. Each route declares it: `dependencies=[allow(Permission.VIEW)]`.

Routers come from `api_router`. Its routes check the caller before they read the body, put the declaration into the
OpenAPI document, and refuse everybody where it is missing; `create_app` does not even start then.
"""

import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from functools import partial
from typing import Annotated, Any

from anyio import to_thread
from fastapi import APIRouter, Depends, Request
from fastapi.params import Depends as DependsParam
from fastapi.routing import APIRoute
from starlette.responses import Response

from gateway_tuning.access.audit import AuditEvent, Outcome
from gateway_tuning.access.permissions import Permission
from gateway_tuning.access.principal import Principal, Refused
from gateway_tuning.api.middleware import request_id, route_template
from gateway_tuning.api.problems import ProblemError, responses
from gateway_tuning.api.rates import RateClass
from gateway_tuning.api.services import Services, services_of

PREFIX = "/api/model-training"
_EVERY_ROUTE = (401, 403, 422, 429, 500, 503)
_EVERY_BODY = (400, 413)
_log = logging.getLogger("gateway_tuning.api")


class Declared:
    """What a route asks of its caller; `permission` None makes it public."""

    def __init__(self, permission: Permission | None, rate: RateClass) -> None:
        self.permission = permission
        self.rate = rate

    async def __call__(self) -> None:
        """Nothing is left to do: the route has checked the caller before anything else."""


def allow(permission: Permission, *, rate: RateClass = RateClass.OTHER) -> Any:
    return Depends(Declared(permission, rate))


def public() -> Any:
    """Anybody may call this: it says nothing about a tenant and changes nothing."""
    return Depends(Declared(None, RateClass.OTHER))


def declared(dependencies: list[DependsParam]) -> Declared | None:
    """The one declaration; None where there is none or more than one."""
    found = [item.dependency for item in dependencies if isinstance(item.dependency, Declared)]
    return found[0] if len(found) == 1 else None


class GuardedRoute(APIRoute):
    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        declaration = declared(options.get("dependencies") or [])
        if declaration is not None and declaration.permission is not None:
            security = {"x-permission": str(declaration.permission), "security": [{"bearer": []}]}
            options["openapi_extra"] = {**security, **(options.get("openapi_extra") or {})}
            with_body = set(options.get("methods") or ()) & {"POST", "PUT", "PATCH"}
            statuses = (*_EVERY_ROUTE, *(_EVERY_BODY if with_body else ()))
            options["responses"] = {**responses(*statuses), **(options.get("responses") or {})}
        super().__init__(path, endpoint, **options)

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        declaration = declared(self.dependencies)
        return _guarded(declaration, self._handler())

    def _handler(self) -> Callable[[Request], Awaitable[Response]]:
        return super().get_route_handler()


class LeanRoute(GuardedRoute):
    """For hot paths: the endpoint takes the request alone and returns a Response. FastAPI only documents it."""

    is_hot = True

    def _handler(self) -> Callable[[Request], Awaitable[Response]]:
        endpoint: Callable[[Request], Awaitable[Response]] = self.endpoint
        return endpoint


def api_router(tag: str, *, route_class: type[GuardedRoute] = GuardedRoute, **options: Any) -> APIRouter:
    return APIRouter(prefix=PREFIX, tags=[tag], route_class=route_class, **options)


def _guarded(
    declaration: Declared | None, handler: Callable[[Request], Awaitable[Response]]
) -> Callable[[Request], Coroutine[Any, Any, Response]]:
    async def guarded(request: Request) -> Response:
        if declaration is None:
            raise ProblemError(403, "This route declares no permission, so nobody may call it")
        if declaration.permission is not None:
            await authorize(request, declaration.permission, declaration.rate)
        return await handler(request)

    return guarded


async def authorize(request: Request, permission: Permission, rate: RateClass = RateClass.OTHER) -> Principal:
    """The caller, who may. Raises ProblemError: 401, 403, 429, or 503 when nobody can tell."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise _unauthorized("Send `Authorization: Bearer` with an API key or a token")
    principal = await identify(request, token)
    await admit(request, principal, permission, rate)
    return principal


async def admit(
    request: Request, principal: Principal, permission: Permission, rate: RateClass = RateClass.OTHER
) -> None:
    """Let the caller in. Raises ProblemError: 403, 429."""
    services = services_of(request)
    wait = services.rates.hit(principal.id, rate)
    if wait is not None:
        raise _too_many(wait)
    if not principal.may(permission):
        await _deny(request, services, principal, permission)
    request.state.principal = principal


async def identify(request: Request, token: str) -> Principal:
    """Whose API key or token this is. Raises ProblemError: 401, 429, 503. Refusals count against the address."""
    services = services_of(request)
    is_key = token.startswith("gt_")
    known = services.keys.recent(token, services.now()) if is_key else _recent_token(services, token)
    if isinstance(known, Principal):
        return known
    address = f"address:{request.client.host if request.client else 'unknown'}"
    # A caller who was let in before is not locked out by others behind the same address.
    judge = services.keys if is_key else services.tokens
    if judge is None or not judge.knows(token):
        wait = services.rates.failed_too_often(address)
        if wait is not None:
            raise _too_many(wait)
    found = known or await _look_up(services, token, is_key=is_key)
    if isinstance(found, Principal):
        return found
    if found.unavailable:
        _log.error(
            "credentials could not be checked in request %s: %s", request_id(request.scope), found.reason
        )
        raise ProblemError(503, "The credentials cannot be checked now; try again", {"Retry-After": "2"})
    services.rates.fail(address)
    services.metrics.refused_logins.inc()
    _log.info("credentials refused in request %s: %s", request_id(request.scope), found.reason)
    raise _unauthorized("The credentials are unknown, expired or revoked")


def _recent_token(services: Services, token: str) -> Principal | Refused | None:
    if services.tokens is None:
        return Refused("tokens are not configured; API keys alone open this API")
    return services.tokens.recent(token, services.now())


async def _look_up(services: Services, token: str, *, is_key: bool) -> Principal | Refused:
    if is_key:
        return await to_thread.run_sync(services.keys.verify, token, services.now(), limiter=services.lookups)
    assert services.tokens is not None  # noqa: S101 - _recent_token refused otherwise
    return await to_thread.run_sync(services.tokens.verify, token, limiter=services.lookups)


async def _deny(request: Request, services: Services, principal: Principal, permission: Permission) -> None:
    wait = services.rates.failed_too_often(principal.id)
    if wait is not None:  # so that nobody fills the audit log by knocking
        raise _too_many(wait)
    services.rates.fail(principal.id)
    services.metrics.denied_calls.inc()
    roles = sorted(principal.roles)
    event = AuditEvent(
        tenant=principal.tenant,
        actor=principal.id,
        action="access",
        object_id=f"{request.method} {route_template(request.scope)}",
        outcome=Outcome.DENIED,
        request_id=request_id(request.scope),
        detail={"permission": str(permission), "roles": roles},
    )
    await to_thread.run_sync(partial(services.audit.append, event, now=services.now()))
    raise ProblemError(403, f"{' and '.join(roles)} may not {permission}; ask an administrator for a role")


def _unauthorized(detail: str) -> ProblemError:
    return ProblemError(401, detail, {"WWW-Authenticate": f'Bearer realm="{PREFIX}"'})


def _too_many(wait_s: int) -> ProblemError:
    return ProblemError(429, f"Too many requests; go on in {wait_s} s", {"Retry-After": str(wait_s)})


async def _caller(request: Request) -> Principal:
    principal: Principal = request.state.principal
    return principal


Caller = Annotated[Principal, Depends(_caller)]


def audit_event(
    request: Request,
    action: str,
    object_id: str,
    *,
    outcome: Outcome = Outcome.DONE,
    detail: Mapping[str, Any] | None = None,
) -> AuditEvent:
    """What the caller did, for `AuditLog.append_in` where it must stand or fall with the change itself."""
    principal: Principal = request.state.principal
    return AuditEvent(
        tenant=principal.tenant,
        actor=principal.id,
        action=action,
        object_id=object_id,
        outcome=outcome,
        request_id=request_id(request.scope),
        detail=dict(detail or {}),
    )


def record(
    request: Request,
    action: str,
    object_id: str,
    *,
    outcome: Outcome = Outcome.DONE,
    detail: Mapping[str, Any] | None = None,
) -> None:
    """Write what the caller did to the audit log. It waits for the store: call it from a `def` route or a thread.

    `action` is noun.verb, as in `run.start`. `detail` holds names and figures, never a text or id of a user.
    """
    services = services_of(request)
    event = audit_event(request, action, object_id, outcome=outcome, detail=detail)
    services.audit.append(event, now=services.now())
