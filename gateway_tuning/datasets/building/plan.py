"""How a build is cut into jobs: blocks of feedback in order of time, buckets of statements by prompt. Pure.

The cut comes from the data and the recipe alone, never from who works on it: threads, processes and clusters make the
same dataset.
"""

from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

from gateway_tuning.datasets.draft import Context
from gateway_tuning.datasets.recipe import DatasetRecipe
from gateway_tuning.datasets.splits import normalized
from gateway_tuning.feedback.blocks import Block, Which


@dataclass(frozen=True, slots=True)
class Plan:
    """`records` are stored up to the watermark, `wanted` of them fit the recipe, `blocks` hold the newest of these."""

    key: str  # names the build
    tenant: str
    watermark: int
    recipe: DatasetRecipe
    records: int
    wanted: int
    blocks: tuple[Block, ...]
    now: datetime  # a tenant without a key gets one of this day

    @property
    def which(self) -> Which:
        return Which(self.tenant, self.watermark, self.recipe.since, self.recipe.types)

    @property
    def taken(self) -> int:
        return min(self.wanted, self.recipe.max_records)

    @property
    def buckets(self) -> int:
        return max(1, len(self.blocks))


def bucket_of(context: Context, buckets: int) -> int:
    """All that is said on one prompt comes to one bucket."""
    if buckets == 1:
        return 0
    digest = sha256(normalized(context.prompt).encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") % buckets
