from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_tuning.errors import ConfigurationError, ConflictError
from gateway_tuning.registry.aliases import AliasName
from gateway_tuning.registry.mlflow.tags import mlflow_alias, our_alias
from gateway_tuning.registry.statuses import ALLOWED, SERVABLE, ModelStatus, require_allowed

EVERY = list(ModelStatus)


def allows(before, status):
    try:
        require_allowed("v1", before, status)
    except ConflictError as error:
        assert all(f"{one}" in str(error) for one in ALLOWED[before])  # noqa: PT017 - what it says is the point
        return False
    return True


def test_exactly_these_changes_are_allowed():
    assert {(one.value, other.value) for one, other in product(EVERY, EVERY) if allows(one, other)} == {
        ("created", "training"),
        ("created", "available"),
        ("created", "failed"),
        ("created", "archived"),
        ("training", "available"),
        ("training", "failed"),
        ("available", "deployed"),
        ("available", "archived"),
        ("deployed", "available"),
        ("failed", "training"),
        ("failed", "available"),
        ("failed", "archived"),
        ("archived", "available"),
    }


def test_nothing_serves_users_that_was_not_available_first():
    assert {before for before in EVERY if ModelStatus.DEPLOYED in ALLOWED[before]} == {ModelStatus.AVAILABLE}
    assert {ModelStatus.AVAILABLE, ModelStatus.DEPLOYED} == SERVABLE


def test_the_alias_of_the_default_environment_goes_by_its_name():
    assert AliasName.parse("stable") == AliasName.parse("production/stable")
    assert str(AliasName.parse("production/stable")) == "stable"
    assert str(AliasName.parse("staging/stable")) == "staging/stable"


@pytest.mark.parametrize(
    "text",
    ["", "/", "a/", "/a", "a/b/c", "Stable", "a--b", "a-", "-a", "1a", "ü", "a b", "a" * 19, "latest", "v7"],
)
def test_what_is_no_alias_is_refused_with_the_way_to_write_one(text):
    with pytest.raises(ConfigurationError, match="is no alias: "):
        AliasName.parse(text)


part = st.from_regex(r"[a-z][a-z0-9_]{0,8}(-[a-z0-9_]{1,4})?", fullmatch=True)


@given(environment=part, name=part.filter(lambda text: text != "latest" and not text[1:].isdigit()))
def test_an_alias_survives_its_way_through_mlflow(environment, name):
    parsed = AliasName.parse(f"{environment}/{name}")

    assert AliasName.parse(our_alias(mlflow_alias(parsed))) == parsed
