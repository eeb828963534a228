"""Bursts: feedback of many accounts that shares a phrase or a text and pushes one way. Pure.

People repeat themselves, and models do: a popular question, a passage that several readers rate, a house greeting.
So a shared phrase alone means nothing, and neither does a lopsided vote. A burst is a phrase whose records push one
way, are far from what the rest of the data would do (relative entropy, in nats), and show at least two signs:

* new accounts: they say little, and nothing else;
* a narrow time: most of it came while little else did;
* carriers: its prompts have no topic in common, or its texts are near copies of one another.

Where new accounts are nothing rare, what more than `house_share` of the records say needs all three, and so do near
copies: many visitors ask a popular question in much the same words. An attack by accounts with a history that is also
spread over time, or whose texts share no phrase, shows too few signs and is left to the caps and to evaluation.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gateway_tuning.feedback.phrases import Corpus, Indexes, Likeness, Phrase, corpus, shared_phrases
from gateway_tuning.feedback.trust_policy import TrustPolicy

Floats = NDArray[np.float64]

NEW_ACCOUNTS, NARROW_TIME = "new accounts", "a narrow time"
UNRELATED, COPIES = "unrelated prompts", "near copies"

_REST = 0.25  # of all records: what more of them say leaves too little to be judged against
_MOST = 0.8  # so much of a burst's accounts is new, or of its records lies in its window
_RARE = 0.2  # of the other records lie in that window at most, or of the other accounts are new
_FRAME = 0.3  # words that more of a burst's prompts hold are its phrase and what it is wrapped in, no topic
_CHANCE = 4.0  # n prompts drawn at random are at most 1 + 4 / sqrt(n) times as alike as all prompts
_COPIED = 0.7  # mean cosine of near copies
_COPIED_WORDS = 8  # texts shorter than this coincide by chance


@dataclass(frozen=True, slots=True)
class Statement:
    """What a record says, and which way it pushes: towards its answer or away from it."""

    account: str
    is_named: bool  # False: whose it is is unknown, and each such record is an account of its own
    action: str
    promotes: bool
    seconds: float
    prompt: str
    answer: str
    is_answer_own: bool  # written by the account and not by a model


@dataclass(frozen=True, slots=True)
class Burst:
    """`places` are the numbers of the phrase's first word in the prompt or answer of each member, from 1."""

    members: tuple[int, ...]
    places: tuple[int, ...]
    part: str  # prompt or answer
    words: int
    accounts: int
    share: float  # of the phrase's records that push as the members do
    share_elsewhere: float
    evidence: float
    signs: tuple[str, ...]


def find_bursts(statements: Sequence[Statement], policy: TrustPolicy) -> list[Burst]:
    """Strongest evidence first. A statement may belong to several."""
    if len(statements) < policy.min_burst_accounts:
        return []
    crowd = _Crowd.of(statements)
    prompts = _Part.of("prompt", [(said.prompt, "") for said in statements])
    # A model repeats its answers, which is one text; people who write one answer to different prompts wrote several.
    answers = _Part.of(
        "answer", [(said.answer, said.prompt if said.is_answer_own else "") for said in statements]
    )
    topics = Likeness(prompts.corpus, frame=_FRAME)
    found = [
        burst
        for part in (prompts, answers)
        for burst in _bursts_in(part, crowd, prompts.text_of, topics, policy)
    ]
    return sorted(found, key=lambda burst: (-burst.evidence, -burst.words, burst.part, burst.members))


@dataclass(frozen=True, slots=True)
class _Crowd:
    """All statements as columns."""

    account: Indexes
    action: Indexes
    promotes: NDArray[np.bool_]
    seconds: Floats
    in_order: Floats
    by_account: Indexes
    by_action: Indexes
    is_known: NDArray[np.bool_]  # account -> whether what it said elsewhere is known

    @staticmethod
    def of(statements: Sequence[Statement]) -> "_Crowd":
        _, account = np.unique([said.account for said in statements], return_inverse=True)
        _, action = np.unique([said.action for said in statements], return_inverse=True)
        seconds = np.array([said.seconds for said in statements])
        named = np.array([said.is_named for said in statements])
        is_known = np.zeros(account.max() + 1, bool)
        # Where most give a name, to give none is as good as a new name. Where few do, it says nothing.
        is_known[account] = named | (named.mean() >= 0.5)  # noqa: PLR2004 - most
        return _Crowd(
            account=account,
            action=action,
            promotes=np.array([said.promotes for said in statements]),
            seconds=seconds,
            in_order=np.sort(seconds),
            by_account=np.bincount(account),
            by_action=np.bincount(action),
            is_known=is_known,
        )


@dataclass(frozen=True, slots=True)
class _Part:
    """The different texts of one part of the statements, and which statements hold each."""

    name: str
    corpus: Corpus
    text_of: Indexes
    by_text: Indexes  # statements in the order of their texts
    starts: Indexes

    @staticmethod
    def of(name: str, keys: Sequence[tuple[str, str]]) -> "_Part":
        different = sorted(set(keys))
        numbers = {key: number for number, key in enumerate(different)}
        text_of = np.array([numbers[key] for key in keys])
        return _Part(
            name=name,
            corpus=corpus([text for text, _ in different]),
            text_of=text_of,
            by_text=np.argsort(text_of, kind="stable"),
            starts=np.r_[0, np.cumsum(np.bincount(text_of))],
        )

    def holders(self, texts: Indexes) -> Indexes:
        counts = self.starts[texts + 1] - self.starts[texts]
        ends = np.cumsum(counts)
        places: Indexes = np.arange(ends[-1]) + np.repeat(self.starts[texts] - ends + counts, counts)
        return self.by_text[places]


def _bursts_in(
    part: _Part, crowd: _Crowd, prompt_of: Indexes, topics: Likeness, policy: TrustPolicy
) -> Iterator[Burst]:
    likeness = Likeness(part.corpus)
    for phrase in shared_phrases(part.corpus, least=policy.min_burst_accounts):
        holders = part.holders(phrase.texts)
        if len(holders) > _REST * len(crowd.account):
            continue
        upward = np.count_nonzero(crowd.promotes[holders]) / len(holders)
        share = max(upward, 1 - upward)
        if share < policy.min_one_way:  # most phrases end here
            continue
        promotes = upward >= 0.5  # noqa: PLR2004 - the larger half
        members = np.sort(holders[crowd.promotes[holders] == promotes])
        accounts = np.unique(crowd.account[members])
        if len(accounts) < policy.min_burst_accounts:
            continue
        # Several ratings of one text, or several records of one account, are not independent.
        independent = min(len(accounts), len(phrase.texts))
        window, elsewhere = _window(crowd, members, holders)
        new, usual = _newness(crowd, members, accounts, policy.max_records_of_a_new_account)
        evidence = independent * (_votes(crowd, holders) + _excess(window, elsewhere))
        evidence += len(accounts) * _excess(new, usual)
        if evidence < policy.min_burst_evidence:
            continue
        signs = [NEW_ACCOUNTS] if new >= _MOST else []
        signs += [NARROW_TIME] if elsewhere <= _RARE else []
        signs += _carriers(part, phrase, np.unique(prompt_of[members]), topics, likeness)
        is_common = len(holders) > policy.house_share * len(crowd.account)
        needed = 3 if (is_common or COPIES in signs) and usual > _RARE else 2
        if len(signs) < needed:
            continue
        others = len(crowd.promotes) - len(holders)
        yield Burst(
            members=tuple(members.tolist()),
            places=tuple(_place(part.corpus, int(text), phrase) for text in part.text_of[members]),
            part=part.name,
            words=phrase.length,
            accounts=len(accounts),
            share=share,
            share_elsewhere=(int((crowd.promotes == promotes).sum()) - len(members)) / max(1, others),
            evidence=evidence,
            signs=tuple(signs),
        )


def _votes(crowd: _Crowd, holders: Indexes) -> float:
    here = np.bincount(crowd.action[holders], minlength=len(crowd.by_action))
    elsewhere = crowd.by_action - here + 1
    return _relative_entropy(here / here.sum(), elsewhere / elsewhere.sum())


def _newness(crowd: _Crowd, members: Indexes, accounts: Indexes, most: int) -> tuple[float, float]:
    """Share of the accounts that are new, and of all others that have a single record, which is as new as can be."""
    own = np.bincount(np.searchsorted(accounts, crowd.account[members]))
    whole = crowd.by_account[accounts]
    known = crowd.is_known[accounts]
    single = int(((crowd.by_account == 1) & crowd.is_known).sum()) - int(((whole == 1) & known).sum())
    usual = (single + 1) / (len(crowd.by_account) - len(accounts) + 2)
    return float(((own == whole) & (own <= most) & known).mean()), usual


def _window(crowd: _Crowd, members: Indexes, holders: Indexes) -> tuple[float, float]:
    """Share of the members in the narrowest window that holds most of them, and of all others in it."""
    seconds = np.sort(crowd.seconds[members])
    held = int(np.ceil(_MOST * len(seconds)))
    spans = seconds[held - 1 :] - seconds[: len(seconds) - held + 1]
    first = int(np.argmin(spans))
    start, end = seconds[first], seconds[first + held - 1]
    inside = np.searchsorted(crowd.in_order, end, "right") - np.searchsorted(crowd.in_order, start, "left")
    own = ((crowd.seconds[holders] >= start) & (crowd.seconds[holders] <= end)).sum()
    return held / len(seconds), float(inside - own + 1) / (len(crowd.seconds) - len(holders) + 2)


def _carriers(
    part: _Part, phrase: Phrase, prompts: Indexes, topics: Likeness, likeness: Likeness
) -> list[str]:
    topic = topics.of(prompts)
    bound = 1 + _CHANCE / np.sqrt(len(prompts))
    if topic is not None and topics.of_all is not None and topic <= bound * topics.of_all:
        return [UNRELATED]
    lengths = part.corpus.starts[phrase.texts + 1] - part.corpus.starts[phrase.texts]
    alike = likeness.of(phrase.texts)
    return [COPIES] if alike is not None and alike >= _COPIED and lengths.mean() >= _COPIED_WORDS else []


def _place(texts: Corpus, text: int, phrase: Phrase) -> int:
    sought = texts.words[phrase.position : phrase.position + phrase.length]
    words = texts.words[texts.starts[text] : texts.starts[text + 1]]
    windows = np.lib.stride_tricks.sliding_window_view(words, phrase.length)
    return int(np.argmax((windows == sought).all(axis=1))) + 1


def _relative_entropy(here: Floats, elsewhere: Floats) -> float:
    """Kullback and Leibler 1951, in nats."""
    some = here > 0
    return float((here[some] * np.log(here[some] / elsewhere[some])).sum())


def _excess(here: float, elsewhere: float) -> float:
    """Relative entropy of two shares; 0 when `here` is not the larger."""
    if here <= elsewhere:
        return 0.0
    return _relative_entropy(np.array([here, 1 - here]), np.array([elsewhere, 1 - elsewhere]))
