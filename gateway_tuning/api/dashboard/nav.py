"""Where one can go, as data."""

from dataclasses import dataclass

from gateway_tuning.access.permissions import Permission
from gateway_tuning.access.principal import Principal

HOME = "/dashboard"


@dataclass(frozen=True, slots=True)
class Entry:
    title: str
    path: str
    permission: Permission = Permission.VIEW


@dataclass(frozen=True, slots=True)
class Group:
    title: str
    entries: tuple[Entry, ...]


GROUPS = (
    Group(
        "Data",
        (
            Entry("Feedback", f"{HOME}/feedback"),
            Entry("Quarantine", f"{HOME}/quarantine"),
            Entry("Datasets", f"{HOME}/datasets"),
            Entry("Drift", f"{HOME}/drift"),
        ),
    ),
    Group(
        "Models",
        (
            Entry("Cycles", f"{HOME}/cycles"),
            Entry("Jobs", f"{HOME}/jobs"),
            Entry("Models", f"{HOME}/models"),
            Entry("Evaluations", f"{HOME}/evaluations"),
            Entry("Canaries", f"{HOME}/canaries"),
        ),
    ),
    Group(
        "Oversight",
        (
            Entry("Approvals", f"{HOME}/approvals", Permission.DEPLOY),
            Entry("Costs", f"{HOME}/costs"),
            Entry("Notices", f"{HOME}/notices"),
            Entry("Audit", f"{HOME}/audit", Permission.MANAGE),
        ),
    ),
)


def groups_for(principal: Principal) -> list[Group]:
    """What the caller may open; a group without such an entry is left out."""
    shown = [
        Group(group.title, tuple(entry for entry in group.entries if principal.may(entry.permission)))
        for group in GROUPS
    ]
    return [group for group in shown if group.entries]


def is_current(entry: Entry, path: str) -> bool:
    return path == entry.path or path.startswith(f"{entry.path}/")
