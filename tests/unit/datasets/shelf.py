"""A store with small datasets in it, published and catalogued as a build does."""

from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import sqlalchemy as sa

from gateway_tuning.datasets import parquet
from gateway_tuning.datasets.building.fates import Fate
from gateway_tuning.datasets.catalog import DatasetCatalog
from gateway_tuning.datasets.example import ExampleKind, Turn
from gateway_tuning.datasets.manifest import Counts, Leakage, Manifest, dataset_id
from gateway_tuning.datasets.published import (
    count_by_split_and_kind,
    digest,
    publish,
    read_parts,
    write_part,
    write_rejected,
)
from gateway_tuning.datasets.recipe import DatasetRecipe
from gateway_tuning.datasets.splits import SPLITS
from gateway_tuning.evaluation.store import EvaluationStore, StoredEvaluation
from gateway_tuning.registry.model_version import ModelVersion
from gateway_tuning.registry.store import Registry
from gateway_tuning.storage import layout
from gateway_tuning.storage.object_store import ObjectStore
from tests.conftest import NOW
from tests.unit.datasets.test_formats import example as any_example

RECIPE = DatasetRecipe()


def example(number, split="train", group=None, kind=ExampleKind.DEMONSTRATION, prompt=None, **fields):
    """Made of feedback `f<number>` of user `s<number>`."""
    return replace(
        any_example((Turn("user", prompt or f"Where is parcel {number}?"),), kind),
        id=f"{number:016x}{number:08x}",
        split=split,
        group_id=f"{number if group is None else group:016x}",
        feedback_ids=(f"f{number}",),
        subject_ids=(f"s{number}",),
        **fields,
    )


@dataclass
class Shelf:
    engine: sa.Engine
    objects: ObjectStore
    home: Path

    def publish(self, examples, *, recipe=RECIPE, tenant="default", rejected=(), parts=1, **fields):
        """Each split in so many parts, as buckets make them."""
        counts = Counts(
            **{
                "records": len(examples) + 2,
                "used": len(examples),
                "left_out": {"over_user_cap": 2},
                "examples": count_by_split_and_kind(examples),
                "entities": {"PERSON": 7},
                "groups": len({one.group_id for one in examples}),
                "shared_groups": 0,
            }
            | fields
        )
        by_split = {split: [one for one in examples if one.split == split] for split in SPLITS}
        ids = {split: [one.id for one in found] for split, found in by_split.items()}
        identity = dataset_id(digest(ids), tenant=tenant, recipe=recipe, anonymizer="masks-1", counts=counts)
        written = [
            write_part(self.objects, identity, split, found[start::parts])
            for split, found in by_split.items()
            for start in range(parts)
            if found[start::parts]
        ]
        return publish(
            Manifest(
                dataset_id=identity,
                layout_version=layout.LAYOUT_VERSION,
                schema_version=parquet.SCHEMA_VERSION,
                tenant=tenant,
                recipe=recipe,
                anonymizer="masks-1",
                counts=counts,
                leakage=Leakage(shared_groups=0, floor=0.4),
                parts=tuple(written),
                rejected=(write_rejected(self.objects, identity, rejected),) if rejected else (),
                exports=(),
            ),
            self.objects,
        )

    def put(self, examples, *, age=0, left_out=("f-left",), fates=True, **fields):
        """Published, and catalogued so many days ago."""
        manifest = self.publish(examples, **fields)
        found = [
            Fate(id_, one.subject_ids[0], used=True, reason=None)
            for one in examples
            for id_ in one.feedback_ids
        ]
        found += [Fate(id_, None, used=False, reason="over its user's cap") for id_ in left_out]
        self.catalog.add(
            f"key of {manifest.dataset_id}",
            manifest,
            found if fates else [],
            watermark=1,
            erasures_before=frozenset(),
            now=NOW - timedelta(days=age),
        )
        return manifest

    @property
    def catalog(self):
        return DatasetCatalog(self.engine, self.objects)

    def parts(self, manifest):
        return (part for split in SPLITS for part in read_parts(self.objects, manifest, split))

    def train(self, dataset_id, version="assistant@tuned", tenant="default", **fields):
        Registry(self.engine).register(
            ModelVersion(
                id=version, tenant=tenant, model="assistant", base_model="small", provider="llama", created_at=NOW,
                dataset_id=dataset_id, job_key=version, **fields,
            )
        )  # fmt: skip

    def evaluate(self, dataset_id, evaluation_id="eval-1"):
        EvaluationStore(self.engine).add(
            StoredEvaluation(
                id=evaluation_id, tenant="default", model="assistant", candidate="a", baseline="b",
                dataset_id=dataset_id, result={}, created_at=NOW,
            )
        )  # fmt: skip

    def keys(self, manifest):
        return self.objects.list_keys(layout.dataset_folder(manifest.dataset_id))
