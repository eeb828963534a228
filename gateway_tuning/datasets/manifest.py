"""The manifest: the only thing that makes a dataset exist, and all that readers trust."""

import json
from hashlib import sha256

from pydantic import BaseModel, ConfigDict

from gateway_tuning import __version__
from gateway_tuning.datasets.recipe import DatasetRecipe
from gateway_tuning.errors import ConfigurationError
from gateway_tuning.storage import layout


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


class Leakage(BaseModel):
    """That no test prompt is known from training: no group in two splits, and the prompts that are most alike.

    The similarity is the exact Jaccard index of word 3-grams, of the pair that MinHash signatures find most alike. None:
    no pair above `floor` was found.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    shared_groups: int
    floor: float
    highest_similarity: float | None = None
    test_example: str | None = None
    train_example: str | None = None


class Contamination(BaseModel):
    """What of a registered evaluation set was found in examples, which were kept out for it.

    `examples` counts them by how they were found; `largest_share` is None where none was.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    evaluation_set: str  # name@version
    texts: int
    texts_hit: int
    examples: dict[str, int]
    largest_share: float | None


class Counts(BaseModel):
    """`records` = `used` + all of `left_out`. `rejected` counts examples by reason, `left_out` records."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    records: int
    used: int
    left_out: dict[str, int]
    examples: dict[str, dict[str, int]]  # split -> kind -> rows
    entities: dict[str, int]  # personal data replaced in the records, by entity type
    groups: int
    shared_groups: int  # 0, or the splits leak
    agreement: RatersAgreement | None = None  # None: not measured
    rejected: dict[str, int] = {}
    mined: int = 0  # undeclared reformulations found
    contamination: tuple[Contamination, ...] = ()
    augmented: int = 0  # examples of the train split that are variants of others
    augmentation_dropped: dict[str, int] = {}  # variants by the reason why they were left out


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
    rejected: tuple[Part, ...] = ()
    leakage: Leakage | None = None  # None: of a dataset made before it was measured
    replaces: str | None = None  # the dataset from which the examples of an erased person were taken out

    @classmethod
    def decode(cls, data: bytes) -> "Manifest":
        """Of this version of the project or an earlier one: what those did not know yet has its default.

        Raises ConfigurationError for a later layout or schema, whose objects would be misread.
        """
        from gateway_tuning.datasets.parquet import (
            SCHEMA_VERSION,
        )  # with pyarrow, which not every reader needs

        content = json.loads(data)
        for name, newest in (("layout", layout.LAYOUT_VERSION), ("schema", SCHEMA_VERSION)):
            found = content.get(f"{name}_version")
            if isinstance(found, int) and found > newest:
                raise ConfigurationError(
                    f"Dataset {content['dataset_id']} was written with version {found} of the {name}; this "
                    f"installation ({__version__}) reads those up to {newest}. Install a later llm-gateway-tuning"
                )
        return cls.model_validate(content)

    def encode(self) -> bytes:
        return (json.dumps(self.model_dump(mode="json"), indent=2, sort_keys=True) + "\n").encode()

    def checksums(self) -> dict[str, str]:
        """SHA-256 by key of every object that the dataset has beside this manifest."""
        parts = {part.key: part.sha256 for part in (*self.parts, *self.rejected)}
        return parts | {export.key: export.sha256 for export in self.exports}

    def parts_of(self, split: str) -> list[Part]:
        return [part for part in self.parts if part.split == split]


def dataset_id(
    digest: str,
    *,
    tenant: str,
    recipe: DatasetRecipe,
    anonymizer: str,
    counts: Counts,
    replaces: str | None = None,
) -> str:
    """An id made of everything the manifest says, so equal content is one dataset whoever builds it, and when.

    `digest` stands for the ids of the examples in each split.
    """
    body = {
        "examples": digest,
        "tenant": tenant,
        "recipe": recipe.model_dump(mode="json"),
        "anonymizer": anonymizer,
        "counts": counts.model_dump(mode="json"),
    }
    if replaces is not None:
        body["replaces"] = replaces
    return "ds-" + sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()[:16]
