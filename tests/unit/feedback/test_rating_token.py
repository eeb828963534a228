from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from gateway_tuning.feedback.rating_token import fault, issue, version_of

KEY = b"a key of the gateway, 32 bytes.."
NOW = datetime(2026, 11, 1, tzinfo=UTC)
LATER = NOW + timedelta(days=7)

ANSWERS = st.text("abcdef0123456789", min_size=1, max_size=32)
USERS = st.none() | st.text(st.characters(), min_size=1)


VERSIONS = st.none() | st.text(st.characters(exclude_categories=["Cs"]), min_size=1)


@given(answer=ANSWERS, user=USERS, version=VERSIONS)
def test_a_token_vouches_for_its_answer_and_user_until_it_expires(answer, user, version):
    token = issue(KEY, answer, user, LATER, version=version)

    assert fault(KEY, token, answer_id=answer, user=user, now=LATER) is None
    expired = fault(KEY, token, answer_id=answer, user=user, now=LATER + timedelta(seconds=2))
    assert expired == "Rating token has expired"


@given(answer=ANSWERS, user=st.text(min_size=1), other=st.none() | st.text(min_size=1))
def test_another_user_cannot_use_it(answer, user, other):
    token = issue(KEY, answer, user, LATER)

    found = fault(KEY, token, answer_id=answer, user=other, now=NOW)

    assert found == (None if other == user else "Rating token belongs to another user")


def test_it_belongs_to_one_answer():
    token = issue(KEY, "a1", "anna", LATER)

    assert fault(KEY, token, answer_id="a2", user="anna", now=NOW) == "Rating token belongs to another answer"
    assert fault(KEY, token, answer_id=None, user="anna", now=NOW) == "Rating token belongs to another answer"


@given(answer=ANSWERS, user=USERS, version=VERSIONS)
def test_a_token_vouches_for_the_version_that_answered_and_stands_in_a_header(answer, user, version):
    token = issue(KEY, answer, user, LATER, version=version)

    assert version_of(KEY, token) == version
    assert token.isascii()
    assert token.isprintable()


def test_a_token_of_the_first_kind_still_vouches_for_all_but_a_version():
    token = issue(KEY, "a1", "anna", LATER)

    assert token.startswith("v1.a1.")
    assert fault(KEY, token, answer_id="a1", user="anna", now=NOW) is None
    assert version_of(KEY, token) is None


def test_a_token_of_another_key_or_none_at_all_names_no_version():
    forged = issue(b"another key, as long as the first", "a1", "anna", LATER, version="v9")

    assert [version_of(KEY, token) for token in (forged, "", "v2.a1.v9.-.1.x")] == [None, None, None]


@given(st.data(), st.sampled_from([None, "v1.2"]))
def test_whatever_is_changed_in_it_it_is_not_genuine_any_more(data, version):
    token = issue(KEY, "a1", "anna", LATER, version=version)
    place = data.draw(st.integers(0, len(token) - 1))
    letter = data.draw(st.characters().filter(lambda found: found != token[place]))
    changed = token[:place] + letter + token[place + 1 :]

    assert fault(KEY, changed, answer_id="a1", user="anna", now=NOW) == "Rating token is not genuine"
    assert version_of(KEY, changed) is None


@given(st.text(st.characters()))
def test_any_text_is_refused_without_an_error(text):
    assert fault(KEY, text, answer_id="a1", user="anna", now=NOW) is not None


def test_another_key_does_not_vouch():
    token = issue(b"another key, as long as the first", "a1", "anna", LATER)

    assert fault(KEY, token, answer_id="a1", user="anna", now=NOW) == "Rating token is not genuine"


def test_the_user_cannot_be_read_from_it():
    assert "anna" not in issue(KEY, "a1", "anna", LATER)
