"""New examples from those of the train split: who is augmented how often, by whom, and what of it is taken.

All of it hangs on ids, texts and the seed, never on the order of the examples. Where the examples come in parts, the cap
holds for each part and so for the whole.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256

import numpy as np

from gateway_tuning.datasets.augmentation.held_out import HeldOut, near
from gateway_tuning.datasets.augmentation.policy import AugmentationPolicy
from gateway_tuning.datasets.augmentation.protected import placeholders
from gateway_tuning.datasets.augmentation.protocol import Augmenter, Lost, Variant
from gateway_tuning.datasets.augmentation.sharing import Wish, share_out
from gateway_tuning.datasets.example import Example
from gateway_tuning.datasets.quality.shingles import Hashes
from gateway_tuning.datasets.quality.signatures import sign
from gateway_tuning.datasets.splits import TRAIN

NEAR_HELD_OUT, DUPLICATE, OVER_CAP = "near_held_out", "duplicate_prompt", "over_cap"
UNFIT, PERSONAL = "unfit", "personal_data"

IsClean = Callable[[Sequence[str]], Sequence[bool]]
"""Which texts hold no personal data, see `clean.clean_by`."""


@dataclass(frozen=True, slots=True)
class Augmented:
    """`wanted` variants were asked for; `dropped` counts by reason those that came to nothing.

    An augmenter may also give fewer than it was asked for, where a text has no more.
    """

    examples: tuple[Example, ...]  # in order of their ids
    wanted: int
    dropped: dict[str, int]


@dataclass(frozen=True, slots=True)
class _Candidate:
    original: Example
    augmenter: Augmenter
    variant: Variant


def augment(
    examples: Sequence[Example],
    policy: AugmentationPolicy,
    augmenters: Sequence[Augmenter],
    *,
    held_out: HeldOut,
    known: Hashes,
    is_clean: IsClean,
) -> Augmented:
    """Variants of the examples that stand in train, are of the policy's kinds and no variants themselves.

    Must not be called where an event loop runs.

    Args:
        examples: of one part or of all; those of other splits are passed over.
        policy: how many, by whom, how near to what is held out.
        augmenters: those that the policy names, see `catalog.augmenters`.
        held_out: the prompts of test and validation, of the whole dataset.
        known: `Signatures.exact` of every prompt of the dataset, ascending.
        is_clean: asked about texts of augmenters that invent.

    Raises:
        ConfigurationError: an augmenter that the policy names is not among those given.
    """
    originals = sorted(
        (
            one
            for one in examples
            if one.split == TRAIN and one.kind in policy.kinds and not one.augmented_from
        ),
        key=lambda one: one.id,
    )
    wishes = share_out(originals, policy, augmenters)
    dropped: Counter[str] = Counter()
    candidates = _kept(asyncio.run(_asked(wishes, policy.seed)), dropped)
    candidates = _clean(candidates, is_clean, dropped)
    candidates = _new(candidates, {one.prompt for one in examples}, known, dropped)
    is_near = near([one.variant.text for one in candidates], held_out, policy.max_similarity_to_test)
    dropped[NEAR_HELD_OUT] += int(is_near.sum())
    made = [_example(one) for one, too_near in zip(candidates, is_near, strict=True) if not too_near]
    return Augmented(
        examples=tuple(sorted(made, key=lambda one: one.id)),
        wanted=sum(wish.count for wish in wishes),
        dropped={reason: count for reason, count in sorted(dropped.items()) if count},
    )


async def _asked(wishes: Sequence[Wish], seed: int) -> list[tuple[Wish, list[Variant | Lost]]]:
    try:
        found = await asyncio.gather(
            *(wish.augmenter.variants(wish.example, wish.count, seed) for wish in wishes)
        )
    finally:
        for augmenter in {id(wish.augmenter): wish.augmenter for wish in wishes}.values():
            await augmenter.close()
    return list(zip(wishes, found, strict=True))


def _kept(asked: Sequence[tuple[Wish, list[Variant | Lost]]], dropped: Counter[str]) -> list[_Candidate]:
    """Whoever made it, a variant is a text of its own and speaks of the same persons."""
    candidates = []
    for wish, found in asked:
        original = wish.example
        variants = [one for one in found if isinstance(one, Variant)]
        dropped.update(one.reason for one in found if isinstance(one, Lost))
        dropped[OVER_CAP] += max(0, len(variants) - wish.count)
        for variant in variants[: wish.count]:
            text = variant.text
            if (
                text.strip()
                and text != original.prompt
                and placeholders(text) == placeholders(original.prompt)
            ):
                candidates.append(_Candidate(original, wish.augmenter, variant))
            else:
                dropped[UNFIT] += 1
    return candidates


def _clean(candidates: list[_Candidate], is_clean: IsClean, dropped: Counter[str]) -> list[_Candidate]:
    invented = [one for one in candidates if one.augmenter.invents]
    verdicts = is_clean([one.variant.text for one in invented]) if invented else []
    personal = {id(one) for one, clean in zip(invented, verdicts, strict=True) if not clean}
    dropped[PERSONAL] += len(personal)
    return [one for one in candidates if id(one) not in personal]


def _new(
    candidates: list[_Candidate], taken: set[str], known: Hashes, dropped: Counter[str]
) -> list[_Candidate]:
    """`known` folds case and signs, in which a variant may differ from its own prompt alone."""
    every = sign([text for one in candidates for text in (one.variant.text, one.original.prompt)], 1).exact
    folded, own = every[0::2], every[1::2]
    is_other = np.isin(folded, known) & (folded != own)
    seen = set(taken)
    new = []
    for one, other in zip(candidates, is_other.tolist(), strict=True):
        if other or one.variant.text in seen:
            dropped[DUPLICATE] += 1
            continue
        seen.add(one.variant.text)
        new.append(one)
    return new


def _example(candidate: _Candidate) -> Example:
    """Whose feedback it is made of, its group and its split are those of the original."""
    original, text = candidate.original, candidate.variant.text
    by = f"{candidate.augmenter.name}: {candidate.variant.how}"
    last = max(at for at, turn in enumerate(original.messages) if turn.role == "user")
    asked = replace(original.messages[last], content=text)
    return replace(
        original,
        id=sha256(
            f"{original.id}\x1e{candidate.augmenter.name}\x1e{text}".encode("utf-8", "surrogatepass")
        ).hexdigest()[:24],
        messages=(*original.messages[:last], asked, *original.messages[last + 1 :]),
        augmented_from=original.id,
        augmented_by=by,
    )
