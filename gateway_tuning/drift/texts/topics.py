"""What prompts are about: topics learned on the reference and kept with it.

k-means on tf-idf of words, without those of more than a fifth of the prompts, which are the function words of any
language. Measured on FeedbackQA questions beside NMF and k-means on latent semantic axes: as sensitive and no slower,
and a topic is its own list of words. A prompt belongs to its nearest topic by cosine; one that is
far from all of them is "other". Rows that topics were learned on lie closer to them than new ones of the same
kind, so a model must not be judged on them: `check_drift` learns on one half of the reference's users and compares
the other half.
"""

import io
import json
from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gateway_tuning.drift.texts.weights import of_topics, rarity, weighted
from gateway_tuning.drift.texts.words import MIN_SPREAD, Words, count_words, spread, tokenize

Floats = npt.NDArray[np.float32]
_EVERYWHERE = 0.2  # of the prompts: a word of more is no topic's
_FAR = 0.05  # quantile of the similarity of what was learned on, below which a prompt is "other"
_MOST_WORDS = 5_000
_LEAST_WORDS = 10
_ROWS_A_TOPIC = 15
_NAMED_BY = 4  # words


class TooFewWordsError(ValueError):
    """Prompts have too few words in common to learn topics from: a result of a check, and no failure of it."""


@dataclass(frozen=True, slots=True)
class TopicModel:
    """`centres` is topics x vocabulary, rows of length 1; `far` the cosine below which a prompt is "other".

    `idf` also weighs down what users say whatever they ask about (`weights.of_topics`).
    """

    vocabulary: Words
    idf: Floats
    centres: Floats
    far: float

    @classmethod
    def fit(
        cls, texts: Sequence[str], *, topics: int, seed: int, groups: Sequence[Hashable] | None = None
    ) -> "TopicModel":
        """At most `topics`, one for each fifteen texts; by `seed` always the same.

        Words of fewer than three groups (texts, where no groups are given) name nobody's topic and are left out.

        Raises:
            TooFewWordsError: the texts have too few words in common to learn from.
        """
        rows = tokenize(texts)
        return cls.of_words(rows, range(len(rows)) if groups is None else groups, topics=topics, seed=seed)

    @classmethod
    def of_words(
        cls, rows: Sequence[Words], groups: Sequence[Hashable], *, topics: int, seed: int
    ) -> "TopicModel":
        """As `fit`, of texts whose words are known (`words.tokenize`)."""
        from sklearn.cluster import KMeans

        used = spread(rows, groups)
        having = Counter(word for words in rows for word in set(words))
        telling = [
            word
            for word, count in having.items()
            if len(word) > 1 and used[word] >= MIN_SPREAD and count <= _EVERYWHERE * len(rows)
        ]
        vocabulary = tuple(sorted(sorted(telling, key=lambda word: (-having[word], word))[:_MOST_WORDS]))
        if len(vocabulary) < _LEAST_WORDS:
            raise TooFewWordsError(
                f"{len(rows)} prompts share only {len(vocabulary)} telling words, {_LEAST_WORDS} are needed"
            )
        counts = count_words(rows, vocabulary)
        idf = rarity(counts)
        idf = idf * of_topics(weighted(counts, idf), groups)
        weights = weighted(counts, idf)
        distinct = len({frozenset(words) for words in rows})
        number = max(1, min(topics, len(rows) // _ROWS_A_TOPIC, distinct))
        centres = KMeans(number, n_init=1, random_state=seed).fit(weights).cluster_centers_
        lengths = np.linalg.norm(centres, axis=1, keepdims=True)
        centres = (centres / np.where(lengths > 0, lengths, 1)).astype(np.float32)
        nearest = np.asarray(weights @ centres.T).max(axis=1)
        return cls(vocabulary, idf, centres, float(max(np.quantile(nearest, _FAR), 1e-6)))

    @property
    def topics(self) -> int:
        return int(self.centres.shape[0])

    def assign(self, texts: Sequence[str]) -> npt.NDArray[np.intp]:
        """The topic of each text by number; `topics` for "other"."""
        return self.assign_words(tokenize(texts))

    def assign_words(self, rows: Sequence[Words]) -> npt.NDArray[np.intp]:
        """As `assign`, of texts whose words are known."""
        weights = weighted(count_words(rows, self.vocabulary), self.idf)
        similarity = np.asarray(weights @ self.centres.T)
        return np.where(similarity.max(axis=1) < self.far, self.topics, similarity.argmax(axis=1))

    def top_words(self, topic: int, most: int = _NAMED_BY) -> Words:
        """The heaviest first, fewer where the topic has no more."""
        weights = self.centres[topic]
        heaviest = np.argsort(-weights, kind="stable")[:most]
        return tuple(self.vocabulary[word] for word in heaviest if weights[word] > 0)

    def encode(self) -> bytes:
        """NumPy's archive, without pickled objects; equal models give equal bytes."""
        file = io.BytesIO()
        words = np.frombuffer(json.dumps(self.vocabulary).encode(), dtype=np.uint8)
        np.savez_compressed(
            file, vocabulary=words, idf=self.idf, centres=self.centres, far=np.float64(self.far)
        )
        return file.getvalue()

    @classmethod
    def decode(cls, content: bytes) -> "TopicModel":
        """Read what `encode` wrote.

        Raises:
            ValueError: it is something else.
        """
        try:
            with np.load(io.BytesIO(content), allow_pickle=False) as found:
                vocabulary = tuple(json.loads(found["vocabulary"].tobytes()))
                model = cls(vocabulary, found["idf"], found["centres"], float(found["far"]))
        except Exception as error:
            raise ValueError(f"These {len(content)} bytes are no topics: {error}") from error
        if model.idf.shape != (len(vocabulary),) or model.centres.shape[1:] != (len(vocabulary),):
            raise ValueError(f"Topics of {model.centres.shape} do not fit {len(vocabulary)} words")
        return model
