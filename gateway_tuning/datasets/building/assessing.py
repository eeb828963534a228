"""First stage: bursts within each block are found, and then, over all blocks, who says more than the cap allows."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gateway_tuning.datasets.building.plan import Plan
from gateway_tuning.datasets.building.workshop import Workshop
from gateway_tuning.datasets.quality.shingles import Hashes, hash64
from gateway_tuning.feedback.blocks import Block, read_block
from gateway_tuning.feedback.record import FeedbackRecord
from gateway_tuning.feedback.reviews import Decision, decisions
from gateway_tuning.feedback.trust import OVER_USER_CAP, account, cut, in_bursts, older_than
from gateway_tuning.feedback.trust_policy import TrustPolicy


@dataclass(frozen=True, slots=True)
class AssessJob:
    plan: Plan
    block: Block


@dataclass(frozen=True, slots=True)
class Assessed:
    """`bursts` have id and reason of each, `rejected` the ids that a person ruled out; the arrays stand for the rest.

    A record that a person accepted is of the rest, whatever its phrases are shared by.
    """

    records: int
    bursts: tuple[tuple[str, str], ...]
    rejected: frozenset[str]
    accounts: Hashes
    times: NDArray[np.int64]  # microseconds
    ids: Hashes


@dataclass(frozen=True, slots=True)
class Cap:
    """`cuts` has, for each account over the limit, the place of its oldest record that is within it."""

    limit: int
    cuts: dict[int, tuple[int, int]]

    def refuses(self, record: FeedbackRecord) -> bool:
        cut = self.cuts.get(hash64(account(record)))
        return cut is not None and _place(record) < cut

    @property
    def reason(self) -> str:
        return f"{older_than(self.limit)} a user may give"


CODE = OVER_USER_CAP


def assess_block(workshop: Workshop, job: AssessJob) -> Assessed:
    plan, engine = job.plan, workshop.feedback.engine
    decided = decisions(engine, plan.tenant, plan.watermark)
    records = list(read_block(engine, plan.which, job.block))
    rejected = frozenset(record.id for record in records if decided.get(record.id) is Decision.REJECTED)
    bursts = {
        refusal.record.id: refusal.reason
        for refusal in in_bursts(records, plan.recipe.trust)
        if refusal.record.id not in decided
    }
    others = [record for record in records if record.id not in bursts and record.id not in rejected]
    return Assessed(
        records=len(records),
        bursts=tuple(bursts.items()),
        rejected=rejected,
        accounts=np.array([hash64(account(record)) for record in others], np.uint64),
        times=np.array([_place(record)[0] for record in others], np.int64),
        ids=np.array([_place(record)[1] for record in others], np.uint64),
    )


def cap(assessed: Sequence[Assessed], policy: TrustPolicy) -> Cap:
    """Of each account the newest records within the largest share that one user may have of all that is kept."""
    accounts = np.concatenate([np.empty(0, np.uint64), *(one.accounts for one in assessed)])
    times = np.concatenate([np.empty(0, np.int64), *(one.times for one in assessed)])
    ids = np.concatenate([np.empty(0, np.uint64), *(one.ids for one in assessed)])
    return Cap(*cut(accounts, times, ids, share=policy.max_user_share, floor=policy.min_records_a_user))


def _place(record: FeedbackRecord) -> tuple[int, int]:
    return int(record.timestamp.timestamp() * 1e6), hash64(record.id)
