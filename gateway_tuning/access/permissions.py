"""Who may what: one table. What is not in it is denied."""

from collections.abc import Iterable
from enum import StrEnum


class Permission(StrEnum):
    SUBMIT = "submit"  # post feedback
    VIEW = "view"
    CREATE = "create"  # start a run
    EDIT = "edit"  # change or stop what was started
    EVALUATE = "evaluate"
    DEPLOY = "deploy"  # put a model before users: approve, promote, roll back
    DELETE = "delete"  # erase a person
    MANAGE = "manage"  # API keys and the audit log


class Role(StrEnum):
    FEEDBACK_WRITER = "FeedbackWriter"  # an application: it posts feedback and sees nothing
    MODEL_VIEWER = "ModelViewer"
    MODEL_MANAGER = "ModelManager"
    MODEL_ADMIN = "ModelAdmin"


GRANTS: dict[Permission, frozenset[Role]] = {
    Permission.SUBMIT: frozenset({Role.FEEDBACK_WRITER, Role.MODEL_MANAGER, Role.MODEL_ADMIN}),
    Permission.VIEW: frozenset({Role.MODEL_VIEWER, Role.MODEL_MANAGER, Role.MODEL_ADMIN}),
    Permission.CREATE: frozenset({Role.MODEL_MANAGER, Role.MODEL_ADMIN}),
    Permission.EDIT: frozenset({Role.MODEL_MANAGER, Role.MODEL_ADMIN}),
    Permission.EVALUATE: frozenset({Role.MODEL_MANAGER, Role.MODEL_ADMIN}),
    Permission.DEPLOY: frozenset({Role.MODEL_ADMIN}),
    Permission.DELETE: frozenset({Role.MODEL_ADMIN}),
    Permission.MANAGE: frozenset({Role.MODEL_ADMIN}),
}


def permitted(roles: Iterable[Role], permission: Permission) -> bool:
    granted = GRANTS.get(permission, frozenset())
    return any(role in granted for role in roles)
