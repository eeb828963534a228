"""Keyed pseudonyms: the same value has the same one under one key, and another under another. Pure; one-way.

Each kind has a form that nobody's data has: reserved numbers and addresses, check digits that fail, invented
surnames and places. What could still be somebody's (a name, an e-mail address, a card) also bears a mark of the
key: only one in `odds` of the possible ones is used, and only the key tells which. So a pseudonym is known as
one when it is met again, and stays; a value of its form by chance passes for one at 1 in `odds` at most.
"""

import hmac
import re
from base64 import b32encode
from collections.abc import Collection, Iterator

from gateway_tuning.anonymization.pseudonyms.forms import FORMS, Draw, Form
from gateway_tuning.errors import ConfigurationError

CODE_PATTERN = r"(?=[a-z2-7]{0,5}[2-7])[a-z2-7]{6}"
"""Of the codes in `<SECRET_x7k2ab>`: with a digit, so that no word passes for one."""

_KEY_BYTES = 32
_ATTEMPTS = 2_000  # a marked one comes within a few times `odds`; a form that is nearly used up ends here


class Pseudonyms:
    """Of one tenant's key. Holds no state beside it."""

    def __init__(self, key: bytes) -> None:
        """Raises ConfigurationError: the key is shorter than 32 bytes."""
        if len(key) < _KEY_BYTES:
            raise ConfigurationError(
                f"The pseudonym key has {len(key)} bytes; give {_KEY_BYTES} random ones, as from "
                "`openssl rand -hex 32`"
            )
        self._key = key

    def make(self, entity: str, identity: str, original: str, taken: Collection[str]) -> str:
        """The first pseudonym of the value that is not taken.

        `identity` is the value as equal spellings share it and decides; `original` lends its format, such as
        the length of a card number. Entities without a form of their own, and values whose form is used up or
        not understood, become a code such as `<SECRET_x7k2ab>`.
        """
        form = FORMS.get(entity)
        if form is not None:
            for candidate in self._candidates(form, entity, identity, original):
                if candidate not in taken:
                    return candidate
        attempt = 0
        while True:
            code = b32encode(self._digest("code", entity, identity, attempt)).decode().lower()[:6]
            if re.fullmatch(CODE_PATTERN, code) and f"<{entity}_{code}>" not in taken:
                return f"<{entity}_{code}>"
            attempt += 1

    def find(self, text: str) -> list[tuple[int, int]]:
        """Where pseudonyms of this key stand in the text, codes left out; in no order."""
        return [
            found.span()
            for form in dict.fromkeys(FORMS.values())
            for found in form.pattern.finditer(text)
            if form.is_valid(found.group()) and self._bears_mark(form, found.group())
        ]

    def _candidates(self, form: Form, entity: str, identity: str, original: str) -> Iterator[str]:
        for attempt in range(_ATTEMPTS):
            draw = Draw(int.from_bytes(self._digest("value", entity, identity, attempt), "big"))
            candidate = form.make(draw, original)
            if candidate is None:
                return
            if self._bears_mark(form, candidate):
                yield candidate

    def _bears_mark(self, form: Form, pseudonym: str) -> bool:
        return form.odds == 1 or self._digest("mark", pseudonym, "", 0)[0] % form.odds == 0

    def _digest(self, purpose: str, name: str, value: str, attempt: int) -> bytes:
        message = f"{purpose}\x1f{name}\x1f{value}\x1f{attempt}"
        return hmac.digest(self._key, message.encode("utf-8", "surrogatepass"), "sha256")
