"""What a gateway says that it serves. Any router can be asked that can answer so; ours does over HTTP."""

import json
import urllib.error
import urllib.request
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any, Protocol
from urllib.parse import urlsplit

from gateway_tuning.errors import ConfigurationError, ServingError
from gateway_tuning.settings import Settings

_TIMEOUT_S = 3.0
_LONGEST_ANSWER = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Served:
    """Of one model. `stable` is None where it serves nobody, `candidate` and `canary_id` where no canary splits it."""

    stable: str | None
    candidate: str | None = None
    canary_id: str | None = None
    share: float = 0.0


class Router(Protocol):
    @property
    def name(self) -> str:
        """What people call it: its address."""
        ...

    def served(self, model: str) -> Served:
        """Raises ServingError when it does not say."""
        ...


class GatewayRouter:
    """Our gateway's `GET /routes`, asked once: make another one for another look.

    `key` is its status key; without one it answers its own machine alone.
    """

    def __init__(self, url: str, key: str | None = None) -> None:
        if urlsplit(url).scheme not in {"http", "https"}:
            raise ConfigurationError(
                f"GATEWAY_TUNING_GATEWAY_URLS names {url!r}; write http:// or https:// and a host"
            )
        self.name = url.rstrip("/")
        self._key = key
        self._answer: dict[str, Any] | ServingError | None = None

    def served(self, model: str) -> Served:
        if self._answer is None:
            self._answer = self._ask()
        answer = self._answer
        if isinstance(answer, ServingError):
            raise answer
        if answer.get("error"):
            raise ServingError(f"{self.name} goes by routes that may be old: {answer['error']}")
        try:
            return _served(answer["models"].get(model))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise _strange(self.name) from error

    def _ask(self) -> dict[str, Any] | ServingError:
        headers = {"accept": "application/json"}
        if self._key is not None:
            headers["authorization"] = f"Bearer {self._key}"
        request = urllib.request.Request(f"{self.name}/routes", headers=headers)  # noqa: S310 - checked at its beginning
        try:
            with _OPENER.open(request, timeout=_TIMEOUT_S) as answer:
                read = json.loads(answer.read(_LONGEST_ANSWER))
        except urllib.error.HTTPError as error:
            return ServingError(f"{self.name} answers {error.code}; {_remedy(error.code)}")
        except (OSError, HTTPException, ValueError) as error:
            return ServingError(f"{self.name} does not say what it serves: {error}")
        return read if isinstance(read, dict) else _strange(self.name)


def routers(settings: Settings) -> tuple[GatewayRouter, ...]:
    """One for each of `gateway_urls`; none where no address is set. Raises ConfigurationError."""
    key = settings.gateway_status_key.get_secret_value() if settings.gateway_status_key else None
    urls = [url.strip() for url in (settings.gateway_urls or "").split(",")]
    return tuple(GatewayRouter(url, key) for url in urls if url)


def _served(found: Any) -> Served:
    if found is None:
        return Served(None)
    canary = found.get("canary")
    if canary is None:
        return Served(found["stable"])
    return Served(found["stable"], canary["candidate"], canary["id"], float(canary["share"]))


def _strange(name: str) -> ServingError:
    return ServingError(
        f"{name}/routes answers what no gateway of ours does; look at GATEWAY_TUNING_GATEWAY_URLS"
    )


def _remedy(status: int) -> str:
    if status in {401, 403}:
        return "set GATEWAY_TUNING_GATEWAY_STATUS_KEY to the same value here and there"
    return "look at its log"


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """The status key goes to the address that was set and to no other."""

    def redirect_request(self, *_arguments: Any, **_options: Any) -> None:
        return None


_OPENER = urllib.request.build_opener(_NoRedirects, urllib.request.ProxyHandler({}))
