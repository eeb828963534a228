"""Models on their pages: what users meet, and how it came to that."""

import re

from gateway_tuning.access.permissions import Role
from gateway_tuning.registry.store import Registry
from tests.api import owned
from tests.api.dashboard.conftest import HOME
from tests.conftest import NOW
from tests.unit.rollout.reporting.stories import look, start, traffic


def test_a_model_shows_which_versions_users_meet_and_every_move_of_its_aliases(signed_in, engine):
    start(engine)
    traffic(engine, 1)
    look(engine, 2)
    Registry(engine).point("m", "candidate", "m@2", reason="<i>trained</i>", now=NOW, by="user:anna")
    browser = signed_in(Role.MODEL_VIEWER)
    page, listed = browser.get(f"{HOME}/models/m").text, browser.get(f"{HOME}/models").text

    for shown in (page, listed):
        assert re.search(r"90 %.*10 %", shown, re.DOTALL)
        assert f'href="{HOME}/canaries/c1"' in shown
    assert re.search(r"candidate</td><td><a[^>]*>m@2</a></td><td>user:anna</td><td>&lt;i&gt;trained", page)
    assert page.index("user:anna") < page.index("the first")  # newest first
    assert "500 new records within 24 hours start a cycle" in page


def test_a_version_shows_its_card_also_where_its_name_has_slashes(signed_in, services):
    owned.version(services, "default", "owned@org/base-7b")
    browser = signed_in(Role.MODEL_VIEWER)
    address = f"{HOME}/models/versions/owned@org/base-7b"

    page = browser.get(address)

    assert f'href="{address}"' in browser.get(f"{HOME}/models/owned").text
    assert page.status_code == 200
    assert "<h1>owned@org/base-7b</h1>" in page.text
    for section in ("Training", "Lineage", "History"):
        assert f"<h2>{section}</h2>" in page.text


def test_a_version_that_learned_from_an_erased_person_says_so_first(signed_in, services):
    from gateway_tuning.storage.tables import model_versions

    owned.version(services, "default")
    with services.engine.begin() as connection:
        connection.execute(model_versions.update().values(holds_erased_since=NOW))
    browser = signed_in(Role.MODEL_VIEWER)

    assert '<p class="state bad">' in browser.get(f"{HOME}/models/versions/owned@1").text
    assert "holds an erased person" in browser.get(f"{HOME}/models/owned").text
