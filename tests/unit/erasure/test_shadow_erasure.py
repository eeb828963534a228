"""What a shadow kept of a person: figures under a key that the shadow's salt gives."""

from gateway_tuning.erasure.begin import begin
from gateway_tuning.rollout.assignment import named
from gateway_tuning.rollout.shadows.shadow import Pair
from tests.conftest import NOW, give_key
from tests.rollouts import shadow_store, start_shadow

PERSON, OTHER = "ann@example.com", "bob"


def test_pairs_of_the_person_are_removed_and_those_of_others_stay(engine):
    give_key(engine, "t")
    store = shadow_store(engine)
    shadow = start_shadow(store)
    for answer_id, user in (("a1", PERSON), ("a2", OTHER), ("a3", None)):
        key = shadow.user_key(None if user is None else named(user), answer_id)
        pair = Pair(shadow.id, answer_id, key, NOW, {"failed": 0.0}, {"failed": 0.0}, 1.0, 1.0, None, None)
        store.record(pair, bound=None, charged=None)

    erasure = begin(engine, "t", PERSON, requested_by="a test", now=NOW)

    assert erasure.counts["shadow_pairs"] == 1
    assert [pair.answer_id for pair in store.pairs(shadow.id)] == ["a2", "a3"]
