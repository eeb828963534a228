"""What a build shows of its stages to whoever may stop it."""

from collections.abc import Callable
from dataclasses import dataclass

from gateway_tuning.datasets.building.arranging import Arranged
from gateway_tuning.datasets.building.plan import Plan
from gateway_tuning.datasets.building.reading import Read
from gateway_tuning.datasets.building.resolving import Resolved
from gateway_tuning.datasets.manifest import Manifest


@dataclass(frozen=True, slots=True)
class Statements:
    """Of the records, anonymized and taken apart."""

    plan: Plan
    reads: tuple[Read, ...]


@dataclass(frozen=True, slots=True)
class Examples:
    """In their splits, and not written yet."""

    plan: Plan
    resolved: tuple[Resolved, ...]
    arranged: Arranged


@dataclass(frozen=True, slots=True)
class Written:
    """Parts and exports lie on object storage; the manifest, without which there is no dataset, does not."""

    plan: Plan
    manifest: Manifest


Evidence = Statements | Examples | Written
Check = Callable[[Evidence], None]  # raises to end the build
