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


class RatersAgreement(BaseModel):
    """How far raters of the same answer agree. None: no two raters rated one answer, or nothing sets them apart."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    answers: int  # with at least two raters
    share: float | None  # of the pairs of raters of one answer that agree
    alpha: float | None  # Krippendorff's, nominal: 1 is perfect, 0 is chance
    raters: int  # who rated an answer on which the others had a majority
    mostly_alone: int  # of them: against that majority more often than with it


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
    agreement: RatersAgreement | None = None  # None: not measured


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
    replaces: str | None = None  # the dataset from which the examples of an erased person were taken out

    def encode(self) -> bytes:
        return (json.dumps(self.model_dump(mode="json"), indent=2, sort_keys=True) + "\n").encode()

    def checksums(self) -> dict[str, str]:
        """SHA-256 by key of every object that the dataset has beside this manifest."""
        parts = {part.key: part.sha256 for part in self.parts}
        return parts | {export.key: export.sha256 for export in self.exports}

    def parts_of(self, split: str) -> list[Part]:
        return [part for part in self.parts if part.split == split]


def dataset_id(
    example_ids: dict[str, list[str]],
    *,
    tenant: str,
    recipe: DatasetRecipe,
    anonymizer: str,
    counts: Counts,
    replaces: str | None = None,
) -> str:
    """An id made of everything the manifest says, so equal content is one dataset whoever builds it, and when."""
    body = {
        "examples": {split: sorted(ids) for split, ids in example_ids.items()},
        "tenant": tenant,
        "recipe": recipe.model_dump(mode="json"),
        "anonymizer": anonymizer,
        "counts": counts.model_dump(mode="json"),
    }
    if replaces is not None:
        body["replaces"] = replaces
    return "ds-" + sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()[:16]
