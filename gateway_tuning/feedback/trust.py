"""Which feedback may train a model: bursts are quarantined, and nobody's weight exceeds a cap. Pure.

Every decision has a code that is counted and a reason that explains it without quoting anybody.
"""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gateway_tuning.feedback.bursts import Burst, Statement, find_bursts
from gateway_tuning.feedback.record import FeedbackRecord, FeedbackType
from gateway_tuning.feedback.trust_policy import TrustPolicy

BURST, OVER_USER_CAP, OVER_TENANT_CAP = "burst", "over_user_cap", "over_tenant_cap"


@dataclass(frozen=True, slots=True)
class Refusal:
    record: FeedbackRecord
    code: str
    reason: str


@dataclass(frozen=True, slots=True)
class Assessment:
    """Every record given is kept, quarantined or over a cap. All are in order of time."""

    kept: tuple[FeedbackRecord, ...]
    quarantined: tuple[Refusal, ...]
    capped: tuple[Refusal, ...]


def assess(records: Sequence[FeedbackRecord], policy: TrustPolicy) -> Assessment:
    """The same for any order of the records."""
    ordered = sorted(records, key=lambda record: (record.timestamp, record.tenant, record.id))
    quarantined = in_bursts(ordered, policy)
    suspect = {(refusal.record.tenant, refusal.record.id) for refusal in quarantined}
    clean = [record for record in ordered if (record.tenant, record.id) not in suspect]
    kept, capped = _capped(clean, policy)
    return Assessment(tuple(kept), tuple(quarantined), tuple(capped))


def account(record: FeedbackRecord) -> str:
    """Whose the record is; without a user each record is a user of its own, as in the gateway."""
    owner = f"user\x1f{record.user_id}" if record.user_id is not None else f"record\x1f{record.id}"
    return f"{record.tenant}\x1f{owner}"


def in_bursts(records: Sequence[FeedbackRecord], policy: TrustPolicy) -> list[Refusal]:
    """Records in order of time; the refusals are in that order too."""
    speaking = [(record, said) for record in records if (said := _statement(record)) is not None]
    reasons: dict[int, str] = {}
    for burst in find_bursts([said for _, said in speaking], policy):
        for member, place in zip(burst.members, burst.places, strict=True):
            reasons.setdefault(member, _burst_reason(burst, place))
    return [Refusal(speaking[index][0], BURST, reasons[index]) for index in sorted(reasons)]


def _burst_reason(burst: Burst, place: int) -> str:
    words = f"word {place}" if burst.words == 1 else f"words {place} to {place + burst.words - 1}"
    return (
        f"burst: {words} of its {burst.part} stand in feedback of {burst.accounts} accounts, "
        f"{burst.share:.0%} of it one way ({burst.share_elsewhere:.0%} elsewhere); it has {', '.join(burst.signs)}"
    )


def _statement(record: FeedbackRecord) -> Statement | None:
    """None for a record that pushes no way: it trains nothing."""
    answer, promotes = record.response, None
    match record.type:
        case _ if record.corrected_response:
            action, answer, promotes = "corrects", record.corrected_response, True
        case FeedbackType.REFORMULATION if record.reformulated_response:
            action, answer, promotes = "asks again", record.reformulated_response, True
        case FeedbackType.THUMBS_UP | FeedbackType.THUMBS_DOWN:
            promotes = record.type is FeedbackType.THUMBS_UP
            action = "likes" if promotes else "dislikes"
        case FeedbackType.TEXT | FeedbackType.AUTOMATIC_EVALUATION if record.satisfaction_score:
            promotes = record.satisfaction_score > 0
            action = "likes" if promotes else "dislikes"
        case _:
            return None
    asked = [message.content for message in record.history if message.role == "user"]
    return Statement(
        account=account(record),
        is_named=record.user_id is not None,
        action=action,
        promotes=promotes,
        seconds=record.timestamp.timestamp(),
        prompt="\n".join([*asked, record.prompt, record.reformulated_prompt or ""]),
        answer=answer,
        is_answer_own=bool(record.corrected_response),
    )


def _capped(
    records: Sequence[FeedbackRecord], policy: TrustPolicy
) -> tuple[Sequence[FeedbackRecord], list[Refusal]]:
    """Both caps are shares of what is kept in the end, so each is applied until neither takes anything more."""
    kept, refused = records, list[Refusal]()
    pools_tenants = len({record.tenant for record in records}) > 1
    while True:
        before = len(kept)
        kept, over = _cap(kept, account, policy.max_user_share, policy.min_records_a_user)
        refused += [Refusal(record, OVER_USER_CAP, f"{reason} a user may give") for record, reason in over]
        if pools_tenants:
            share, floor = policy.max_tenant_share, policy.min_records_a_tenant
            kept, over = _cap(kept, lambda record: record.tenant, share, floor)
            refused += [
                Refusal(record, OVER_TENANT_CAP, f"{reason} a tenant may give") for record, reason in over
            ]
        if len(kept) == before:
            return kept, sorted(refused, key=lambda refusal: (refusal.record.timestamp, refusal.record.id))


def _cap(
    records: Sequence[FeedbackRecord], key: Callable[[FeedbackRecord], Hashable], share: float, floor: int
) -> tuple[list[FeedbackRecord], list[tuple[FeedbackRecord, str]]]:
    """The newest of each key: records in order of time, kept and over the cap."""
    numbers: dict[Hashable, int] = {}
    keys = np.array([numbers.setdefault(key(record), len(numbers)) for record in records], np.uint64)
    places = np.arange(len(records))
    limit, oldest = cut(keys, places, places, share=share, floor=floor)
    kept, over = list[FeedbackRecord](), list[tuple[FeedbackRecord, str]]()
    for place, (own, record) in enumerate(zip(keys.tolist(), records, strict=True)):
        if place < oldest.get(own, (0, 0))[0]:
            over.append((record, older_than(limit)))
        else:
            kept.append(record)
    return kept, over


def older_than(limit: int) -> str:
    return f"older than the {limit} newest records that"


def cut(
    keys: NDArray[np.uint64], times: NDArray[Any], ties: NDArray[Any], *, share: float, floor: int
) -> tuple[int, dict[int, tuple[int, int]]]:
    """The most records that a key may have, and (time, tie) of the oldest within it for each key that has more.

    The limit is the largest within the share of all that are kept under it, or the floor.

    Args:
        keys: whose each record is.
        times: by which the newest are told.
        ties: tell records of one time apart.
        share: of all that are kept.
        floor: records that any key may have.
    """
    known, counts = np.unique(keys, return_counts=True)
    kept = len(keys)
    while True:
        limit = max(floor, int(share * kept))
        under = int(np.minimum(counts, limit).sum())
        if under == kept:
            break
        kept = under
    oldest = {}
    for key in known[counts > limit]:
        own = np.flatnonzero(keys == key)
        first = own[np.lexsort((ties[own], times[own]))][-limit]
        oldest[int(key)] = (int(times[first]), int(ties[first]))
    return limit, oldest
