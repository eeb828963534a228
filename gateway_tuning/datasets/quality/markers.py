"""What refusals, damaged text and orders to a model look like. Pure.

Each finder gives a few words on what it found and quotes at most the marker, or None. Markers are narrow on purpose: an
apology alone is no refusal, and "System: Windows 11" is no order. Patterns are tried only where one of their trigger
words stands: most texts have none, and looking for a word is a hundred times faster.
"""

import re
import unicodedata

OPENING = 300  # characters: a refusal stands at the beginning
_QUOTED = 40

_APOSTROPHE = "['\u2019]"
_DECLINES = {  # what is sorry, and what the speaker cannot do
    "en": (
        r"\b(?:sorry|afraid|apologi[sz]e|apologies)\b",
        rf"\bI (?:(?:can|won){_APOSTROPHE}t|cannot|can not|will not)\b|\bI(?: a|{_APOSTROPHE})m (?:unable|not able|not allowed) to\b",
    ),
    "de": (
        r"\btut mir (?:sehr )?leid\b",
        r"\b(?:ich (?:kann|darf)|(?:kann|darf) ich)\b[^.!?\n]{0,80}?\b(?:nicht|kein\w*)\b",
    ),
    "fr": (rf"\b(?:désolée?|m{_APOSTROPHE}excuse)\b", r"\bje ne (?:peux|puis|suis) pas\b"),
    "es": (
        r"\b(?:lo (?:siento|lamento)|disculpa|disculpe)\b",
        r"\bno (?:puedo|me es posible|estoy (?:autorizad|capacitad)[oa])\b",
    ),
}
_DECLINING = re.compile(
    "|".join(rf"(?:{sorry})[^.!?\n]{{0,40}}?(?:{cannot})" for sorry, cannot in _DECLINES.values())
    + rf"|\A\W*(?:{_DECLINES['en'][1]}) (?:\w+ ){{0,2}}?(?:help|assist|answer|comply|fulfil|provide|engage|do)\b"
    r"[^.!?\n]{0,40}\b(?:request|that|this)\b"
    r"|\bas an? (?:AI|artificial intelligence|(?:large )?language model)\b"
    r"|\bals (?:KI\b|künstliche intelligenz|(?:ein |großes )?sprachmodell)"
    rf"|\ben tant qu(?:e |{_APOSTROPHE})(?:une? )?(?:IA\b|intelligence artificielle|modèle de langage)"
    r"|\bcomo (?:una? )?(?:IA\b|inteligencia artificial|modelo de lenguaje)",
    re.IGNORECASE,
)

_DECLINING_TRIGGERS = (
    *("sorry", "afraid", "apolog", "i can", "i won", "i will not", "unable", "not able", "not allowed"),
    *("language model", "an ai", "artificial", "tut mir", "als k", "sprachmodell"),
    *("désol", "excuse", "en tant qu", "lo siento", "lo lamento", "disculp", "como "),
)

# UTF-8 read as Latin-1 or Windows-1252: the letter of a lead byte before what a trail byte becomes there.
_TRAIL = "\u0080-\u00bf\u0152\u0153\u0160\u0161\u0178\u017d\u017e\u0192\u02c6\u02dc\u2013-\u203a\u20ac\u2122"
_CONTROL = r"\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff"
_SUSPECT = re.compile(rf"[{_CONTROL}\ufffd\u00c2\u00c3\u00d0\u00d1\u00e2\u00ef\u00f0]")
_DAMAGE = re.compile(
    # Portuguese closes quotes behind a capital A with tilde: those signs count within a word only.
    r"\u00c3(?:[\u0080-\u00ba\u00bc-\u00bf\u0152\u0153\u0160\u0161\u0178\u017d\u017e\u0192\u02c6\u02dc\u201a\u201c\u201e"
    r"\u2020-\u2022\u2030\u2039\u203a\u20ac\u2122]|[\u00bb\u2013\u2014\u2019\u201d\u2026](?=\w))"
    r"|\u00c2[\u0080-\u00bf]"
    rf"|\u00e2[\u20ac\u0080][{_TRAIL}]"  # quotes and dashes
    rf"|\u00f0[\u0178\u009f][{_TRAIL}]{{2}}"  # emoji
    rf"|(?:[\u00d0\u00d1][{_TRAIL}]){{2,}}"  # Cyrillic
    r"|\u00ef\u00bf\u00bd|\u00ef\u00bb\u00bf"  # U+FFFD and the byte order mark, read so
    rf"|[{_CONTROL}\ufffd]"
)

_PREVIOUS = r"(?:previous|prior|above|earlier|preceding|foregoing|existing|original|system)"
_ORDERS = r"(?:instructions?|prompts?|rules|directions|directives|guidelines|commands)"
# Name, what one of must stand in the lower-case text, and the pattern.
_INJECTIONS: tuple[tuple[str, tuple[str, ...], re.Pattern[str]], ...] = (
    (
        "an order to ignore instructions",
        ("ignor", "disregard", "forget", "overrid", "bypass", "vergiss", "missachte", "oublie", "olvid"),
        re.compile(
            rf"\b(?:ignore|disregard|forget|override|bypass)\b(?: \w+){{0,2}}? (?:{_PREVIOUS} (?:\w+ )?{_ORDERS}|"
            rf"{_ORDERS} (?:above|before|you (?:were|have been) given))"
            r"|\b(?:ignoriere|vergiss|missachte)\b(?: \w+){0,2} (?:vorherigen|bisherigen|obigen|vorigen|früheren) "
            r"(?:anweisungen|instruktionen|regeln|befehle)"
            r"|\b(?:ignore[zr]?|oublie[zr]?)\b(?: \w+){0,2} (?:instructions|consignes|règles) "
            r"(?:précédentes|antérieures|ci-dessus)"
            r"|\b(?:ignora|ignore|olvida|olvide)\b(?: \w+){0,2} (?:instrucciones|órdenes|reglas) (?:anteriores|previas)",
            re.IGNORECASE,
        ),
    ),
    (
        "a role tag",
        ("<|", "inst]", "sys>>", "_of_turn>", "[system_prompt", "[available_tools", "[tool_calls"),
        re.compile(
            r"<\|(?:im_start|im_end|im_sep|system|user|assistant|end|endoftext|end_of_text|begin_of_text|eot_id|"
            r"start_header_id|end_header_id|channel|message|return)\|>"
            r"|\[/?INST\]|<</?SYS>>|<(?:start|end)_of_turn>|\[(?:SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_CALLS)\]"
        ),
    ),
    (
        "a turn of another role",
        ("system", "developer", "## new", "## updated"),
        re.compile(
            r"^[ \t>#*]*(?:system|developer)(?: (?:prompt|message|instructions?))?[ \t*]*:[ \t*]*(?:you (?:are|must|will|"
            r"should|have)|your (?:new|task|role)|ignore|disregard|override|new instructions?|from now on|act as|do not|"
            r"always|never|respond|reply|answer|reveal|print|output)\b"
            r"|^[ \t]*#{2,}[ \t]*(?:system|new|updated) (?:prompt|instructions?)[ \t]*:?[ \t]*$",
            re.IGNORECASE | re.MULTILINE,
        ),
    ),
)
_DECODE = ("decod", "de-cod", "dekodier", "décod", "base64", "base-64")
_BLOB = re.compile(
    r"(?<![A-Za-z0-9+/=_-])(?=[A-Za-z0-9+/]{0,38}\d)(?=[A-Za-z0-9+/]{0,38}[A-Z])(?:[A-Za-z0-9+/]{40,})={0,2}"
)
_HIDDEN = re.compile("[\u200b\u202d\u202e\u2060-\u2064\ufeff\U000e0001\U000e0020-\U000e007f]")
_OVERRIDES = re.compile("[\u202d\u202e]")
_TAG = "[\U000e0001\U000e0020-\U000e007f]"  # letters that nothing shows; after a black flag up to six name a region
_TAGS = re.compile(rf"(?<!\U0001f3f4)(?<!{_TAG}){_TAG}|{_TAG}{{8,}}")
_ZERO_WIDTH = re.compile("[\u200b\u2060-\u2064\ufeff]")


def refusal(text: str) -> str | None:
    """An answer that declines in its first sentences, in English, German, French or Spanish."""
    opening = unicodedata.normalize("NFC", text[:OPENING])
    found = _DECLINING.search(opening) if _has(opening.lower(), _DECLINING_TRIGGERS) else None
    return None if found is None else f"declines: {_quoted(found.group())}"


def damage(text: str) -> int:
    """How many traces of a wrong decoding there are: mojibake, U+FFFD, control characters, lone surrogates."""
    return len(_DAMAGE.findall(text)) if _SUSPECT.search(text) else 0


def injection(text: str, *, max_hidden: int) -> str | None:
    """An order to a model, a role tag, or characters that a reader does not see.

    Joiners (U+200C, U+200D), direction marks and isolates pass, for emoji, Persian and Hebrew need them.
    """
    lower = text.lower()
    for name, triggers, pattern in _INJECTIONS:
        if _has(lower, triggers) and (found := pattern.search(text)):
            return f"{name}: {_quoted(found.group())}"
    if _has(lower, _DECODE) and _BLOB.search(text):
        return "an encoded text to be decoded"
    if text.isascii() or not _HIDDEN.search(text):
        return None
    if _OVERRIDES.search(text) or _TAGS.search(text):
        return "characters that hide or reverse text"
    hidden = len(_ZERO_WIDTH.findall(text))
    return f"{hidden} zero-width characters" if hidden > max_hidden else None


def _has(lower: str, triggers: tuple[str, ...]) -> bool:
    for trigger in triggers:  # noqa: SIM110 - half the time of any() over each text of a build
        if trigger in lower:
            return True
    return False


def _quoted(found: str) -> str:
    return repr(" ".join(found.split())[:_QUOTED])
