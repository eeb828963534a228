"""The parser's part of a network for entities: from the vectors of tokens to entities."""

from collections.abc import Sequence
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from gateway_tuning.anonymization.names.network import Floats, Network

Entities = tuple[list[tuple[int, int]], list[str]]
"""Of one text: (first token, token after the last) of each, and their labels."""


class EntityParser:
    def __init__(self, network: Network) -> None:
        self._network = network
        moves = network.moves
        position = {move: number for number, move in enumerate(moves)}
        self._label = [move[2:] for move in moves]
        # The moves while no entity is open; ties go to the first, as in spaCy.
        self._closed = np.array(
            [n for n, move in enumerate(moves) if move == "O" or (move[0] in "BU" and len(move) > len("U-"))]
        )
        self._closed_upper = np.ascontiguousarray(network.upper[:, self._closed])
        self._upper = np.ascontiguousarray(network.upper.T)  # (moves, hidden)
        self._closed_bias = network.upper_bias[self._closed]
        self._outside = position["O"]
        self._begin = np.array([move.startswith("B-") for move in moves])
        self._closed_begin = self._begin[self._closed]
        self._closed_name = self._closed != self._outside
        # For a move B-x: the moves I-x and L-x.
        self._inside = np.array([position.get(f"I-{label}", 0) for label in self._label])
        self._last = np.array([position.get(f"L-{label}", 0) for label in self._label])

    def parse(self, vectors: Floats, lengths: Sequence[int], is_space: NDArray[np.bool_]) -> list[Entities]:
        """The texts' tokens come one text after the other; `lengths` says how many are each one's."""
        network = self._network
        tokens: Floats = vectors @ network.output + network.output_bias
        closed: Floats = tokens @ network.lower[0]
        closed += network.padding[1] + network.padding[2] + network.lower_bias
        scores = self._hidden(closed) @ self._closed_upper + self._closed_bias
        starts = [0, *accumulate(lengths)]
        lasts = np.array(starts[1:]) - 1  # of an empty text, that of its neighbour
        scores[np.ix_(is_space, self._closed_name)] = -np.inf
        scores[np.ix_(lasts[np.array(lengths) > 0], self._closed_begin)] = -np.inf
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
            goes_on = np.einsum("ij,ij->i", hidden, self._upper[inside]) + network.upper_bias[inside]
            stops = np.einsum("ij,ij->i", hidden, self._upper[last]) + network.upper_bias[last]
            done = (current == lasts[begun]) | (stops > goes_on)
            ends.update(zip(begun[done].tolist(), current[done].tolist(), strict=True))
            begun, current, first_word = begun[~done], current[~done] + 1, first_word[~done]
        return ends

    def _hidden(self, states: Floats) -> Floats:
        first, *others = np.split(states, self._network.pieces, axis=1)
        for other in others:
            np.maximum(first, other, out=first)
        return first

    def _read(self, moves: NDArray[np.intp], ends: dict[int, int], starts: Sequence[int]) -> list[Entities]:
        found: list[Entities] = [([], []) for _ in starts[1:]]
        text, free = 0, 0
        for position in np.flatnonzero(moves != self._outside).tolist():
            if position < free:
                continue  # within the entity before
            while position >= starts[text + 1]:
                text += 1
            free = ends.get(position, position) + 1
            spans, labels = found[text]
            spans.append((position - starts[text], free - starts[text]))
            labels.append(self._label[moves[position]])
        return found
