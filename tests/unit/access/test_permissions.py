import pytest

from gateway_tuning.access.permissions import GRANTS, Permission, Role, permitted
from gateway_tuning.access.principal import Principal, PrincipalKind, tenant_name
from gateway_tuning.errors import ConfigurationError

# Written out once more: a change of the table must be meant.
MAY = {
    Role.FEEDBACK_WRITER: {"submit"},
    Role.MODEL_VIEWER: {"view"},
    Role.MODEL_MANAGER: {"submit", "view", "create", "edit", "evaluate"},
    Role.MODEL_ADMIN: {"submit", "view", "create", "edit", "evaluate", "deploy", "delete", "manage"},
}


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("permission", Permission)
def test_a_role_grants_what_the_table_says_and_nothing_else(role, permission):
    principal = Principal("key:ab12", "default", frozenset({role}), PrincipalKind.KEY)

    assert principal.may(permission) is (permission in MAY[role])


def test_every_permission_stands_in_the_table():
    assert set(GRANTS) == set(Permission)


@pytest.mark.parametrize("permission", Permission)
def test_nobody_without_a_role_may_anything(permission):
    assert not permitted([], permission)


def test_two_roles_grant_what_either_grants():
    roles = [Role.FEEDBACK_WRITER, Role.MODEL_VIEWER]

    assert {permission for permission in Permission if permitted(roles, permission)} == {"submit", "view"}


@pytest.mark.parametrize("name", ["", ".hidden", "a/b", "a b", "a\nb", "x" * 101, "ü"])
def test_a_tenant_name_that_could_mislead_a_path_or_a_log_is_refused(name):
    with pytest.raises(ConfigurationError, match="no tenant name"):
        tenant_name(name)
