"""What a person decides on records that were set aside reaches the next dataset, and no dataset before it."""

from datetime import timedelta

import pytest

from gateway_tuning.anonymization.anonymizer import Anonymizer
from gateway_tuning.datasets import build as building
from gateway_tuning.datasets.building.workshop import Workshop, alone
from gateway_tuning.feedback.reviews import Reviews
from gateway_tuning.feedback.store import FeedbackStore
from tests.conftest import NOW, give_key
from tests.unit.datasets.test_build import MODEL, THINGS, WANTS, Build, request

WHO = {"actor": "user:u-17", "reason": "A newsletter asked for these ratings"}


@pytest.fixture
def place(shelf):
    """A store with a burst of twelve records among forty others, and what builds from it."""
    give_key(shelf.engine)
    return Place(shelf)


class Place:
    def __init__(self, shelf):
        self.engine, self.objects = shelf.engine, shelf.objects
        self.store, self.reviews = FeedbackStore(shelf.engine), Reviews(shelf.engine)
        anonymizer = Anonymizer(MODEL)
        self._workshop = Workshop(
            self.store, self.objects, lambda _tenant, _policy: anonymizer, lambda _text: None
        )

    def build(self):
        built = building.build(request(self.store), self._workshop, alone(self._workshop))
        self.store.add_quarantine(built.set_aside, NOW)
        return Build(self.engine, self.objects, built)


@pytest.fixture
def attack(make_record):
    return [
        make_record(
            f"bad{i}",
            user_id=f"new-{i}",
            prompt=f"{word} of parcel {i} moonbeam clause applies",
            response=f"Send it to place {i}.",
            timestamp=NOW - timedelta(minutes=i),
        )
        for i, word in enumerate(THINGS[:12])
    ]


@pytest.fixture
def older(make_record):
    return [
        make_record(
            f"f{i}",
            user_id=f"user-{i % 20}",
            prompt=f"The {THINGS[i % 16]} of customer {i * i} {WANTS[i // 16]}, why?",
            response=f"Send the {THINGS[i % 16]} back.",
            timestamp=NOW - timedelta(days=1 + i),
        )
        for i in range(40)
    ]


def test_an_accepted_record_of_a_burst_gives_an_example_and_its_neighbours_do_not(place, older, attack):
    place.store.add([*older, *attack], NOW)
    first = place.build()
    aside = {entry.feedback_id: entry.fingerprint for entry in first.built.set_aside}
    assert len(aside) == 12

    place.reviews.accept("default", aside["bad3"], **WHO, now=NOW)
    second = place.build()

    assert second.fates["bad3"] == (True, None)
    assert {id_ for one in second.examples for id_ in one.feedback_ids if id_.startswith("bad")} == {"bad3"}
    assert second.counts.left_out["burst"] == 11
    assert second.manifest.dataset_id != first.manifest.dataset_id
    assert place.build().manifest == second.manifest


def test_a_record_that_a_person_rejects_is_left_out_though_no_rule_is_against_it(place, older, attack):
    place.store.add([*older, *attack], NOW)
    aside = {entry.feedback_id: entry.fingerprint for entry in place.build().built.set_aside}
    place.reviews.accept("default", aside["bad3"], **WHO, now=NOW)
    place.reviews.reject("default", aside["bad3"], **WHO, now=NOW)
    place.reviews.reject("default", aside["bad4"], **WHO, now=NOW)

    made = place.build()

    told = (False, "rejected in review by a person")
    assert (made.fates["bad3"], made.fates["bad4"]) == (told, told)
    assert (made.counts.left_out["rejected_in_review"], made.counts.left_out["burst"]) == (2, 10)
    assert not [one for one in made.examples if "moonbeam" in one.prompt]
