"""Named entities by a small spaCy network, computed with numpy alone: the same entities, several times faster.

Each part allows a shortcut that changes no result:

- a token's embedding depends on hashed features of its form alone, so it is kept for the next time, and with it
  what the first convolution adds up of a token and its two neighbours;
- the other convolutions are large matrix products, for which numpy's BLAS is the faster one;
- while no entity is open, the parser's state is its token, so the moves of all tokens are scored at once;
  while one is open, only "go on" and "end" with its label are allowed, so entities are followed side by side.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gateway_tuning.anonymization.names.network import GAP, Floats, Maxout, Network
from gateway_tuning.anonymization.names.parser import EntityParser
from gateway_tuning.anonymization.names.words import Tokens, WordForms

if TYPE_CHECKING:
    from spacy.language import Language

Entity = tuple[int, int, str]

_CHUNK_TOKENS = 800  # what stays in a core's cache together with the weights
_KEPT_FORMS = 20_000  # 960 floats each: 77 MB
_SPARE_FORMS = 2_000  # new ones of the texts that are read at once


class NameFinder:
    """Entities of texts as (start, end, label). Not for several threads."""

    def __init__(self, network: Network, nlp: "Language", *, kept_forms: int = _KEPT_FORMS) -> None:
        self._network = network
        self._kept_forms = kept_forms
        self._forms = WordForms(nlp, network.features)
        self._parser = EntityParser(network)
        self._forget()

    @property
    def kept_forms(self) -> int:
        return len(self._forms)

    def find(self, texts: Sequence[str]) -> list[list[Entity]]:
        if self._forms.is_full or len(self._forms) > self._kept_forms:
            self._forget()
        found: list[list[Entity]] = []
        chunk: list[Tokens] = []
        rows = 0
        for tokens in self._forms.tokenize(texts):
            if chunk and rows + len(tokens) > _CHUNK_TOKENS:
                found += self._find_in_chunk(chunk)
                chunk, rows = [], 0
            chunk.append(tokens)
            rows += len(tokens) + GAP
        return found + self._find_in_chunk(chunk) if chunk else found

    def _forget(self) -> None:
        """Row 0 of each table is what stands between texts."""
        network = self._network
        self._forms.forget()
        self._embedded = 1
        rows = self._kept_forms + _SPARE_FORMS  # the system gives memory for those that are used
        self._vectors = np.zeros((rows, network.mix.gain.size), np.float32)
        self._is_space = np.zeros(rows, np.bool_)
        # What the first convolution makes of a token as the left one of a window, the middle one, the right one.
        first = network.convolutions[0]
        self._shares = [np.zeros((rows, first.bias.size), np.float32) for _ in range(3)]
        self._shares[1][0] = first.bias

    def _find_in_chunk(self, texts: Sequence[Tokens]) -> list[list[Entity]]:
        lengths = [len(tokens) for tokens in texts]
        if not sum(lengths):
            return [[] for _ in texts]
        self._embed_new_forms()
        gap = bytes(GAP * np.dtype(np.int32).itemsize)
        forms = np.frombuffer(gap.join([b"", *(one.forms for one in texts if one.forms), b""]), np.int32)
        rows = self._vectors[forms]
        rows += self._first_convolution(forms)
        for layer in self._network.convolutions[1:]:
            rows += maxout(layer, windows(rows))
        inner = forms.nonzero()[0]
        entities = self._parser.parse(rows[inner], lengths, self._is_space[forms[inner]])
        return [
            [(*bounds, label) for bounds, label in zip(tokens.characters(spans), labels, strict=True)]
            for tokens, (spans, labels) in zip(texts, entities, strict=True)
        ]

    def _first_convolution(self, forms: NDArray[np.int32]) -> Floats:
        layer = self._network.convolutions[0]
        left, middle, right = self._shares
        sums = middle[forms]
        sums[1:] += left[forms[:-1]]
        sums[:-1] += right[forms[1:]]
        return best_and_normed(layer, sums)

    def _embed_new_forms(self) -> None:
        count = len(self._forms) + 1
        if count == self._embedded:
            return
        if count > len(self._vectors):
            self._vectors = _grown(self._vectors, 2 * count)
            self._is_space = _grown(self._is_space, 2 * count)
            self._shares = [_grown(table, 2 * count) for table in self._shares]
        keys, is_space = self._forms.keys_from(self._embedded)
        new = slice(self._embedded, count)
        self._vectors[new] = vectors = self._embed(keys)
        self._is_space[new] = is_space
        first = self._network.convolutions[0]
        for table, weights in zip(self._shares, np.split(first.weights, 3), strict=True):
            table[new] = vectors @ weights
        self._shares[1][new] += first.bias
        self._embedded = count

    def _embed(self, keys: NDArray[np.uint64]) -> Floats:
        from thinc.api import NumpyOps

        hashed = NumpyOps().hash
        parts = [
            embedding.table[
                hashed(np.ascontiguousarray(keys[:, column]), embedding.seed) % len(embedding.table)
            ].sum(axis=1)
            for column, embedding in enumerate(self._network.embeddings)
        ]
        return maxout(self._network.mix, np.concatenate(parts, axis=1))


def _grown(table: NDArray[Any], length: int) -> NDArray[Any]:
    grown = np.zeros((length, *table.shape[1:]), table.dtype)
    grown[: len(table)] = table
    return grown


def windows(rows: Floats) -> Floats:
    """Each row between its neighbours: (rows, 3 * width)."""
    width = rows.shape[1]
    windows = np.empty((len(rows), 3 * width), np.float32)
    windows[0, :width] = 0
    windows[1:, :width] = rows[:-1]
    windows[:, width : 2 * width] = rows
    windows[:-1, 2 * width :] = rows[1:]
    windows[-1, 2 * width :] = 0
    return windows


def maxout(layer: Maxout, rows: Floats) -> Floats:
    sums = rows @ layer.weights
    sums += layer.bias
    return best_and_normed(layer, sums)


def best_and_normed(layer: Maxout, sums: Floats) -> Floats:
    """The greatest of each output's pieces, then the layer norm. `sums` is not kept."""
    width = layer.gain.size
    best = sums[:, :width]
    for number in range(1, layer.pieces):
        best = np.maximum(
            best, sums[:, number * width : (number + 1) * width], out=best if number > 1 else None
        )
    best -= np.add.reduce(best, axis=1, keepdims=True) * np.float32(1 / width)
    variance = np.einsum("ij,ij->i", best, best)[:, None] / width + np.float32(1e-8)
    best *= 1 / np.sqrt(variance)
    best *= layer.gain
    best += layer.shift
    return best
