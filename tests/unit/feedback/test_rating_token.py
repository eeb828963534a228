from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from gateway_tuning.feedback.rating_token import fault, issue

KEY = b"a key of the gateway, 32 bytes.."
NOW = datetime(2026, 11, 1, tzinfo=UTC)
LATER = NOW + timedelta(days=7)

ANSWERS = st.text("abcdef0123456789", min_size=1, max_size=32)
USERS = st.none() | st.text(st.characters(), min_size=1)


@given(answer=ANSWERS, user=USERS)
def test_a_token_vouches_for_its_answer_and_user_until_it_expires(answer, user):
    token = issue(KEY, answer, user, LATER)

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


@given(st.data())
def test_whatever_is_changed_in_it_it_is_not_genuine_any_more(data):
    token = issue(KEY, "a1", "anna", LATER)
    place = data.draw(st.integers(0, len(token) - 1))
    letter = data.draw(st.characters().filter(lambda found: found != token[place]))
    changed = token[:place] + letter + token[place + 1 :]

    assert fault(KEY, changed, answer_id="a1", user="anna", now=NOW) == "Rating token is not genuine"


@given(st.text(st.characters()))
def test_any_text_is_refused_without_an_error(text):
    assert fault(KEY, text, answer_id="a1", user="anna", now=NOW) is not None


def test_another_key_does_not_vouch():
    token = issue(b"another key, as long as the first", "a1", "anna", LATER)

    assert fault(KEY, token, answer_id="a1", user="anna", now=NOW) == "Rating token is not genuine"


def test_the_user_cannot_be_read_from_it():
    assert "anna" not in issue(KEY, "a1", "anna", LATER)
