"""Lines of JSON, read strictly: what one parser accepts and the next does not is a fault here. Pure."""

import json
import math
from collections import Counter
from typing import Any, NoReturn

Row = dict[str, Any]

BYTES_A_TOKEN = 3  # tokenizers of today take 3.5 to 5 bytes of English, about 3 of code and of Chinese


class NotARowError(ValueError):
    """The line is no JSON object that every reader understands alike; the message says why."""


def dump(row: Row) -> str:
    """One line without its end, letters as they are."""
    return json.dumps(row, ensure_ascii=False, allow_nan=False)


def parse(line: bytes | str) -> Row:
    """The object on a line.

    Raises:
        NotARowError: it is no UTF-8, no JSON, no object, or holds a key twice, NaN, an infinity or half a character.
    """
    try:
        text = line.decode() if isinstance(line, bytes) else line
    except UnicodeDecodeError as error:
        raise NotARowError(f"byte {error.start + 1} of the line is not UTF-8") from None
    if text.startswith("\ufeff"):
        raise NotARowError("starts with a byte order mark")
    if not text.strip():
        raise NotARowError("is empty")
    try:
        row = json.loads(
            text, object_pairs_hook=_object, parse_constant=_no_constant, parse_float=_finite_float
        )
        is_whole = is_utf8(json.dumps(row, ensure_ascii=False))
    except json.JSONDecodeError as error:
        raise NotARowError(f"is not JSON at character {error.pos + 1}: {error.msg}") from None
    except RecursionError:
        raise NotARowError("is nested too deeply to be read") from None
    except NotARowError:
        raise
    except ValueError as error:  # integers of more digits than Python reads
        raise NotARowError(f"holds a number that cannot be read: {error}") from None
    if not isinstance(row, dict):
        raise NotARowError("is JSON but no object")
    if not is_whole:
        raise NotARowError("holds half a character (a lone surrogate such as \\ud800)")
    return row


def estimated_tokens(text: str) -> int:
    """Tokens of a line as `dump` writes it, keys and quotes included.

    An estimate for want of the provider's tokenizer, meant to be too high rather than too low.
    """
    return math.ceil(len(text.encode(errors="replace")) / BYTES_A_TOKEN)


def is_utf8(text: str) -> bool:
    """False for half a character, which Python's texts can hold and files cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _object(pairs: list[tuple[str, Any]]) -> Row:
    row = dict(pairs)
    if len(row) < len(pairs):
        twice = Counter(key for key, _value in pairs).most_common(1)[0][0]
        raise NotARowError(f"holds the key {twice!r} twice in one object")
    return row


def _no_constant(name: str) -> NoReturn:
    raise NotARowError(f"holds {name}, which is not JSON")


def _finite_float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise NotARowError(f"holds {text}, a number beyond what readers can hold")
    return value
