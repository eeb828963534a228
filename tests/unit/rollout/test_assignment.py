import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from gateway_tuning.rollout.assignment import arm, bucket, user_key

shares = st.floats(0, 0.5)
users = st.text()


@given(users, st.text(), st.text())
def test_a_bucket_is_stable_and_lies_in_the_unit_interval(user, salt, canary):
    place = bucket(salt, canary, user)
    assert 0 <= place < 1
    assert place == bucket(salt, canary, user)


@given(users, shares, shares)
def test_nobody_leaves_the_canary_or_the_control_while_the_share_rises(user, one, other):
    low, high = sorted((one, other))
    before, after = (arm(bucket("salt", "c", user), share) for share in (low, high))
    assert before in {"stable", after}


def test_canary_and_control_are_equally_large_at_every_share():
    places = np.linspace(0, 1, 10_000, endpoint=False)
    for share in (0.0, 0.01, 0.1, 0.25, 0.5):
        arms = [arm(place, share) for place in places]
        assert abs(arms.count("canary") - arms.count("control")) <= 1
        assert abs(arms.count("canary") / len(places) - share) < 0.001


def test_places_are_uniform_and_independent_between_salts_and_canaries():
    names = [f"user-{number}" for number in range(4000)]
    first, other_salt, other_canary = (
        np.array([bucket(salt, canary, name) for name in names])
        for salt, canary in (("s1", "c1"), ("s2", "c1"), ("s1", "c2"))
    )
    assert stats.kstest(first, "uniform").pvalue > 0.01
    assert abs(np.corrcoef(first, other_salt)[0, 1]) < 0.05
    assert abs(np.corrcoef(first, other_canary)[0, 1]) < 0.05


def test_a_user_key_depends_on_the_salt_and_does_not_show_the_user():
    assert user_key("s1", "user:ann") == user_key("s1", "user:ann")
    assert user_key("s1", "user:ann") != user_key("s2", "user:ann")
    assert "ann" not in user_key("s1", "user:ann")
    assert len(user_key("s1", "\ud800")) == 64
