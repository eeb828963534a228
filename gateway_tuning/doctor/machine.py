"""This machine: room on its disk, and whether its folder can be written."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from gateway_tuning.doctor.finding import Finding, fault, ok, warning
from gateway_tuning.settings import Settings

_NEEDED, _PLEASANT = 1e9, 5e9  # bytes: a local job keeps checkpoints, a build its stages


def check_machine(settings: Settings) -> Iterator[Finding]:
    home = settings.home.resolve()
    place = _nearest(home)
    if not os.access(place, os.W_OK):
        yield fault(
            "home folder",
            f"{home} cannot be written by this user",
            "Give the user the right to it, or set GATEWAY_TUNING_HOME to another folder",
        )
    else:
        yield ok("home folder", str(home))
    yield space(home, shutil.disk_usage(place).free)


def space(home: Path, free: float) -> Finding:
    told = f"{free / 1e9:.1f} GB are free for {home}"
    remedy = "Free some, or set GATEWAY_TUNING_HOME to a larger disk; `gateway-tuning datasets retain` removes old datasets"
    if free < _NEEDED:
        return fault("disk", told, remedy)
    return warning("disk", told, remedy) if free < _PLEASANT else ok("disk", told)


def _nearest(folder: Path) -> Path:
    """It is made when it is first needed: what counts until then is where."""
    while not folder.exists():
        folder = folder.parent
    return folder
