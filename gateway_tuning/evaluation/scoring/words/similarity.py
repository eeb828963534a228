"""How much of the preferred answer's wording an answer has. Words see wording, not truth. Pure."""

import re
import unicodedata
from collections import Counter

from gateway_tuning.datasets.quality.shingles import split_words
from gateway_tuning.evaluation.scoring.measure import Measure, against_reference, share_card

_PUNCTUATION = re.compile(r"[^\w\s]")
_ARTICLES = frozenset({"a", "an", "the"})


def word_set_similarity(answer: str, preferred: str) -> float:
    """Jaccard index of the two sets of words, |A and B| / |A or B|, from 0 to 1.

    Words are lower-cased runs between white space and punctuation; order and repetition do not count. Without
    any word on one side the similarity is 0, also between two empty texts.
    """
    ours, theirs = _words(answer), _words(preferred)
    union = ours | theirs
    return len(ours & theirs) / len(union) if union else 0.0


def token_f1(answer: str, preferred: str) -> float:
    """Harmonic mean of precision and recall of the words, each as often as it stands there.

    Words as in SQuAD's evaluation: lower case, without punctuation and English articles; in any script, one without
    spaces by characters. Texts of which nothing is left are alike only to each other.
    """
    ours, theirs = _squad_words(answer), _squad_words(preferred)
    if not ours or not theirs:
        return float(ours == theirs)
    shared = sum((Counter(ours) & Counter(theirs)).values())
    return 2 * shared / (len(ours) + len(theirs))


def exact_match(answer: str, preferred: str) -> float:
    return float(_plain(answer) == _plain(preferred))


def length_ratio(answer: str, preferred: str) -> float:
    ours, theirs = len(split_words(answer)), len(split_words(preferred))
    longer = max(ours, theirs)
    return min(ours, theirs) / longer if longer else 1.0


def accuracy_above(threshold: float) -> Measure:
    return Measure(
        share_card(
            "accuracy",
            "Accuracy",
            f"1 where the word set similarity is above {threshold:g}, else 0",
            "own; similarity by Jaccard 1901",
        ),
        f"1 above {threshold:g}",
        against_reference(
            lambda answer, preferred: float(word_set_similarity(answer, preferred) > threshold)
        ),
    )


SIMILARITY = Measure(
    share_card(
        "similarity",
        "Word set similarity",
        "|A and B| / |A or B| of the sets of lower-case words of answer and preferred answer",
        "Jaccard 1901",
    ),
    "1",
    against_reference(word_set_similarity),
)
TOKEN_F1 = Measure(
    share_card(
        "token_f1",
        "Word F1",
        "2PR / (P + R) of the words, without punctuation and English articles",
        "Rajpurkar et al. 2016 (SQuAD), arXiv:1606.05250",
    ),
    "1",
    against_reference(token_f1),
)
EXACT_MATCH = Measure(
    share_card(
        "exact_match",
        "Exact match",
        "1 where the texts are equal but for white space and the composition of characters (Unicode NFC), else 0",
        "own; stricter than SQuAD's, to which -5 and 5 are one",
    ),
    "1",
    against_reference(exact_match),
)
LENGTH_RATIO = Measure(
    share_card(
        "length_ratio",
        "Length beside the preferred answer's",
        "Words of the shorter / words of the longer of answer and preferred answer",
        "own",
    ),
    "1",
    against_reference(length_ratio),
)


def _words(text: str) -> frozenset[str]:
    return frozenset(_PUNCTUATION.sub(" ", text.lower()).split())


def _plain(text: str) -> str:
    return " ".join(unicodedata.normalize("NFC", text).split())


def _squad_words(text: str) -> list[str]:
    kept = "".join(sign for sign in text if unicodedata.category(sign)[0] not in "PS")
    return [word for word in split_words(kept) if word not in _ARTICLES]
