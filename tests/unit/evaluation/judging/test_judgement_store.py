"""Judgements are kept once, found again, and gone with their dataset; on both databases."""

from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import pytest
import sqlalchemy as sa

from gateway_tuning.errors import ErasedError
from gateway_tuning.evaluation.judging.store import JudgementStore, forget_judgements
from gateway_tuning.evaluation.judging.verdict import Judgement, Verdict
from gateway_tuning.storage.tables import datasets, judgements
from tests.unit.evaluation.judging.world import NOW

GOOD = Judgement(Verdict.FIRST, "clearer", 400, 20)


def add(store, key, judgement=GOOD, cost=Decimal("0.0012")):
    return store.add(key, judgement, model="judge-1", cost=cost, now=NOW)


def test_what_was_kept_is_found_whole_and_by_its_tenant_alone(engine):
    store, other = (JudgementStore(engine, tenant, "ds-1") for tenant in ("default", "other"))
    unknown = Judgement(Verdict.TIE, "", None, None)
    add(store, "k1")
    add(store, "k2", unknown, cost=None)

    assert store.find(["k1", "k2", "k3"]) == {"k1": GOOD, "k2": unknown}
    assert other.find(["k1"]) == {}
    with engine.connect() as connection:
        costs = connection.execute(sa.select(judgements.c.cost).order_by(judgements.c.key)).scalars().all()
    assert costs == ["0.0012", None]


def test_of_writers_at_the_same_time_the_first_one_counts_for_all(engine):
    stores = [JudgementStore(engine, "default", "ds-1") for _ in range(4)]
    verdicts = [Judgement(verdict, str(number)) for number, verdict in enumerate([*Verdict, Verdict.TIE])]

    with ThreadPoolExecutor(4) as pool:
        for key in ("k1", "k2", "k3"):
            kept = set(pool.map(lambda each: add(each[0], key, each[1]), zip(stores, verdicts, strict=True)))  # noqa: B023
            assert len(kept) == 1
            assert stores[0].find([key]) == {key: kept.pop()}


def test_many_keys_are_found_in_pieces(engine):
    store = JudgementStore(engine, "default", "ds-1")
    add(store, "k700")

    assert store.find([f"k{number}" for number in range(1_200)]) == {"k700": GOOD}


def retire(engine, dataset_id):
    row = {"build_key": "b", "id": dataset_id, "tenant": "default", "watermark": 1, "manifest_sha256": "0"}
    with engine.begin() as connection:
        connection.execute(sa.insert(datasets).values(**row, created_at=NOW, retired_at=NOW))


def test_nothing_is_kept_of_a_dataset_that_was_erased(engine):
    store = JudgementStore(engine, "default", "ds-1")
    retire(engine, "ds-1")

    with pytest.raises(ErasedError, match="ds-1 held data of an erased person"):
        add(store, "k1")
    assert store.find(["k1"]) == {}


def test_judgements_of_erased_datasets_are_forgotten_and_others_stay(engine):
    for dataset_id in ("ds-1", "ds-2", "ds-3"):
        add(JudgementStore(engine, "default", dataset_id), f"k-{dataset_id}")

    with engine.begin() as connection:
        removed = forget_judgements(connection, {"ds-1", "ds-3", "ds-9"})

    assert removed == 2
    left = JudgementStore(engine, "default", "ds-2").find(["k-ds-1", "k-ds-2", "k-ds-3"])
    assert list(left) == ["k-ds-2"]
