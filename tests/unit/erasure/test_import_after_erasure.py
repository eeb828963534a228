"""An import that read its file before an erasure brings nothing of the person back."""

import json

from gateway_tuning.feedback import rating_token
from gateway_tuning.feedback.ingest import commit
from gateway_tuning.feedback.submission import TokenPolicy, read_body
from tests.conftest import NOW
from tests.erasure_world import LATER, PERSON, persons_records
from tests.unit.erasure.test_runs_from_before import assert_gone, erase


def test_neither_records_nor_broken_rows_nor_claims_come_back(world):
    key = b"k" * 32
    said = []
    for record in persons_records():
        token = rating_token.issue(key, f"signed-{record.id}", PERSON, LATER)
        said.append(record.model_copy(update={"answer_id": f"signed-{record.id}", "rating_token": token}))
    broken = said[0].model_dump(mode="json") | {"id": "broken", "prompt": ""}
    body = json.dumps([*(record.model_dump(mode="json") for record in said), broken]).encode()
    submission = read_body(
        body, tenant=world.tenant, now=NOW, idempotency_key=None, tokens=TokenPolicy(key), max_records=9
    )
    erase(world)

    (receipts,) = commit(world.feedback, [submission], now=LATER)

    assert [given.state for given in receipts] == ["erased", "erased", "quarantined"]
    assert_gone(world)
