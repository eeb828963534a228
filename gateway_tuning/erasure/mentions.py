"""Does a text name a user? Pure.

Broken rows name no user that could be read, so their raw text is searched. Rather too much is found than too little:
a row that only quotes the id is lost by that and can be sent again; a row that is missed stays for ever.
"""

import re

_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|.)", re.DOTALL)
_PLAIN = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f"}
_DEEPEST = 4  # as written, and three layers of JSON text inside of JSON strings


def names_user(raw: str, user_id: str) -> bool:
    """Whether the id stands in the text as a whole token, however the text is escaped."""
    token = re.compile(rf"(?<![\w-]){re.escape(user_id)}(?![\w-])")
    text = raw
    for _ in range(_DEEPEST):
        if token.search(text):
            return True
        plain = _unescape(text)
        if plain == text:
            break
        text = plain
    return _ends_in_punctuation(user_id) and user_id in text


def _ends_in_punctuation(user_id: str) -> bool:
    """Such an id has no edges of its own: `-7` may follow a word."""
    edges = user_id[:1].isalnum() and user_id[-1:].isalnum()
    return not edges and any(map(str.isalnum, user_id))


def _unescape(text: str) -> str:
    def plain(found: re.Match[str]) -> str:
        escape = found[1]
        if len(escape) > 1:
            return chr(int(escape[1:], 16))
        return _PLAIN.get(escape, escape)

    decoded = _ESCAPE.sub(plain, text)
    # Two halves of a character beyond the first 65536 become that character.
    return decoded.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
