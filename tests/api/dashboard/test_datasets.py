"""A dataset on its page: what is in it, what was left out, where it came from and went to."""

import re

import pytest

from gateway_tuning.access.permissions import Role
from gateway_tuning.api.dashboard import datasets as pages
from gateway_tuning.datasets.manifest import Counts, Leakage, Manifest
from gateway_tuning.datasets.recipe import DatasetRecipe
from gateway_tuning.storage import layout
from gateway_tuning.storage.tables import datasets, model_versions
from tests.api import owned
from tests.api.dashboard.conftest import HOME
from tests.conftest import NOW

DATASET = f"{HOME}/datasets/ds-owned"
COUNTS = Counts(
    records=1417,
    used=1402,
    left_out={"near_duplicate_of": 12, "text_without_rating": 3},
    examples={"train": {"demonstration": 900, "preference": 100}, "test": {"demonstration": 96}},
    entities={"EMAIL_ADDRESS": 61},
    groups=196,
    shared_groups=0,
)


@pytest.fixture
def written(services):
    """The dataset in the catalogue, and its manifest on object storage."""

    def write(**changes):
        owned.dataset(services, "default")
        manifest = Manifest(
            dataset_id="ds-owned",
            layout_version=1,
            schema_version=1,
            tenant="default",
            recipe=DatasetRecipe(),
            anonymizer="rules 4",
            counts=COUNTS.model_copy(update=changes),
            parts=(),
            exports=(),
            leakage=Leakage(shared_groups=0, floor=0.5),
        )
        services.objects.write(layout.dataset_manifest("ds-owned"), manifest.encode())

    return write


def test_it_shows_its_splits_what_was_left_out_and_that_nothing_leaks(signed_in, written):
    written()
    browser = signed_in(Role.MODEL_VIEWER)
    page, listed = browser.get(DATASET).text, browser.get(f"{HOME}/datasets").text

    for shown in (page, listed):
        assert re.search(r">1,000<.*>0<.*>96<", shown, re.DOTALL)
        assert re.search(r"1,402.*of 1,417", shown, re.DOTALL)
    assert 'aria-label="Records left out: near duplicate of 12; text without rating 3"' in page
    assert "0 groups stand in more than one split." in page
    assert "none has a similarity above 0.5" in page


def test_it_leads_to_the_models_evaluations_and_drift_checks_made_of_it(signed_in, written, services):
    written()
    owned.version(services, "default")
    with services.engine.begin() as connection:
        connection.execute(model_versions.update().values(dataset_id="ds-owned"))
    owned.evaluation(services, "default")
    owned.drift_report(services, "default")

    page = signed_in(Role.MODEL_VIEWER).get(DATASET).text

    for path in ("models/versions/owned@1", "evaluations/eval-owned", "drift/drift-owned"):
        assert f'href="{HOME}/{path}"' in page


def test_a_manifest_that_cannot_be_read_is_said_and_shows_no_zeros(signed_in, services):
    owned.dataset(services, "default")
    browser = signed_in(Role.MODEL_VIEWER)

    assert "Its manifest cannot be read from object storage now." in browser.get(DATASET).text
    assert "examples" not in browser.get(DATASET).text
    assert "not readable" in browser.get(f"{HOME}/datasets").text


def test_a_dataset_that_is_gone_says_what_is_left_of_it(signed_in, written, services):
    written()
    with services.engine.begin() as connection:
        connection.execute(datasets.update().values(retired_at=NOW, replaced_by="ds-after"))
        (before,) = connection.execute(datasets.select()).mappings()
        after = {"id": "ds-after", "build_key": "1" * 64, "retired_at": None, "replaced_by": None}
        connection.execute(datasets.insert().values({**before, **after}))
    browser = signed_in(Role.MODEL_VIEWER)
    page = browser.get(DATASET).text

    assert "It is gone: erased" in page
    assert f'href="{HOME}/datasets/ds-after"' in page
    assert "1,402" not in page
    assert browser.get(f"{DATASET}/card").status_code == 404


def test_its_card_is_a_page_without_rights(signed_in, written):
    written()
    card = signed_in(Role.MODEL_VIEWER).get(f"{DATASET}/card")

    assert "<h1>Dataset ds-owned</h1>" in card.text
    policy = card.headers["content-security-policy"]
    assert policy.startswith("sandbox; default-src 'none'")
    assert "script-src" not in policy


def test_a_card_that_nobody_can_wait_for_is_left_to_the_command_line(signed_in, written, monkeypatch):
    monkeypatch.setattr(pages, "_MOST_ON_A_CARD", 1000)
    written()
    browser = signed_in(Role.MODEL_VIEWER)

    card = browser.get(f"{DATASET}/card")

    assert f'href="{DATASET}/card"' not in browser.get(DATASET).text
    assert card.status_code == 409
    assert "gateway-tuning datasets card ds-owned --html card.html" in card.text
