"""Canaries, live: who is on the candidate, what the figures say, and what a person may do about it."""

from dataclasses import dataclass

from fastapi import Request
from starlette.responses import Response

from gateway_tuning.access.ancestry import same_person
from gateway_tuning.access.permissions import Permission
from gateway_tuning.access.principal import Principal
from gateway_tuning.api import canaries as api
from gateway_tuning.api import canary_actions
from gateway_tuning.api.dashboard import links
from gateway_tuning.api.dashboard.lists import Few, first_page
from gateway_tuning.api.dashboard.page import render
from gateway_tuning.api.dashboard.routes import FormData, going_to, page_router, reason_in
from gateway_tuning.api.problems import ProblemError
from gateway_tuning.api.security import Caller, allow
from gateway_tuning.api.services import CallServices, Services
from gateway_tuning.cycles.store import CycleStore
from gateway_tuning.rollout.canary import Canary, Look
from gateway_tuning.rollout.reporting import words
from gateway_tuning.rollout.reporting.page import facts, render_parts
from gateway_tuning.rollout.reporting.story import read_story
from gateway_tuning.storage.database import reading
from gateway_tuning.storage.paging import owned_row
from gateway_tuning.storage.tables import canaries
from gateway_tuning.training.cost.price_file import price_book

_DRAWN = 100  # looks: a page that is asked for again and again stays small
_DONE = {"approve": "approved", "override": "overridden", "reject": "rejected", "abort": "aborted"}

router = page_router()


@dataclass(frozen=True, slots=True)
class Choice:
    """A button: what it sends, what it says, and how it looks."""

    value: str
    text: str
    look: str


@dataclass(frozen=True, slots=True)
class Choices:
    """What the caller may do now. `usual` is empty where nothing is; `override` is None where none is possible."""

    usual: tuple[Choice, ...]
    override: Choice | None
    is_own: bool


@router.get("/canaries", dependencies=[allow(Permission.VIEW)])
def list_canaries(request: Request, caller: Caller, services: CallServices, few: Few) -> Response:
    page = api.list_canaries(request, caller, services, few)
    return render(
        request,
        "canaries.html.j2",
        canaries=page.items,
        next=page.next,
        first=first_page(request),
        links=links,
    )


@router.get("/canaries/{canary_id}", dependencies=[allow(Permission.VIEW)])
def show_canary(
    request: Request, caller: Caller, services: CallServices, canary_id: str, *, costs: bool = False
) -> Response:
    """`costs` adds up every request of both arms: of one that runs, only when somebody asks."""
    row = owned_row(services.engine, canaries, canary_id, tenant=caller.tenant, what="canary")
    now = services.now()
    costs = costs or row.state != "running"
    prices = price_book(services.settings.price_file, today=now.date()) if costs else None
    story = read_story(services.engine, canary_id, now=now, prices=prices, drawn=_DRAWN)
    canary, last = story.canary, story.looks[-1] if story.looks else None
    sentence, tone = words.headline(canary)
    is_running = canary.state == "running"
    return render(
        request,
        "canary.html.j2",
        canary=canary,
        sentence=sentence,
        tone=tone,
        facts=facts(story),
        reasons=() if is_running else words.why(canary, last),
        missing=words.missing(canary, last),
        following=words.named(canary.next_share) if is_running else None,
        simulated=0 if last is None else last.verdict.get("simulated_requests", 0),
        parts_shown=render_parts(story),
        choices=choices(services, caller, canary, last),
        is_live=is_running and not costs,
        cycle=next(iter(CycleStore(services.engine).that_made(caller.tenant, canary_id)), None),
        links=links,
    )


@router.post("/canaries/{canary_id}/decisions", dependencies=[allow(Permission.DEPLOY)])
def decide(
    request: Request, caller: Caller, services: CallServices, canary_id: str, form: FormData
) -> Response:
    """As the API's routes of the same names, which refuse whoever started it, and write the audit log."""
    (action, share), reason = _decision(form), reason_in(form)
    call = (request, caller, services, canary_id)
    if action == "approve":
        canary_actions.approve(*call, canary_actions.CanaryApproval(share=share, comment=reason))
    elif action == "override":
        canary_actions.override(*call, canary_actions.CanaryOverride(share=share, comment=reason))
    elif action == "reject":
        canary_actions.reject(*call, canary_actions.CanaryRejection(comment=reason))
    else:
        canary_actions.abort(*call, canary_actions.CanaryAbort(reason=reason))
    return going_to(links.canary(canary_id), told=f"canary.{_DONE[action]}")


def _decision(form: dict[str, str]) -> tuple[str, float]:
    """The button: what it does, and the share that whoever pressed it saw on it. Raises ProblemError 422."""
    action, _, share = form.get("decision", "").partition(" ")
    try:
        wanted = float(share or 0)
    except ValueError:
        wanted = 0.0
    if action not in _DONE or (action in {"approve", "override"} and not 0 < wanted <= 1):
        raise ProblemError(
            422, "No decision was sent; open the canary's page again and press one of its buttons"
        )
    return action, wanted


def choices(services: Services, caller: Principal, canary: Canary, last: Look | None) -> Choices | None:
    """None for those who may not put models before users, and where nothing can be done."""
    if not caller.may(Permission.DEPLOY):
        return None
    own = _is_own(services, caller, canary)
    if canary.state == "inconclusive":
        sound = last is not None and last.unsound == ()
        promote = Choice("override 1", "Promote it all the same", "bad")
        return Choices((), promote, own) if sound and canary.started_by is not None else None
    if canary.state != "running":
        return None
    waits = canary.unapproved_share
    usual = []
    if waits is not None:
        if not own:
            usual.append(Choice(f"approve {waits!r}", f"Approve {words.named(waits)}", "primary"))
        usual.append(Choice("reject", "Reject and end it", "bad"))
    usual.append(Choice("abort", "Abort: all users back now", "bad"))
    step = canary.next_share
    override = Choice(f"override {step!r}", f"Want {words.named(step)} all the same", "bad")
    return Choices(tuple(usual), override if canary.started_by is not None and not own else None, own)


def _is_own(services: Services, caller: Principal, canary: Canary) -> bool:
    if canary.started_by is None:
        return False
    with reading(services.engine) as connection:
        return same_person(connection, caller.id, canary.started_by)
