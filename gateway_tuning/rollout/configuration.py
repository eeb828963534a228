"""What a canary is pinned to. Pure: a change of any of it in the middle makes the comparison worth nothing."""

import json
from dataclasses import asdict, dataclass
from hashlib import sha256
from urllib.parse import urlsplit

from gateway_tuning.registry.endpoint import Endpoint
from gateway_tuning.rollout.canary import Canary
from gateway_tuning.rollout.judge import metrics

# Raise it with every change of what the judge or the state machine decides from the same outcomes.
JUDGE_VERSION = 2
_THIS_MACHINE = frozenset({"127.0.0.1", "localhost", "::1"})


@dataclass(frozen=True, slots=True)
class Pin:
    """An endpoint's digest, and how often it was told anew: one that came back has been elsewhere meanwhile.

    `told` is None of a server that is started here, which is told at each start.
    """

    digest: str
    told: int | None


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Where the two versions answer. None is a version whose endpoint nobody has told yet."""

    candidate: Pin | None
    control: Pin | None


@dataclass(frozen=True, slots=True)
class Configuration:
    """`hash` of all there is now; `before` those of the same with an endpoint or both not told yet."""

    hash: str
    before: frozenset[str]


def configuration(canary: Canary, endpoints: Endpoints, scorer: str | None) -> Configuration:
    """`scorer` is who scores relevance, None where the policy does not monitor it.

    An endpoint that is told for the first time changes nothing: nobody can have been answered without it.
    """
    earlier = {
        Endpoints(candidate, control)
        for candidate in _now_and_before(endpoints.candidate)
        for control in _now_and_before(endpoints.control)
    } - {endpoints}
    return Configuration(
        _hash(canary, endpoints, scorer), frozenset(_hash(canary, one, scorer) for one in earlier)
    )


def endpoint_digest(endpoint: Endpoint, *, started_here: bool) -> str:
    """`started_here`: a server of ours for the version's files, which gets another port each time it starts."""
    url = urlsplit(endpoint.base_url)
    if started_here and url.hostname in _THIS_MACHINE:
        endpoint = Endpoint(
            f"{url.scheme}://{url.hostname}{url.path}",
            endpoint.model,
            endpoint.extra_body,
            endpoint.api_key_env,
        )
    return endpoint.digest


def _now_and_before(pin: Pin | None) -> set[Pin | None]:
    return {pin} if pin is not None and pin.told is not None and pin.told > 1 else {pin, None}


def _hash(canary: Canary, endpoints: Endpoints, scorer: str | None) -> str:
    pinned = {
        "endpoints": asdict(endpoints),
        "versions": [canary.candidate, canary.control],
        "policy": canary.policy.model_dump(mode="json"),
        "plan": [asdict(metric) for metric in metrics(canary.policy)],
        "judge": JUDGE_VERSION,
        "scorer": scorer,
        "salt": canary.salt,
    }
    return sha256(json.dumps(pinned, sort_keys=True, default=str).encode()).hexdigest()
