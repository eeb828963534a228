"""Names of people by what stands around them, and by given names. Pure."""

import re
from collections.abc import Iterator

from gateway_tuning.anonymization.entities import Span
from gateway_tuning.anonymization.patterns.given_names import AMBIGUOUS_NAMES, GIVEN_NAMES
from gateway_tuning.anonymization.patterns.pattern import (
    LETTER,
    NAME_REST,
    NAME_WORD,
    UPPER,
    Pattern,
    Patterns,
    Text,
)

_INITIAL = rf"[{UPPER}]\.?(?=[ ])"
_PARTICLE = r"(?:van|von|de|der|den|del|della|di|da|dos|du|la|le|al|bin|ibn|el|ter|zu)"
_NAME = rf"{NAME_WORD}(?:[ ](?:(?:{_PARTICLE} ){{0,2}}{NAME_WORD}|{_INITIAL})){{0,3}}"
_FULL_NAME = rf"{NAME_WORD}(?:[ ](?:(?:{_PARTICLE} ){{0,2}}{NAME_WORD}|{_INITIAL})){{1,3}}"
_ANY_CASE = rf"{LETTER}(?:{LETTER}|['\u2019\-](?={LETTER})){{1,30}}(?:[ ](?:{LETTER}\.|{LETTER}(?:{LETTER}|['\u2019\-](?={LETTER})){{1,30}})){{0,3}}"
_TITLES = (
    r"(?:Mr|Mrs|Ms|Miss|Mx|Dr|Prof|Professor|Doctor|Sir|Lady|Madam|Herrn?|Frau|Mme|Mlle|Monsieur|Madame|Mademoiselle"
    r"|Señor(?:a|ita)?|Sra?|Dña|Don|Doña|Signor(?:a|e|ina)?|Sig|Dott|Dhr|Mevr|Meneer|Mevrouw|Pan|Pani|Hr|Fr)"
)
_TITLE_NEEDS = (
    "mr", "ms", "miss", "mx", "dr", "prof", "doctor", "sir", "lady", "madam", "herr", "frau", "mme", "mlle", "monsieur",
    "señor", "sr", "dña", "don", "doña", "sig", "dott", "dhr", "mevr", "meneer", "pan", "hr", "fr",
)  # fmt: skip
_NOT_NAMES = frozenset(
    """
    the this that there here all everyone everybody team customer customers support sir madam please thanks
    thank you we it our your my his her their they he she who what when where why how and but for from with
    about hello hi dear yes no not sorry good best kind regards manager friend friends colleague colleagues
    guys folks google amazon apple microsoft facebook twitter linux windows python java javascript english
    french german spanish italian american british european chinese covid monday tuesday wednesday thursday
    friday saturday sunday january february march april may june july august september october november
    december service department company hiring committee parent parents student students doctor mr mrs ms dr
    prof gpt chatgpt claude assistant user admin api json html http unknown n/a none null test sample
    example a an in on at to of is are was were be been has have do does did will would can could should if
    as or by just so very too also only even really still now then very sure happy glad afraid going trying
    looking interested new old not able unable aware currently using having getting working writing home
    world product catalogue overview description python java build deploy
    """.split()  # noqa: SIM905 - a hundred quotes hide the words
)
_BEFORE_LETTERS = frozenset(
    """
    hepatitis vitamin plan section part appendix group type class schedule option block phase tier annex
    form table figure series grade level influenza strep category zone unit room step question exhibit
    article point team drug version model and but so if then did do am when since because while
    """.split()  # noqa: SIM905 - a hundred quotes hide the words
)
_FIRMS = frozenset(
    """
    ltd inc incorporated llc llp plc corp corporation company gmbh ag group holdings investments partners
    associates orchestra university college school institute foundation centre center hospital clinic trust
    bank union society association court street road avenue park bridge airport station hotel museum church
    award prize act law syndrome disease scale score test method theorem index opportunity loan program
    programme fund service services
    """.split()  # noqa: SIM905 - a hundred quotes hide the words
)
_SPEECH = r"(?:my (?:full |first |last |sur|real )?name(?: is|'s|\u2019s)|i am called|ich hei(?:ß|ss)e|mein name ist|je m['\u2019]appelle|mon nom est|me llamo|mi nombre es|mi chiamo|il mio nome è|mijn naam is|ik heet)"


def _is_a_name(value: str) -> bool:
    return not any(word.lower().strip(".") in _NOT_NAMES for word in value.split())


def _is_a_field_of_a_name(value: str) -> bool:
    """Without capitals a name needs a given name or an initial: `name: build-and-test` names nobody."""
    first = value.split(maxsplit=1)[0]
    return _is_a_name(value) and (
        first[0].isupper() or first.lower() in GIVEN_NAMES or bool(re.search(r"(?:^| )\w\. ", value))
    )


def _starts_with_a_given_name(value: str) -> bool:
    return _is_a_name(value) and value.split(maxsplit=1)[0].split("-", maxsplit=1)[0].lower() in GIVEN_NAMES


_PATTERNS = Patterns((
    Pattern("PERSON", re.compile(rf"(?<!\w){_TITLES}\.?[ ](?P<value>{_NAME})"), 0.8, _TITLE_NEEDS, check=_is_a_name, anchored=True),
    Pattern(
        "PERSON",
        re.compile(rf"(?i:\b{_SPEECH})[ :]{{1,2}}(?P<value>{_NAME}|{_ANY_CASE}(?=[ ]{{0,2}}(?:[.,;!?\n]|$)))"),
        0.8,
        ("my ", "i am called", "ich hei", "mein name", "je m", "mon nom", "me llamo", "mi nombre", "mi chiamo", "il mio", "mijn", "ik heet"),
        check=_is_a_name,
        anchored=True,
    ),
    Pattern(
        "PERSON",
        re.compile(rf"(?<![\w._-])(?<!\w )(?i:(?:full |first |last |sur|family |customer |patient |contact )?name|nom|prénom|nombre|apellidos?|nachname|vorname|cognome|nome|naam|cardholder|patient|attn|beneficiary)[ ]?[:=][ \t]{{0,8}}(?P<value>{_NAME}(?=[ \t]{{0,2}}(?:[.,;(\n]|$))|{_NAME}(?=[ ]{{1,4}}\w{{2,12}}:)|{_ANY_CASE}(?=[ \t]{{0,2}}(?:[.,;\n]|$)))"),
        0.7,
        ("name", "nom", "prénom", "apellido", "cardholder", "patient", "attn", "beneficiary", "naam", "cognome"),
        check=_is_a_field_of_a_name,
    ),
    Pattern(
        "PERSON",
        re.compile(rf"(?i:\b(?:regards|thanks|sincerely(?: yours)?|yours (?:sincerely|faithfully|truly)|cheers|best wishes|mit freundlichen grüßen|viele grüße|lg|cordialement|saludos|cordiali saluti|met vriendelijke groet(?:en)?)),?[ ]?\n{{1,3}}[ \t]{{0,4}}(?P<value>{_NAME})(?=[ \t]{{0,2}}(?:[.,\n]|$))"),
        0.75,
        ("regards", "thanks", "sincerely", "yours", "cheers", "best wishes", "mit freundlichen", "viele grüße", "lg", "cordialement", "saludos", "cordiali", "met vriendelijke"),
        check=_is_a_name,
        anchored=True,
    ),
    Pattern(
        "PERSON",
        re.compile(rf"(?<!\w)(?:Dear|Hi|Hello|Hey|Hallo|Liebe[r]?|Bonjour|Cher|Chère|Hola|Estimad[oa]|Ciao|Gentile|Caro|Cara|Beste|Hoi)[ ](?P<value>{_NAME})(?=[ ]?(?:[,!.:;\n\u2013-]|$))"),
        0.7,
        ("dear", "hi ", "hello", "hey", "hallo", "liebe", "bonjour", "ch", "hola", "estimad", "ciao", "gentile", "car", "beste", "hoi"),
        check=_is_a_name,
        anchored=True,
    ),
    Pattern(
        "PERSON",
        re.compile(rf"(?:\b[Tt]his is|\bI am|\bI['\u2019]m|\b[Ii]ch bin|\b[Jj]e suis|\b[Ss]oy|\b[Ss]ono|\b[Ii]k ben|\b(?:was|is|are) (?:called|named)|\b[Aa]sk for|\b[Ss]igned,?)[ ](?P<value>{_FULL_NAME})"),
        0.6,
        ("this is", "i am", "i'm", "i\u2019m", "ich bin", "je suis", "soy ", "sono ", "ik ben", "was ", "is ", "are ", "ask for", "signed"),
        check=_starts_with_a_given_name,
        anchored=True,
    ),
    Pattern(
        "PERSON",
        re.compile(rf"(?:\b[Tt]his is|\bI am|\bI['\u2019]m)[ ](?P<value>{NAME_WORD})(?=[ ]?(?:[,.!]|and|from|here|speaking|writing|calling))"),
        0.5,
        ("this is", "i am", "i'm", "i\u2019m"),
        check=_starts_with_a_given_name,
        anchored=True,
    ),
    Pattern(
        "PERSON",
        re.compile(rf"(?:\b(?:was|is) (?:called|named)|\b(?:change|correct) it to)[ ](?P<value>{_FULL_NAME})"),
        0.6,
        ("was ", "is ", "change", "correct"),
        check=_is_a_name,
        anchored=True,
    ),
))  # fmt: skip
# The look behind comes after the first letter: a capital is what a search can look for at once.
_CAPITALIZED = re.compile(rf"[{UPPER}](?<![\w@./-].){NAME_REST}")
_SURNAMES = re.compile(rf"(?:[ ](?:(?:{_PARTICLE} ){{0,2}}{NAME_WORD}|[{UPPER}]\.?(?=[ ][{UPPER}]))){{1,3}}")
_WITH_INITIAL = re.compile(rf"[{UPPER}](?<![\w@./-].){NAME_REST} [{UPPER}]\.? {NAME_WORD}(?:-{NAME_WORD})?")
_INITIAL_BETWEEN = re.compile(rf" [{UPPER}]\.? [{UPPER}]")


def find_people(text: Text) -> Iterator[Span]:
    yield from _PATTERNS.find(text)
    yield from _with_initial(text.text)
    if text.text == text.lower:
        yield from _in_lower_case(text.text)
    else:
        yield from _by_given_name(text.text)


def _with_initial(text: str) -> Iterator[Span]:
    if not _INITIAL_BETWEEN.search(text):
        return
    for found in _WITH_INITIAL.finditer(text):
        if _is_a_name(found[0]) and found[0].split()[0].lower() not in _BEFORE_LETTERS:
            yield Span(*found.span(), "PERSON", 0.6)


def _by_given_name(text: str) -> Iterator[Span]:
    """A given name and what follows it; one that is a word or a place as well needs a surname behind it."""
    for found in _CAPITALIZED.finditer(text):
        word = found[0].lower()
        first = word.split("-")[0] if "-" in word else word.removesuffix("'s").removesuffix("\u2019s")
        if first not in GIVEN_NAMES:
            continue
        if len(found[0]) > 3 and found[0].isupper() and first in AMBIGUOUS_NAMES:  # noqa: PLR2004
            continue
        surnames = _SURNAMES.match(text, found.end())
        last = surnames[0].split()[-1].lower().strip(".") if surnames else ""
        if surnames and len(last) > 1 and last not in _FIRMS and _is_a_name(surnames[0]):
            yield Span(found.start(), surnames.end(), "PERSON", 0.7)
        elif first not in AMBIGUOUS_NAMES and last not in _FIRMS:
            end = found.start() + len(first) if "-" not in word else found.end()
            yield Span(found.start(), end, "PERSON", 0.6)


def _in_lower_case(text: str) -> Iterator[Span]:
    """Where somebody writes without capitals, the longer given names that are no words."""
    for found in _LOWER.finditer(text):
        if len(found[0]) >= _SHORTEST_LOWER and found[0] in GIVEN_NAMES and found[0] not in AMBIGUOUS_NAMES:
            yield Span(found.start(), found.end(), "PERSON", 0.5)


def find_recipients(text: str, address_start: int) -> Iterator[Span]:
    """The name at the head of a postal block, up to three lines above its street."""
    head = text[max(0, address_start - 200) : address_start]
    lines = re.split(r"\n", head)
    if lines[-1].strip(" \t>?|"):
        return  # the street stands within a line
    offset = address_start - len(lines[-1]) - 1
    best = None
    for line in lines[-2:-6:-1]:
        start = offset - len(line)
        found = _NAME_LINE.fullmatch(line)
        if found and _is_a_name(found[1]) and found[1].split()[-1].lower().strip(".") not in _FIRMS:
            best = (start + found.start(1), start + found.end(1))
        elif line.strip(" \t>?|") and not _OTHER_LINE.fullmatch(line):
            break
        offset = start - 1
    if best:
        yield Span(*best, "PERSON", 0.5)


_LOWER = re.compile(rf"(?<![\w@./-]){LETTER}+(?![\w@/]|\.\w)")
_SHORTEST_LOWER = 5
_NAME_LINE = re.compile(
    rf"[>? \t|]{{0,8}}((?:{NAME_WORD}|[{UPPER}]\.?)(?:[ ](?:(?:{_PARTICLE} ){{0,2}}{NAME_WORD}|[{UPPER}]\.?)){{1,3}})[ \t]{{0,4}}"
)
_OTHER_LINE = re.compile(r"[^\n:.!?;]{1,60}|[>? \t|]{1,8}[^\n:.!?;]{1,60}")
