"""The forward pass of a BERT encoder in numpy (Devlin et al. 2019, arXiv:1810.04805).

Texts stand one after the other in one long row of tokens: nothing is padded, and a text's tokens see each other alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Tokens = npt.NDArray[np.int64]

_EPSILON = 1e-12
_ROWS = 64  # that fit into a processor's cache while gelu works on them
_ERF = (1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592)


class Linear(NamedTuple):
    weight: Floats
    bias: Floats

    def __call__(self, rows: Floats) -> Floats:
        result: Floats = rows @ self.weight.T
        result += self.bias
        return result


class Norm(NamedTuple):
    weight: Floats
    bias: Floats

    def __call__(self, rows: Floats) -> Floats:
        """In place."""
        rows -= rows.mean(axis=1, keepdims=True)
        rows /= np.sqrt(np.einsum("ij,ij->i", rows, rows)[:, None] / rows.shape[1] + _EPSILON)
        rows *= self.weight
        rows += self.bias
        return rows


@dataclass(frozen=True, slots=True)
class Block:
    """`attend` gives queries, keys and values side by side."""

    attend: Linear
    mix: Linear
    mixed: Norm
    widen: Linear
    narrow: Linear
    narrowed: Norm


@dataclass(frozen=True, slots=True)
class Encoder:
    words: Floats
    places: Floats
    kind: Floats
    embedded: Norm
    blocks: tuple[Block, ...]
    heads: int

    def __call__(self, texts: Sequence[Tokens]) -> Floats:
        """Token vectors of all texts, one after the other: (sum of lengths, width)."""
        places = np.concatenate([np.arange(len(text)) for text in texts])
        rows = self.words[np.concatenate(texts)]
        rows += self.places[places]
        rows += self.kind
        rows = self.embedded(rows)
        ends = np.cumsum([len(text) for text in texts])
        for block in self.blocks:
            context = _attention(block.attend(rows), ends, self.heads)
            rows = block.mixed(block.mix(context) + rows)
            rows = block.narrowed(block.narrow(_gelu(block.widen(rows))) + rows)
        return rows


def encoder(tensors: Mapping[str, Floats], *, layers: int, heads: int) -> Encoder:
    """Of tensors by the names that Hugging Face's BertModel gives them."""

    def linear(name: str) -> Linear:
        return Linear(tensors[f"{name}.weight"], tensors[f"{name}.bias"])

    def norm(name: str) -> Norm:
        return Norm(tensors[f"{name}.weight"], tensors[f"{name}.bias"])

    def block(number: int) -> Block:
        at = f"encoder.layer.{number}"
        parts = [linear(f"{at}.attention.self.{part}") for part in ("query", "key", "value")]
        return Block(
            attend=Linear(
                np.concatenate([part.weight for part in parts]), np.concatenate([part.bias for part in parts])
            ),
            mix=linear(f"{at}.attention.output.dense"),
            mixed=norm(f"{at}.attention.output.LayerNorm"),
            widen=linear(f"{at}.intermediate.dense"),
            narrow=linear(f"{at}.output.dense"),
            narrowed=norm(f"{at}.output.LayerNorm"),
        )

    return Encoder(
        words=tensors["embeddings.word_embeddings.weight"],
        places=tensors["embeddings.position_embeddings.weight"],
        kind=tensors["embeddings.token_type_embeddings.weight"][0],
        embedded=norm("embeddings.LayerNorm"),
        blocks=tuple(block(number) for number in range(layers)),
        heads=heads,
    )


def _attention(parts: Floats, ends: npt.NDArray[np.int64], heads: int) -> Floats:
    width = parts.shape[1] // 3
    size = width // heads
    context = np.empty((len(parts), width), np.float32)
    start = 0
    for end in ends.tolist():
        queries, keys, values = parts[start:end].reshape(end - start, 3, heads, size).transpose(1, 2, 0, 3)
        weights = queries @ keys.transpose(0, 2, 1)
        weights *= np.float32(size**-0.5)
        weights -= weights.max(axis=2, keepdims=True)
        np.exp(weights, out=weights)
        weights /= weights.sum(axis=2, keepdims=True)
        context[start:end] = (weights @ values).transpose(1, 0, 2).reshape(end - start, width)
        start = end
    return context


def _gelu(rows: Floats) -> Floats:
    """x/2 (1 + erf(x / sqrt 2)), in place; erf to 1.5e-7 by Abramowitz and Stegun 7.1.26: scipy's takes six times as long."""
    for start in range(0, len(rows), _ROWS):
        part = rows[start : start + _ROWS]
        size = np.abs(part) * np.float32(0.5**0.5)
        near = 1 / (1 + np.float32(0.3275911) * size)
        series = np.full_like(part, _ERF[0])
        for factor in _ERF[1:]:
            series *= near
            series += np.float32(factor)
        series *= near
        size *= -size
        series *= np.exp(size, out=size)  # 1 - erf of the size
        part *= 0.5 * (1 + np.copysign(1 - series, part))
    return rows
