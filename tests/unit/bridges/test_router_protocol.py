"""What docs/how-to/bring-your-gateway.md asks of others is what we do ourselves."""

import json
import re
from pathlib import Path

import pytest

from gateway_tuning.rollout.assignment import arm, bucket, user_key
from gateway_tuning.storage.tables import aliases, canaries, outcomes

PAGE = (Path(__file__).parents[3] / "docs/how-to/bring-your-gateway.md").read_text(encoding="utf-8")
VECTORS = [
    [cell.strip().strip("`") for cell in line.strip("|").split("|")]
    for line in PAGE.splitlines()
    if re.match(r"\| `\w+` \| `canary-\d` \|", line)
]


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: f"{vector[1]} {vector[2]}")
def test_the_vectors_of_the_page_are_those_of_the_gateway(vector):
    salt, canary, user, place, at_a_tenth, at_half, key = vector
    found = bucket(salt, canary, user)

    assert f"{found:.12f}" == place
    assert (arm(found, 0.1), arm(found, 0.5)) == (at_a_tenth, at_half)
    assert user_key(salt, user).startswith(key)


def test_the_vectors_show_every_arm():
    assert {arm for vector in VECTORS for arm in vector[4:6]} == {"canary", "control", "stable"}


def test_the_query_of_the_page_finds_the_running_canaries_whose_control_is_stable(registry, engine):
    (query,) = re.findall(r"```sql\n(.*?)```", PAGE, re.DOTALL)

    def found():
        with engine.connect() as connection:
            return connection.exec_driver_sql(query).all()

    assert [tuple(row) for row in found()] == [("c1", "salt", 0.1, "v2", "v1")]
    with engine.begin() as connection:
        connection.execute(aliases.update().values(version_id="v3"))
    assert found() == []


def test_the_columns_that_the_page_demands_are_those_that_may_not_be_empty():
    table = PAGE.partition("What must be known:")[2].partition("\n\n")[2].partition("\n\n")[0]
    cells = re.findall(r"^\| (`[^|]*) \|", table, re.MULTILINE)
    named = {name for cell in cells for name in re.findall(r"`(\w+)`", cell)}

    demanded = {column.name for column in outcomes.c if not column.nullable}
    assert named - {"error", "canary_id"} == demanded
    assert {"error", "canary_id"} <= {column.name for column in outcomes.c if column.nullable}


def test_the_example_of_what_is_served_is_read_as_it_is_meant(serving):
    from gateway_tuning.rollout.served import GatewayRouter, Served

    (example,) = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
    router = GatewayRouter(serving(json.loads(example)))

    assert router.served("assistant") == Served("v1", "v2", "canary-1", 0.1)


@pytest.fixture
def registry(engine, now):
    """`assistant` with v1 stable and a canary of v2; another model whose canary has ended."""
    row = {"tenant": "default", "candidate": "v2", "control": "v1", "policy": {}, "salt": "salt", "stage": 0}
    times = {"started_at": now, "stage_started_at": now}
    with engine.begin() as connection:
        connection.execute(
            aliases.insert().values(model="assistant", alias="stable", version_id="v1", updated_at=now)
        )
        for number, state in ((1, "running"), (2, "promoted")):
            values = {**row, **times, "id": f"c{number}", "model": "assistant", "state": state}
            connection.execute(canaries.insert().values(**values, share=0.1, looks=0, reasons=[]))


@pytest.fixture
def serving():
    """Starts a server whose /routes answers what it is given."""
    from contextlib import ExitStack

    from starlette.applications import Starlette
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    from tests.wire.server import running

    with ExitStack() as stack:

        def serve(answer):
            async def routes(_request):
                return JSONResponse(answer)

            return stack.enter_context(running(Starlette(routes=[Route("/routes", routes)])))

        yield serve
