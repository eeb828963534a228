"""The manifest: the only thing that makes a dataset exist, and all that readers trust."""

import json
from hashlib import sha256

from pydantic import BaseModel, ConfigDict

from gateway_tuning.datasets.recipe import DatasetRecipe


class Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    split: str
    key: str
    rows: int
    bytes: int
    sha256: str


class Export(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    format: str
    split: str
    key: str
    rows: int
    sha256: str


class Counts(BaseModel):
    """`records` = `used` + all of `left_out`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    records: int
    used: int
    left_out: dict[str, int]
    examples: dict[str, dict[str, int]]  # split -> kind -> rows
    entities: dict[str, int]  # personal data replaced in the records, by entity type
    groups: int
    shared_groups: int  # 0, or the splits leak


class Manifest(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    dataset_id: str
    layout_version: int
    schema_version: int
    tenant: str
    recipe: DatasetRecipe
    anonymizer: str
    counts: Counts
    parts: tuple[Part, ...]
    exports: tuple[Export, ...]

    def encode(self) -> bytes:
        return (json.dumps(self.model_dump(mode="json"), indent=2, sort_keys=True) + "\n").encode()

    def parts_of(self, split: str) -> list[Part]:
        return [part for part in self.parts if part.split == split]


def dataset_id(
    example_ids: dict[str, list[str]], *, tenant: str, recipe: DatasetRecipe, anonymizer: str, counts: Counts
) -> str:
    """An id made of everything the manifest says, so equal content is one dataset whoever builds it, and when."""
    body = {
        "examples": {split: sorted(ids) for split, ids in example_ids.items()},
        "tenant": tenant,
        "recipe": recipe.model_dump(mode="json"),
        "anonymizer": anonymizer,
        "counts": counts.model_dump(mode="json"),
    }
    return "ds-" + sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()[:16]
