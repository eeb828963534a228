"""A user is found in text that nobody could read, however it is escaped."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_tuning.erasure.mentions import names_user

TEXT = st.text(max_size=20)
USERS = st.text(min_size=1, max_size=20).filter(lambda user: any(map(str.isalnum, user)))


@given(user=USERS, before=TEXT, after=TEXT, depth=st.integers(1, 3))
def test_an_id_in_json_is_found_at_every_depth(user, before, after, depth):
    raw = json.dumps({"id": before, "user": user, "note": after})
    for _ in range(depth - 1):
        raw = json.dumps(raw)

    assert names_user(raw, user)


@pytest.mark.parametrize("raw", ["u-1", "user=u-1;", '{"user": "u-1"', r"\nu-1\n", r'"\u0075-1"', "a u-1."])
def test_an_id_is_found_as_a_whole_token(raw):
    assert names_user(raw, "u-1")


@pytest.mark.parametrize("raw", ["u-17", "su-1", "u-1-x", "nobody", ""])
def test_a_longer_id_is_another_user(raw):
    assert not names_user(raw, "u-1")


def test_a_number_is_found_as_well():
    assert names_user('{"user_id": 17, ', "17")
    assert not names_user('{"user_id": 170, ', "17")
