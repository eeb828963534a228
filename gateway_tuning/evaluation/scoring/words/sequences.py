"""Overlap in which order counts: the longest common subsequence of words, and n-grams of characters. Pure."""

import unicodedata
from collections import Counter, defaultdict
from collections.abc import Sequence

from gateway_tuning.datasets.quality.shingles import split_words
from gateway_tuning.evaluation.scoring.measure import Measure, against_reference, share_card

CHARACTERS = 6  # longest n-gram
BETA = 2  # recall counts twice as much as precision


def rouge_l(answer: str, preferred: str) -> float:
    """2PR / (P + R), where P and R are the longest common subsequence over the words of answer and preferred answer.

    Sentence-level ROUGE-L over the whole texts with beta = 1, without stemming. Words are case-folded; a script
    without spaces counts by characters. Two texts without words are alike.
    """
    ours, theirs = split_words(answer), split_words(preferred)
    if not ours or not theirs:
        return float(ours == theirs)
    return 2 * _common_subsequence(ours, theirs) / (len(ours) + len(theirs))


def chrf(answer: str, preferred: str) -> float:
    """F-beta of character n-grams, n = 1 to 6, precision and recall averaged over the n that both texts have.

    White space does not count, case does. Two texts without characters are alike.
    """
    ours, theirs = _characters(answer), _characters(preferred)
    if not ours or not theirs:
        return float(ours == theirs)
    precision = recall = 0.0
    orders = min(CHARACTERS, len(ours), len(theirs))
    for size in range(1, orders + 1):
        shared = sum((_ngrams(ours, size) & _ngrams(theirs, size)).values())
        precision += shared / (len(ours) - size + 1) / orders
        recall += shared / (len(theirs) - size + 1) / orders
    if not precision + recall:
        return 0.0
    value = (1 + BETA**2) * precision * recall / (BETA**2 * precision + recall)
    return min(1.0, value)


ROUGE_L = Measure(
    share_card(
        "rouge_l",
        "ROUGE-L",
        "2PR / (P + R) of the longest common subsequence of words (beta = 1, no stemming)",
        "Lin 2004, aclanthology.org/W04-1013",
    ),
    "1",
    against_reference(rouge_l),
)
CHRF = Measure(
    share_card(
        "chrf",
        "chrF2",
        "F-beta of character n-grams, n = 1 to 6, beta = 2, white space left out; from 0 to 1",
        "Popović 2015, aclanthology.org/W15-3049",
    ),
    "1",
    against_reference(chrf),
)


def _common_subsequence(left: Sequence[str], right: Sequence[str]) -> int:
    """Its length, by Hyyrö's bits in one integer (2004): a step a word, however long the other text is."""
    places: defaultdict[str, int] = defaultdict(int)
    for number, word in enumerate(left):
        places[word] |= 1 << number
    full = (1 << len(left)) - 1
    unmatched = full
    for word in right:
        found = unmatched & places.get(word, 0)
        unmatched = ((unmatched + found) | (unmatched - found)) & full
    return len(left) - unmatched.bit_count()


def _characters(text: str) -> str:
    return "".join(unicodedata.normalize("NFC", text).split())


def _ngrams(text: str, size: int) -> Counter[str]:
    return Counter([text[start : start + size] for start in range(len(text) - size + 1)])
