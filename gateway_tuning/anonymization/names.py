"""Named entities by the small spaCy networks, computed with numpy alone: the same entities, several times faster.

What spaCy computes here (`spacy.TransitionBasedParser.v2` over `HashEmbedCNN`) has three parts, and each
allows a shortcut that changes no result:

- a token's embedding depends on four hashed features of the token alone, so it is kept for the next time;
- the convolutions are large matrix products, for which numpy's BLAS is the faster one;
- while no entity is open, the parser's state is its token, so the moves of all tokens are scored at once;
  while one is open, only "go on" and "end" with its label are allowed, so entities are followed side by side.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from spacy.language import Language
    from spacy.tokens import Doc

Floats = NDArray[np.float32]

_CHUNK_TOKENS = 800  # what stays in a core's cache together with the weights
_CACHED_TOKENS = 50_000  # 96 floats each: 19 MB
_GAP = 4  # rows of zeros between texts, as the model's layer `with_array` has them


@dataclass(frozen=True, slots=True)
class _Embedding:
    """One table of hashed features: each key adds four rows of `table`."""

    table: Floats
    seed: int


@dataclass(frozen=True, slots=True)
class _Maxout:
    """`weights` (inputs, pieces * outputs) and `bias`, pieces outermost; then a layer norm."""

    weights: Floats
    bias: Floats
    pieces: int
    gain: Floats
    shift: Floats


@dataclass(frozen=True, slots=True)
class Network:
    """The weights of a trained network, laid out for matrix products. Floats are single precision."""

    features: tuple[str, ...]
    embeddings: tuple[_Embedding, ...]
    mix: _Maxout
    convolutions: tuple[_Maxout, ...]
    output: Floats
    output_bias: Floats
    lower: tuple[Floats, ...]  # for each feature (width, pieces * hidden)
    lower_bias: Floats  # (pieces * hidden)
    padding: Floats  # (features, pieces * hidden)
    pieces: int
    upper: Floats  # (hidden, moves)
    upper_bias: Floats
    moves: tuple[str, ...]


def read_network(nlp: "Language") -> Network | None:
    """The network of the pipe `ner`, or None where its architecture is another one than is computed here."""
    if "ner" not in nlp.pipe_names:
        return None
    pipe: Any = nlp.get_pipe("ner")
    layers = list(pipe.model.walk())
    named: dict[str, list[Any]] = {}
    for layer in layers:
        named.setdefault(layer.name, []).append(layer)
    if not _is_supported(pipe, named):
        return None
    state, lower = named["parser_model"][0], named["precomputable_affine"][0]
    upper = named["linear"][-1] if state.layers[2] is named["linear"][-1] else named["linear"][0]
    projection = next(layer for layer in named["linear"] if layer is not upper)
    maxouts = [
        _read_maxout(maxout, norm) for maxout, norm in zip(named["maxout"], named["layernorm"], strict=True)
    ]
    weights = lower.get_param("W")  # (features, hidden, pieces, width)
    features, hidden, pieces, width = weights.shape
    return Network(
        features=tuple(named["extract_features"][0].attrs["columns"]),
        embeddings=tuple(
            _Embedding(layer.get_param("E"), layer.attrs["seed"]) for layer in named["hashembed"]
        ),
        mix=maxouts[0],
        convolutions=tuple(maxouts[1:]),
        output=np.ascontiguousarray(projection.get_param("W").T),
        output_bias=projection.get_param("b"),
        lower=tuple(
            np.ascontiguousarray(weights[feature].transpose(2, 1, 0).reshape(width, pieces * hidden))
            for feature in range(features)
        ),
        lower_bias=np.ascontiguousarray(lower.get_param("b").T).reshape(-1),
        padding=np.ascontiguousarray(lower.get_param("pad")[0].transpose(0, 2, 1)).reshape(features, -1),
        pieces=pieces,
        upper=np.ascontiguousarray(upper.get_param("W").T),
        upper_bias=upper.get_param("b"),
        moves=tuple(pipe.moves.get_class_name(number) for number in range(pipe.moves.n_moves)),
    )


def _is_supported(pipe: Any, named: dict[str, list[Any]]) -> bool:
    counts = {name: len(found) for name, found in named.items()}
    expected = {
        "parser_model": 1,
        "precomputable_affine": 1,
        "linear": 2,
        "extract_features": 1,
        "list2array": 1,
    }
    if any(counts.get(name) != count for name, count in expected.items()):
        return False
    if (
        not counts.get("hashembed")
        or counts.get("maxout", 0) < 2  # noqa: PLR2004 - one to embed, one to convolve
        or counts["maxout"] != counts.get("layernorm")
    ):
        return False
    known = {
        *expected, "hashembed", "ints-getitem", "maxout", "layernorm", "dropout", "expand_window", "list2ragged",
        "ragged2list",
    }  # fmt: skip
    if any(not (name in known or ">>" in name or "|" in name) for name in named):
        return False
    state, lower = named["parser_model"][0], named["precomputable_affine"][0]
    columns = list(named["extract_features"][0].attrs["columns"])
    residuals = sum(name.startswith("residual(") and "layers" not in name for name in named)
    return bool(
        pipe.cfg.get("beam_width", 1) == 1
        and state.attrs["has_upper"]
        and not state.attrs["unseen_classes"]
        and lower.get_dim("nF") == 3  # noqa: PLR2004 - next token, first and last token of the entity
        and min(layer.get_dim("nP") for layer in (lower, *named["maxout"])) >= 2  # noqa: PLR2004 - one piece would be a relu
        and residuals
        and all(layer.attrs["window_size"] == 1 for layer in named.get("expand_window", ()))
        and len(named.get("expand_window", ())) == counts["maxout"] - 1 <= _GAP
        and len(columns) == counts["hashembed"]
        and [layer.attrs["column"] for layer in named["hashembed"]] == list(range(len(columns)))
        and {pipe.moves.get_class_name(number)[:2] for number in range(pipe.moves.n_moves)}
        == {"B-", "I-", "L-", "U-", "O"}
    )


def _read_maxout(maxout: Any, norm: Any) -> _Maxout:
    weights = maxout.get_param("W")  # (outputs, pieces, inputs)
    outputs, pieces, inputs = weights.shape
    return _Maxout(
        weights=np.ascontiguousarray(weights.transpose(2, 1, 0).reshape(inputs, pieces * outputs)),
        bias=np.ascontiguousarray(maxout.get_param("b").T).reshape(-1),
        pieces=pieces,
        gain=norm.get_param("G"),
        shift=norm.get_param("b"),
    )


class NameFinder:
    """Entities of tokenized texts as (first token, token after the last, label). Not for several threads."""

    def __init__(self, network: Network, *, cached_tokens: int = _CACHED_TOKENS) -> None:
        self._network = network
        self._cached_tokens = cached_tokens
        self._rows: dict[bytes, int] = {}
        self._vectors = np.empty((cached_tokens, network.mix.gain.size), np.float32)
        moves = network.moves
        position = {move: number for number, move in enumerate(moves)}
        self._label = [move[2:] for move in moves]
        # The moves while no entity is open; ties go to the first, as in spaCy.
        self._closed = np.array(
            [n for n, move in enumerate(moves) if move == "O" or (move[0] in "BU" and len(move) > len("U-"))]
        )
        self._closed_upper = np.ascontiguousarray(network.upper[:, self._closed])
        self._closed_bias = network.upper_bias[self._closed]
        self._outside = position["O"]
        self._begin = np.array([move.startswith("B-") for move in moves])
        self._closed_begin = self._begin[self._closed]
        self._closed_name = self._closed != self._outside
        # For a move B-x: the moves I-x and L-x.
        self._inside = np.array([position.get(f"I-{label}", 0) for label in self._label])
        self._last = np.array([position.get(f"L-{label}", 0) for label in self._label])

    def find(self, docs: Sequence["Doc"]) -> list[list[tuple[int, int, str]]]:
        found: list[list[tuple[int, int, str]]] = []
        chunk: list[Doc] = []
        tokens = 0
        for doc in docs:
            if chunk and tokens + len(doc) > _CHUNK_TOKENS:
                found += self._find_in_chunk(chunk)
                chunk, tokens = [], 0
            chunk.append(doc)
            tokens += len(doc) + _GAP
        return found + self._find_in_chunk(chunk) if chunk else found

    def _find_in_chunk(self, docs: Sequence["Doc"]) -> list[list[tuple[int, int, str]]]:
        from spacy.attrs import IS_SPACE

        lengths = [len(doc) for doc in docs]
        if not sum(lengths):
            return [[] for _ in docs]
        keys = np.concatenate([doc.to_array([*self._network.features, IS_SPACE]) for doc in docs])
        is_space = keys[:, -1] != 0
        inner, starts = _with_gaps(lengths)
        padded = np.zeros((inner.size, self._vectors.shape[1]), np.float32)
        padded[inner] = self._embed(np.ascontiguousarray(keys[:, :-1], np.uint64))
        for layer in self._network.convolutions:
            padded += _maxout(layer, _windows(padded))
        tokens = padded[inner] @ self._network.output + self._network.output_bias
        return self._decode(tokens, starts, is_space)

    def _embed(self, keys: NDArray[np.uint64]) -> Floats:
        names = keys.view(f"V{keys.itemsize * keys.shape[1]}").ravel().tolist()
        rows = self._rows
        unseen = {name: number for number, name in enumerate(names) if name not in rows}
        if len(rows) + len(unseen) > self._cached_tokens:
            rows.clear()
            unseen = {name: number for number, name in enumerate(names)}
            if len(unseen) > self._cached_tokens:
                return self._embed_anew(keys)
        if unseen:
            first = len(rows)
            rows.update(zip(unseen, range(first, first + len(unseen)), strict=True))
            self._vectors[first : len(rows)] = self._embed_anew(keys[list(unseen.values())])
        vectors: Floats = self._vectors[[rows[name] for name in names]]
        return vectors

    def _embed_anew(self, keys: NDArray[np.uint64]) -> Floats:
        from thinc.api import NumpyOps

        hashed = NumpyOps().hash
        parts = [
            embedding.table[
                hashed(np.ascontiguousarray(keys[:, column]), embedding.seed) % len(embedding.table)
            ].sum(axis=1)
            for column, embedding in enumerate(self._network.embeddings)
        ]
        return _maxout(self._network.mix, np.concatenate(parts, axis=1))

    def _decode(
        self, tokens: Floats, starts: Sequence[int], is_space: NDArray[np.bool_]
    ) -> list[list[tuple[int, int, str]]]:
        network = self._network
        closed = tokens @ network.lower[0]
        closed += network.padding[1] + network.padding[2] + network.lower_bias
        scores = self._hidden(closed) @ self._closed_upper + self._closed_bias
        lengths = np.diff(starts)
        lasts = (
            np.array(starts[1:]) - 1
        )  # the last token of each text; of an empty one, that of its neighbour
        scores[np.ix_(is_space, self._closed_name)] = -np.inf
        scores[np.ix_(lasts[lengths > 0], self._closed_begin)] = -np.inf
        moves = self._closed[scores.argmax(axis=1)]
        ends = self._ends(tokens, moves, np.repeat(lasts, lengths))
        return self._read(moves, ends, starts)

    def _ends(self, tokens: Floats, moves: NDArray[np.intp], lasts: NDArray[np.intp]) -> dict[int, int]:
        """For each token that may begin an entity, the last token of that entity."""
        network = self._network
        begun = np.flatnonzero(self._begin[moves])
        current = begun + 1
        first_word = tokens[begun] @ network.lower[1] + network.lower_bias
        ends: dict[int, int] = {}
        while begun.size:
            open_states = (
                tokens[current] @ network.lower[0] + first_word + tokens[current - 1] @ network.lower[2]
            )
            hidden = self._hidden(open_states)
            inside, last = self._inside[moves[begun]], self._last[moves[begun]]
            goes_on = np.einsum("ij,ji->i", hidden, network.upper[:, inside]) + network.upper_bias[inside]
            stops = np.einsum("ij,ji->i", hidden, network.upper[:, last]) + network.upper_bias[last]
            done = (current == lasts[begun]) | (stops > goes_on)
            ends.update(zip(begun[done].tolist(), current[done].tolist(), strict=True))
            begun, current, first_word = begun[~done], current[~done] + 1, first_word[~done]
        return ends

    def _hidden(self, states: Floats) -> Floats:
        pieces = states.reshape(len(states), self._network.pieces, -1)
        hidden: Floats = pieces.max(axis=1)
        return hidden

    def _read(
        self, moves: NDArray[np.intp], ends: dict[int, int], starts: Sequence[int]
    ) -> list[list[tuple[int, int, str]]]:
        found: list[list[tuple[int, int, str]]] = [[] for _ in starts[1:]]
        text, free = 0, 0
        for position in np.flatnonzero(moves != self._outside).tolist():
            if position < free:
                continue  # within the entity before
            while position >= starts[text + 1]:
                text += 1
            free = ends.get(position, position) + 1
            found[text].append((position - starts[text], free - starts[text], self._label[moves[position]]))
        return found


def _with_gaps(lengths: Sequence[int]) -> tuple[NDArray[np.bool_], list[int]]:
    """Which rows of the padded batch are tokens, and where each text starts among the tokens alone."""
    filled = [length for length in lengths if length]
    inner = np.zeros(sum(filled) + _GAP * (len(filled) + 1), np.bool_)
    row = _GAP
    for length in filled:
        inner[row : row + length] = True
        row += length + _GAP
    return inner, [0, *np.cumsum(lengths).tolist()]


def _windows(rows: Floats) -> Floats:
    """Each row between its neighbours: (rows, 3 * width)."""
    width = rows.shape[1]
    windows = np.empty((len(rows), 3 * width), np.float32)
    windows[0, :width] = 0
    windows[1:, :width] = rows[:-1]
    windows[:, width : 2 * width] = rows
    windows[:-1, 2 * width :] = rows[1:]
    windows[-1, 2 * width :] = 0
    return windows


def _maxout(layer: _Maxout, rows: Floats) -> Floats:
    pieces = (rows @ layer.weights).reshape(len(rows), layer.pieces, -1)
    pieces += layer.bias.reshape(layer.pieces, -1)
    best = np.maximum(pieces[:, 0], pieces[:, 1])
    for number in range(2, layer.pieces):
        np.maximum(best, pieces[:, number], out=best)
    best -= best.mean(axis=1, keepdims=True)
    variance = np.einsum("ij,ij->i", best, best)[:, None] / best.shape[1] + np.float32(1e-8)
    best *= 1 / np.sqrt(variance)
    best *= layer.gain
    best += layer.shift
    normed: Floats = best
    return normed
