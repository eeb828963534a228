"""Texts as numbers of word forms, by spaCy's tokenizer, which sees each run of characters between spaces once.

spaCy splits a text at white space and then each run for itself, but for one thing: a special case such as ":)"
is also found where its parts end one run and begin the next. A text where such parts meet is split as a whole.
"""

import re
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from itertools import accumulate, chain, islice, pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from spacy.language import Language
    from spacy.tokenizer import Tokenizer

_RUN = re.compile(r"\S+|\s+")
_BETWEEN = "\n"  # a token of its own, and of no special case with another
_KEPT_WORDS = 150_000  # about 100 bytes each; beyond them, words live as long as they are split
_KEPT_RUNS = 100_000  # about 500 bytes each
_KEPT_CHARACTERS = 4_000_000
_FORM_BYTES = np.dtype(np.int32).itemsize


@dataclass(frozen=True, slots=True)
class _Run:
    """`forms` are int32; `bounds` are those of the tokens within the run; `first` and `last` are token hashes."""

    forms: bytes
    bounds: Sequence[tuple[int, int]]
    first: int
    last: int


_NO_TOKENS = _Run(b"", (), 0, 0)


@dataclass(frozen=True, slots=True)
class Tokens:
    """`forms` has the number of each token's form, as int32."""

    forms: bytes
    _pieces: Sequence[str]
    _runs: Sequence[_Run]

    def __len__(self) -> int:
        return len(self.forms) // _FORM_BYTES

    def characters(self, spans: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
        """Where spans stand in the text; given as (first token, token after the last)."""
        if not spans:
            return []
        firsts = [0, *accumulate([len(run.bounds) for run in self._runs])]
        starts = [0, *accumulate(map(len, self._pieces))]

        def bounds(token: int) -> tuple[int, int]:
            place = bisect_right(firsts, token) - 1
            start, end = self._runs[place].bounds[token - firsts[place]]
            return starts[place] + start, starts[place] + end

        return [(bounds(first)[0], bounds(last - 1)[1]) for first, last in spans]


class WordForms:
    """Numbers forms from 1 on; a form is what the network sees of a token. Not for several threads."""

    def __init__(self, nlp: "Language", features: Sequence[str]) -> None:
        from spacy.tokenizer import Tokenizer

        self._features = [*features, "IS_SPACE"]
        # Another class may split a run by what stands around it.
        self._by_runs = type(nlp.tokenizer) is Tokenizer
        self._tokenizer = _with_few_attributes(nlp, self._features) if self._by_runs else nlp.tokenizer
        self._special_pairs = _special_pairs(self._tokenizer) if self._by_runs else frozenset()
        self._second_parts = {second for _, second in self._special_pairs}
        self.forget()

    def forget(self) -> None:
        """Begin anew at 1. Numbers given before mean nothing any more."""
        self._numbers: dict[bytes, int] = {}
        self._runs: dict[str, _Run] = {" ": _NO_TOKENS}
        self._characters = 0
        self._with_second_part: set[str] = set()  # runs that begin with the second part of a special case

    def __len__(self) -> int:
        return len(self._numbers)

    @property
    def is_full(self) -> bool:
        return len(self._runs) > _KEPT_RUNS or self._characters > _KEPT_CHARACTERS

    def keys_from(self, number: int) -> tuple[NDArray[np.uint64], NDArray[np.bool_]]:
        """Of the forms from `number` on: their features (forms, features), and whether each is white space."""
        data = b"".join(islice(self._numbers, number - 1, None))
        keys = np.frombuffer(data, np.uint64).reshape(-1, len(self._features))
        return keys[:, :-1], keys[:, -1] != 0

    def tokenize(self, texts: Sequence[str]) -> list[Tokens]:
        if not self._by_runs:
            return [self._whole(text) for text in texts]
        pieces_of = [_RUN.findall(text) for text in texts]
        known = self._runs
        self._add([piece for piece in dict.fromkeys(chain.from_iterable(pieces_of)) if piece not in known])
        tokens = []
        for text, pieces in zip(texts, pieces_of, strict=True):
            runs = [known[piece] for piece in pieces]
            # One space at the beginning is a token, and nowhere else.
            if text.startswith(" ") or self._may_have_a_special_case(pieces, runs):
                tokens.append(self._whole(text))
            else:
                tokens.append(Tokens(b"".join([run.forms for run in runs]), pieces, runs))
        return tokens

    def _whole(self, text: str) -> Tokens:
        run = self._split([text], text)[0]
        return Tokens(run.forms, [text], [run])

    def _may_have_a_special_case(self, pieces: Sequence[str], runs: Sequence[_Run]) -> bool:
        """Whether two tokens of one special case meet at white space."""
        seconds = self._with_second_part.intersection(pieces)
        if not seconds:
            return False
        for place, piece in enumerate(pieces):
            if piece in seconds and place:
                before = runs[place - 1]
                if before is _NO_TOKENS and place > 1:
                    before = runs[place - 2]
                if (before.last, runs[place].first) in self._special_pairs:
                    return True
        return False

    def _add(self, pieces: Sequence[str]) -> None:
        words = [piece for piece in pieces if not piece.isspace()]
        self._runs.update(zip(words, self._split(words, _BETWEEN.join(words)), strict=True))
        for piece in pieces:
            if piece.isspace():
                # The first of several spaces belongs to the token before.
                inner = piece.removeprefix(" ")
                run = self._split([inner], inner)[0]
                self._runs[piece] = replace(run, bounds=[(len(piece) - len(inner), len(piece))])
            self._characters += len(piece)
            if self._runs[piece].first in self._second_parts:
                self._with_second_part.add(piece)

    def _split(self, pieces: Sequence[str], text: str) -> list[_Run]:
        """Tokens of each of the pieces, which make the text up with a character between them."""
        vocab = self._tokenizer.vocab
        with vocab.memory_zone() if len(vocab) > _KEPT_WORDS and not vocab.in_memory_zone else nullcontext():
            table = self._tokenizer(text).to_array([*self._features, "ORTH", "IDX", "LENGTH"])
        if not len(table):
            return [_NO_TOKENS for _ in pieces]
        keys = np.ascontiguousarray(table[:, : len(self._features)])
        names = keys.view(f"V{keys.itemsize * keys.shape[1]}").ravel().tolist()
        numbers = self._numbers
        for name in names:
            if name not in numbers:
                numbers[name] = len(numbers) + 1
        forms = np.array([numbers[name] for name in names], np.int32)
        orths, starts, lengths = table[:, -3].tolist(), table[:, -2].tolist(), table[:, -1].tolist()
        runs = []
        token = offset = 0
        for piece in pieces:
            first, end = token, offset + len(piece)
            while token < len(starts) and starts[token] < end:
                token += 1
            bounds = [
                (starts[one] - offset, starts[one] - offset + lengths[one]) for one in range(first, token)
            ]
            runs.append(_Run(forms[first:token].tobytes(), bounds, orths[first], orths[token - 1]))
            offset = end + 1
            token += 1
        return runs


def _with_few_attributes(nlp: "Language", features: Sequence[str]) -> "Tokenizer":
    """The pipeline's tokenizer with words that have these attributes alone: most of the time goes into the others."""
    from spacy.attrs import IDS
    from spacy.vocab import Vocab

    attributes = {IDS[name] for name in features}
    getters = nlp.vocab.lex_attr_getters
    vocab = Vocab(
        lex_attr_getters={number: getter for number, getter in getters.items() if number in attributes}
    )
    return _copied(nlp.tokenizer, vocab, nlp.tokenizer.rules)


def _special_pairs(tokenizer: "Tokenizer") -> frozenset[tuple[int, int]]:
    """Tokens, as hashes, that a part of a special case and the next one may lie in.

    The parts are the tokens that the case would have if it were none. A part at the end of a run may by now lie
    in a token of another case: the bracket of ":)" also begins ")-:".
    """
    from spacy.attrs import ORTH

    plain = _copied(tokenizer, tokenizer.vocab, {})
    pairs: set[tuple[int, int]] = set()
    begins_with: dict[int, set[int]] = {}  # part -> tokens whose case begins with it
    ends_with: dict[int, set[int]] = {}
    for case, tokens in tokenizer.rules.items():
        parts = [token.orth for token in plain(case)]
        pairs.update(pairwise(parts))
        hashes = [tokenizer.vocab.strings[token[ORTH]] for token in tokens]
        begins_with.setdefault(parts[0], {parts[0]}).add(hashes[0])
        ends_with.setdefault(parts[-1], {parts[-1]}).add(hashes[-1])
    return frozenset(
        (before, after)
        for first, second in pairs
        for before in ends_with.get(first, {first})
        for after in begins_with.get(second, {second})
    )


def _copied(tokenizer: Any, vocab: Any, rules: Mapping[str, Any]) -> "Tokenizer":
    return type(tokenizer)(
        vocab,
        rules=rules,
        prefix_search=tokenizer.prefix_search,
        suffix_search=tokenizer.suffix_search,
        infix_finditer=tokenizer.infix_finditer,
        token_match=tokenizer.token_match,
        url_match=tokenizer.url_match,
        faster_heuristics=tokenizer.faster_heuristics,
    )
