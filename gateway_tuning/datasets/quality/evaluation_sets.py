"""An evaluation set as hashes: enough to find its texts in training data, and no text. Made once, stored as bytes.

N-grams are of 13 words, and of 8 for texts of fewer than 13: the bounds of Brown et al. 2020 ("Language Models are
Few-Shot Learners", appendix C). Texts of fewer than 8 words are known by their signature alone, and of reference answers
such short ones are left out: "Yes, of course." is nobody's.

Hashes do not hide a text from somebody who can guess it. Texts must have been anonymized as training data is: a name
here where a placeholder stands there breaks the n-grams around it.
"""

import io
import json
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gateway_tuning.datasets.quality.shingles import Hashes, Indexes, hash_words, ngrams, split_words
from gateway_tuning.datasets.quality.signatures import PERMUTATIONS, Signatures, sign
from gateway_tuning.errors import ConfigurationError, IntegrityError

NGRAM, SHORT_NGRAM = 13, 8
_FORMAT = 1


@dataclass(frozen=True, slots=True, eq=False)
class EvaluationSet:
    """`ngrams` ascend, and `owners` says in which text each stands; `totals` are the distinct n-grams a text.

    Texts are numbered as given: prompts first, then the reference answers that are long enough.
    """

    name: str
    version: str
    signatures: Signatures
    ngrams: Hashes
    owners: Indexes
    totals: Indexes

    @property
    def label(self) -> str:
        return f"{self.name}@{self.version}"


def evaluation_set(
    name: str,
    version: str,
    prompts: Sequence[str],
    references: Sequence[str] = (),
    *,
    permutations: int = PERMUTATIONS,
) -> EvaluationSet:
    """Raises ConfigurationError where there is no text: a set that nothing can hit proves nothing."""
    texts = [*prompts, *(text for text in references if len(split_words(text)) >= SHORT_NGRAM)]
    if not texts:
        raise ConfigurationError(
            f"Evaluation set {name}@{version} has no prompt and no reference answer of {SHORT_NGRAM} words or more; "
            "register it with its prompts"
        )
    words = hash_words([split_words(text) for text in texts])
    counts = words.counts
    long, short = ngrams(words, NGRAM), ngrams(words, SHORT_NGRAM)
    is_short = counts[short.owners] < NGRAM
    owners = np.concatenate([long.owners, short.owners[is_short]])
    hashes = np.concatenate([long.hashes, short.hashes[is_short]])
    distinct = np.unique(np.stack([hashes, owners.astype(np.uint64)]), axis=1)
    held = distinct[1].astype(np.int64)
    return EvaluationSet(
        name=name,
        version=version,
        signatures=sign(texts, permutations),
        ngrams=distinct[0],
        owners=held,
        totals=np.bincount(held, minlength=len(texts)).astype(np.int64),
    )


def encode(of: EvaluationSet) -> bytes:
    """An npz without pickled objects; equal sets give equal bytes under one version of numpy."""
    header = json.dumps({"format": _FORMAT, "name": of.name, "version": of.version}, sort_keys=True)
    sink = io.BytesIO()
    np.savez_compressed(
        sink,
        header=np.frombuffer(header.encode(), np.uint8),
        exact=of.signatures.exact,
        minima=of.signatures.minima,
        ngrams=of.ngrams,
        owners=of.owners,
        totals=of.totals,
    )
    return sink.getvalue()


def decode(data: bytes) -> EvaluationSet:
    """Raises IntegrityError where the bytes are no evaluation set of this format."""
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as parts:
            header = json.loads(parts["header"].tobytes())
            found = EvaluationSet(
                name=header["name"],
                version=header["version"],
                signatures=Signatures(parts["exact"], parts["minima"]),
                ngrams=parts["ngrams"],
                owners=parts["owners"],
                totals=parts["totals"],
            )
    except (ValueError, KeyError, TypeError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise IntegrityError(
            f"Not an evaluation set ({type(error).__name__}: {error}); register it again"
        ) from error
    if header.get("format") != _FORMAT or not _fits(found):
        raise IntegrityError(
            f"Evaluation set {found.label} is of format {header.get('format')!r} or its parts do not fit together; "
            "register it again"
        )
    return found


def _fits(found: EvaluationSet) -> bool:
    texts = len(found.totals)
    return (
        found.signatures.minima.ndim == 2  # noqa: PLR2004 - (texts, permutations)
        and found.signatures.minima.dtype == np.uint32
        and found.signatures.exact.dtype == found.ngrams.dtype == np.uint64
        and found.signatures.exact.shape == (texts,)
        and len(found.signatures.minima) == texts
        and found.ngrams.shape == found.owners.shape
        and bool(np.all(found.ngrams[1:] >= found.ngrams[:-1]))
        and np.array_equal(np.bincount(found.owners, minlength=texts), found.totals)
    )
