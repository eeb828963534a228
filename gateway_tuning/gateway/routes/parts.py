"""What one gateway is made of, for whoever answers a request."""

from dataclasses import dataclass

import aiohttp

from gateway_tuning.gateway.door.directory import Directory
from gateway_tuning.gateway.door.entrance import Door
from gateway_tuning.gateway.observers import Observers
from gateway_tuning.gateway.relay.proxy import Proxy
from gateway_tuning.gateway.routing import Router
from gateway_tuning.gateway.telemetry.metrics import Metrics
from gateway_tuning.gateway.writer import OutcomeWriter


@dataclass(frozen=True, slots=True)
class Parts:
    """`status_key` opens what is not for everybody; None: to this machine alone."""

    router: Router
    directory: Directory
    door: Door
    writer: OutcomeWriter
    metrics: Metrics
    session: aiohttp.ClientSession
    proxy: Proxy
    observers: Observers
    status_key: str | None
