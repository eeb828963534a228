"""What waits for a person: as much of it as this person may do something about."""

from dataclasses import dataclass

from gateway_tuning.access.permissions import Permission
from gateway_tuning.access.principal import Principal
from gateway_tuning.api.dashboard import set_aside
from gateway_tuning.api.dashboard.nav import HOME
from gateway_tuning.api.services import Services
from gateway_tuning.runs.approvals import ApprovalState, ApprovalStore

_MOST_NAMED = 5


@dataclass(frozen=True, slots=True)
class Matter:
    what: str
    path: str


def matters(services: Services, principal: Principal) -> list[Matter]:
    found = []
    if principal.may(Permission.DEPLOY):
        pending = ApprovalStore(services.engine).page(
            principal.tenant, limit=_MOST_NAMED + 1, state=ApprovalState.PENDING
        )
        path = f"{HOME}/approvals?state=pending"
        found += [
            Matter(f"{one.candidate} awaits approval, for {one.model}", path) for one in pending[:_MOST_NAMED]
        ]
        if len(pending) > _MOST_NAMED:
            found.append(Matter("More approvals", path))
    if principal.may(Permission.EDIT):
        count, more = set_aside.waiting(services.engine, principal.tenant)
        if count:
            told = (
                f"{count:,}{'+' if more else ''} {'record' if count == 1 else 'records'} set aside to review"
            )
            found.append(Matter(told, f"{HOME}/quarantine"))
    return found
