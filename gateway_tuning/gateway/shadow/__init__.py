"""The gateway's side of a shadow: requests go to a candidate too, whose answers no user sees."""

from gateway_tuning.gateway.shadow.observer import ShadowObserver, open_shadow

__all__ = ["ShadowObserver", "open_shadow"]
