"""The weights of a spaCy network for named entities (`spacy.TransitionBasedParser.v2` over `HashEmbedCNN`)."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from spacy.language import Language

Floats = NDArray[np.float32]

GAP = 4
"""Rows of zeros between texts, as the model's layer `with_array` has them."""

_OF_THE_FORM = frozenset(
    {"NORM", "PREFIX", "SUFFIX", "SHAPE", "LOWER", "ORTH", "IS_ALPHA", "IS_DIGIT", "IS_SPACE", "LIKE_NUM"}
)
"""Features that a token has wherever it stands."""


@dataclass(frozen=True, slots=True)
class Embedding:
    """One table of hashed features: each key adds four rows of `table`."""

    table: Floats
    seed: int


@dataclass(frozen=True, slots=True)
class Maxout:
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
    embeddings: tuple[Embedding, ...]
    mix: Maxout
    convolutions: tuple[Maxout, ...]
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
            Embedding(layer.get_param("E"), layer.attrs["seed"]) for layer in named["hashembed"]
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
        and len(named.get("expand_window", ())) == counts["maxout"] - 1 <= GAP
        and len(columns) == counts["hashembed"]
        and _OF_THE_FORM.issuperset(columns)
        and [layer.attrs["column"] for layer in named["hashembed"]] == list(range(len(columns)))
        and {pipe.moves.get_class_name(number)[:2] for number in range(pipe.moves.n_moves)}
        == {"B-", "I-", "L-", "U-", "O"}
    )


def _read_maxout(maxout: Any, norm: Any) -> Maxout:
    weights = maxout.get_param("W")  # (outputs, pieces, inputs)
    outputs, pieces, inputs = weights.shape
    return Maxout(
        weights=np.ascontiguousarray(weights.transpose(2, 1, 0).reshape(inputs, pieces * outputs)),
        bias=np.ascontiguousarray(maxout.get_param("b").T).reshape(-1),
        pieces=pieces,
        gain=norm.get_param("G"),
        shift=norm.get_param("b"),
    )
