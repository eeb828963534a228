"""Who may see what a process says of itself. Pure."""

import hmac
import ipaddress
from collections.abc import Mapping

# A proxy on this machine asks for somebody else, and says so.
_FORWARDED = ("forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip")


def may_know(key: str | None, host: str | None, headers: Mapping[str, str]) -> bool:
    """Whoever has the key, and without one whoever calls from this machine and for nobody else."""
    if key is not None:
        shown = headers.get("authorization", "").encode("latin-1", "replace")
        return hmac.compare_digest(shown, b"Bearer " + key.encode())
    if host is None or any(name in headers for name in _FORWARDED):
        return False
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
