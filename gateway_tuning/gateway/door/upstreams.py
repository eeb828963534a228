"""Whom the gateway asks, and which key goes there. Pure.

The store says where a model answers, and a store can be written to by whoever breaks into it: an address that is not
listed here gets no request, and a key goes to the hosts it is bound to and nowhere else.
"""

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from gateway_tuning.errors import ConfigurationError
from gateway_tuning.registry.endpoint import Endpoint

SETTING = "GATEWAY_TUNING_GATEWAY_UPSTREAMS"
# Of every installation; all of them by https on its own port.
PROVIDERS = (
    "api.openai.com=OPENAI_API_KEY,api.mistral.ai=MISTRAL_API_KEY,"
    "api.together.ai=TOGETHER_API_KEY,api.together.xyz=TOGETHER_API_KEY,api.fireworks.ai=FIREWORKS_API_KEY"
)
# Of the servers that we start on this machine ourselves. Other settings are secrets that no model is to hear.
_OWN = frozenset({"GATEWAY_TUNING_LOCAL_SERVER_KEY", "GATEWAY_TUNING_LOCAL_SERVICE_KEY"})
_SCHEMES = {"http": 80, "https": 443}
_HOST = r"\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_](?:[A-Za-z0-9._-]*[A-Za-z0-9_])?"
_PORT = r"[0-9]{1,5}"
# No user, no query, no escape that two readers of an address could understand in two ways.
_ADDRESS = re.compile(rf"(https?)://({_HOST})(?::({_PORT}))?(?:/[A-Za-z0-9._~/%:-]*)?")
_ENTRY = re.compile(rf"({_HOST})(?::({_PORT}))?(?:=([A-Za-z_][A-Za-z0-9_]*))?")


@dataclass(frozen=True, slots=True)
class Upstreams:
    """`variables` by host and port: those whose value may be sent there as key. Without a port a host means https."""

    variables: Mapping[tuple[str, int | None], frozenset[str]] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str | None) -> "Upstreams":
        """`host[:port][=VARIABLE]`, by commas, beside the known providers. A host may stand there more than once.

        Raises ConfigurationError.
        """
        found: dict[tuple[str, int | None], frozenset[str]] = {}
        for entry in filter(None, (part.strip() for part in f"{PROVIDERS},{text or ''}".split(","))):
            matched = _ENTRY.fullmatch(entry)
            if matched is None or not _is_port(matched[2]):
                raise ConfigurationError(
                    f"{SETTING}: {entry[:100]!r} is no upstream; write host, host:port or host:port=KEY_VARIABLE"
                )
            place = (matched[1].lower(), int(matched[2]) if matched[2] else None)
            found[place] = found.get(place, frozenset()) | ({matched[3]} if matched[3] else frozenset())
        return cls(found)

    def refusal(self, endpoint: Endpoint) -> str | None:
        """Why nothing may be sent to an endpoint, and what to do; None where it may be asked, with its key."""
        matched = _ADDRESS.fullmatch(endpoint.base_url)
        if matched is None or not _is_port(matched[3]):
            return f"{endpoint.base_url[:200]!r} is no plain http(s) address; correct the endpoint"
        scheme, host = matched[1], matched[2].lower()
        port = int(matched[3]) if matched[3] else _SCHEMES[scheme]
        places: list[tuple[str, int | None]] = [(host, port)]
        if (scheme, port) == ("https", _SCHEMES["https"]):
            places.append((host, None))
        listed = [self.variables[place] for place in places if place in self.variables]
        remedy = f"if it should be, list it in {SETTING} as {host}:{port}"
        if not listed and not _is_loopback(host):
            return f"{scheme}://{host}:{port} is not among the allowed upstreams; {remedy}"
        name = endpoint.api_key_env
        if name is None or any(name in variables for variables in listed):
            return None
        if _is_loopback(host) and name in _OWN:
            return None
        return f"the key in {name[:100]} is not bound to {host}:{port}; {remedy}={name[:100]}"


def _is_port(text: str | None) -> bool:
    return text is None or 0 < int(text) < 1 << 16


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
