"""Whether a canary's end has arrived: every gateway is asked what it serves. Asking again changes nothing."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from gateway_tuning.errors import ServingError
from gateway_tuning.rollout.canary import Canary
from gateway_tuning.rollout.served import Router, Served

ARRIVES_WITHIN = timedelta(seconds=10)  # a gateway reads its routes every half second
UNVERIFIABLE = "no gateway was asked: set GATEWAY_TUNING_GATEWAY_URLS to have the end verified"


@dataclass(frozen=True, slots=True)
class Verification:
    """`told` is for people. An end of which a gateway says nothing, or nothing can be asked, is not verified."""

    verified: bool
    told: str


def verify(canary: Canary, stable: str | None, routers: Sequence[Router]) -> Verification:
    """Ask each gateway about a canary that has ended. `stable` is what the alias of its model names now."""
    if not routers:
        return Verification(False, UNVERIFIABLE)
    wrong = [found for router in routers if (found := _wrong(canary, stable, router)) is not None]
    if wrong:
        return Verification(False, "; ".join(wrong))
    asked = "1 gateway serves" if len(routers) == 1 else f"{len(routers)} gateways serve"
    return Verification(True, f"{asked} {stable or 'nothing'} as stable and nobody canary {canary.id}")


def is_alarming(canary: Canary, found: Verification, now: datetime) -> bool:
    """Users may still be on a candidate that should have none, or miss the one that was promoted."""
    if found.verified or found.told == UNVERIFIABLE or canary.finished_at is None:
        return False
    return now - canary.finished_at > ARRIVES_WITHIN


def _wrong(canary: Canary, stable: str | None, router: Router) -> str | None:
    try:
        served = router.served(canary.model)
    except ServingError as error:
        return str(error)
    if _is_of(canary, served):
        return f"{router.name} still sends {served.share:.0%} of users to {served.candidate} as canary {canary.id}"
    # Another end since may have moved the alias on: what counts is that the gateway knows the newest.
    if served.stable == stable or (served.stable is None and canary.state != "promoted"):
        return None
    return f"{router.name} serves {served.stable or 'nothing'} as stable of {canary.model}, not {stable}"


def _is_of(canary: Canary, served: Served) -> bool:
    return served.canary_id == canary.id
