"""Street addresses, post boxes and postal codes in the forms of several countries. Pure.

An address is a core (a street with its number, a post box, a flat behind a number) and a tail (flat, town,
state, country, postal code), over several lines and quote marks.
"""

import re
from collections.abc import Iterator

from gateway_tuning.anonymization.entities import Span
from gateway_tuning.anonymization.patterns.pattern import (
    LETTER,
    NAME_WORD,
    UPPER,
    Pattern,
    Patterns,
    Text,
    merge,
)
from gateway_tuning.anonymization.patterns.word_filter import WordFilter

_NUMBER_REST = r"(?:[ ]?[A-Za-z](?![\w]))?(?:[-/][0-9]{1,4}[A-Za-z]?)?"
_NUMBER = rf"[0-9]{{1,6}}{_NUMBER_REST}"
_SMALL = r"(?:de|du|des|la|le|les|del|della|delle|dei|di|da|do|dos|das|las|los|el|van|der|den|von|zur|zum|am|an|im|of|the|og|och|y|e|d['\u2019]|l['\u2019])"
_WORDS = rf"(?:(?:{_SMALL} ){{0,2}}(?:{NAME_WORD}|[{UPPER}]{LETTER}{{0,3}}\.|[0-9]{{1,3}}(?:st|nd|rd|th)?)[ ]){{1,5}}"
_TYPES_EN = (
    r"(?:Street|Str?|Road|Rd|Avenue|Ave?|Boulevard|Blvd|Lane|Ln|Drive|Dr|Court|Ct|Circle|Cir|Place|Pl|Square|Sq|Terrace"
    r"|Ter|Way|Parkway|Pkwy|Highway|Hwy|Close|Crescent|Cres|Grove|Gardens?|Mews|Row|Hill|Walk|Trail|Alley|Plaza|Rise"
    r"|Ridge|Loop|Quay|Wharf|Bypass|Expressway|Turnpike|Parade|Esplanade|Green)"
)
_SUFFIX = (
    r"(?:stra(?:ss|ß)e|str\.|gasse|platz|allee|damm|ufer|steig|weg|straat|laan|plein|kade|gracht|dijk|singel|gatan|gata"
    r"|gaten|vägen|väg|vegen|veien|vei|vej|(?<!bri)(?<!rene)gade|stræde|stien|katu|kuja|polku|ntie|tänav|ulica|utca)"
)
_LONG_PREFIX = (
    r"(?:(?i:rue|avenue|avenida|av\.|avda\.|boulevard|bd\.?|allée|chemin|impasse|quai|viale|piazza|corso|vicolo|calle|c/"
    r"|plaza|paseo|camino|carrer|ronda|rua|travessa|praça|estrada|ul\.|ulica|aleja|náměstí|λεωφόρος|οδός)"
    r"|Via|Place|place|Cours|cours|Route|route|Straße|Weg|Platz|Am|Im|An der|Zur|Unter den)(?:(?<=[./])[ ]?|[ ])"
)
_UNIT = r"(?:Apt|Apartment|Suite|Ste|Unit|Flat|Room|Rm|Appt?|Whg|Wohnung|Piso|Interno|Floor)\b\.?[ ]?(?:#|No\.? ?)?[0-9]{1,5}[A-Za-z]?(?!\w)"
_PREFIX_NEEDS = (
    "rue ", "aven", "av.", "avda", "boulev", "bd", "all", "chemin", "impasse", "quai", "via", "piazza", "corso", "vicolo",
    "calle", "c/", "plaza", "paseo", "camino", "carrer", "ronda", "rua ", "travessa", "praça", "estrada", "ul.", "ulica",
    "aleja", "náměstí", "λεωφόρος", "οδός", "place", "cours", "route", "straße", "weg ", "platz", "am ", "im ", "an der",
    "zur ", "unter den",
)  # fmt: skip
_CORE_FORMS = (  # what must occur in lower case, and the expression
    ((), rf"[0-9](?<![\w.,$€£-].)[0-9]{{0,5}}{_NUMBER_REST},? {_WORDS}(?i:{_TYPES_EN})(?![\w'\u2019])\.?(?: [NSEW]{{1,2}}(?!\w))?"),
    (("str", "gasse", "platz", "allee", "damm", "ufer", "steig", "weg", "laan", "plein", "kade", "gracht", "dijk", "singel", "gat", "väg", "veg", "vei", "vej", "gade", "stien", "katu", "kuja", "polku", "ntie", "tänav", "ulica", "utca"), rf"(?<![\w-])(?:{_NUMBER} )?(?:{NAME_WORD}[ -]){{0,3}}[{UPPER}]{LETTER}{{2,30}}?{_SUFFIX} ?[0-9]{{1,4}}[A-Za-z]?(?![\w.,]?[0-9])(?!\w)"),
    (_PREFIX_NEEDS, rf"[0-9](?<![\w-].)[0-9]{{0,5}}{_NUMBER_REST},? {_LONG_PREFIX}(?:{_SMALL} ?){{0,2}}{LETTER}{{3,30}}(?:[ -](?:{_SMALL} ){{0,2}}{NAME_WORD}){{0,4}}(?: [0-9]{{1,4}}(?!\w))?"),
    (_PREFIX_NEEDS, rf"(?<![\w-])(?:{_NUMBER} )?{_LONG_PREFIX}(?:{_SMALL} ?){{0,2}}{NAME_WORD}(?:[ -](?:{_SMALL} ){{0,2}}{NAME_WORD}){{0,4}},? (?:n[°º.] ?)?[0-9]{{1,4}}[A-Za-z]?(?!\w)"),
    (("u.", "utca", "út", "tér", "tere"), rf"(?<![\w-])(?:{_NUMBER} )?(?:{NAME_WORD}\.? ){{1,4}}(?:u\.|utca|út|útja|tér|tere|körút) ?[0-9]{{1,4}}\.?"),
    (("apt", "suite"), r"[0-9](?<![\w.,$€£-].)[0-9]{0,5} [^\n,;:!?()<>]{3,60}?,?(?: |[ ,]{0,3}\n[>? \t]{0,8})(?i:Apt|Suite)\b\.? [0-9]{1,4}(?!\w)"),
    (("apt", "suite"), rf"(?<![\w.,$€£-])(?:[0-9]{{1,6}} )?(?:{NAME_WORD} ){{1,4}}[0-9]{{1,4}}[ ,]{{0,2}}(?:\n[>? \t]{{0,8}})?(?i:Apt|Suite)\b\.? [0-9]{{1,4}}(?!\w)"),
    (("box", "fach", "apartado", "casella", "postale"), r"(?i)(?<!\w)(?:P\.? ?O\.? ?Box|Post(?:fach| ?Box)|Apartado(?: de correos)?|Casella postale|Boîte postale) ?[0-9]{1,7}"),
    (("box",), r"(?i)(?<!\w)(?:PSC [0-9]{1,5},? |Unit [0-9]{1,5},? )Box [0-9]{1,5}"),
    (("usnv", "usns", "uscgc", "uss "), rf"(?<!\w)US(?:NV|NS|CGC|S) {NAME_WORD}(?=[\s,]{{1,3}}[AFD]PO)"),
    (("apo", "fpo", "dpo"), r"(?i)(?<!\w)[AFD]PO,? A[AEP] [0-9]{5}(?:-[0-9]{4})?"),
    (("apt", "suite"), r"(?<!\w)(?:Apt|Suite)\.? [0-9]{2,4}(?!\w)"),
)  # fmt: skip
_STREET_SHAPE = rf"(?:{_NUMBER}[ ,]{{1,2}})?(?:the corner of )?(?:(?:ul\.|{NAME_WORD}\.?)[ ]){{1,4}}[0-9]{{1,4}}[A-Za-z]?(?!\w)"
_STREET_SHAPE_BARE = rf"{_NUMBER} {NAME_WORD}(?:[ ]{NAME_WORD}){{0,3}}"
_STREET_NAMED = rf"(?:{NAME_WORD} ){{1,3}}{_TYPES_EN}(?!\w)"
_PLACED = (
    r"(?:live[sd]? (?:at|on)|living (?:at|on)|address(?: is|:)?|(?:located|meet (?:me|you)|drops? you off|delivered|reside[sd]?"
    r"|staying|move[d]?|mail|send it|sent) (?:at|to|on)|restaurant is at|corner of|return to|ship to|side of|it is|it's in)"
)
_IN_CONTEXT = Pattern(
    "STREET_ADDRESS",
    re.compile(
        rf"(?:(?i:{_PLACED})[ :\n]{{1,4}})(?:the )?(?P<value>{_STREET_SHAPE}|{_STREET_NAMED}|{_STREET_SHAPE_BARE})"
    ),
    0.6,
    (
        "liv",
        "address",
        "located",
        "meet",
        "drop",
        "deliver",
        "reside",
        "staying",
        "move",
        "mail",
        "send it",
        "sent",
        "restaurant is",
        "corner of",
        "return to",
        "ship to",
        "side of",
        "it is",
        "it's in",
    ),
    anchored=True,
)
_CORNER = Pattern(
    "STREET_ADDRESS",
    re.compile(rf"(?i:corner of )(?P<value>(?:[0-9]{{1,5}} )?(?:ul\. )?(?:{NAME_WORD}\.? ){{1,4}}(?:str\.? )?(?:[0-9]{{1,4}}\.? )?and (?:ul\. )?{NAME_WORD}(?: {NAME_WORD}){{0,3}}(?: [0-9]{{1,4}})?)"),
    0.7,
    ("corner of",),
    anchored=True,
)  # fmt: skip
_PLACED_PATTERNS = Patterns((_IN_CONTEXT, _CORNER))
COUNTRIES = (
    "United States(?: of America)?|USA|U\\.S\\.A\\.|United Kingdom|England|Scotland|Wales|Northern Ireland|Ireland|Germany|"
    "Deutschland|France|Spain|España|Italy|Italia|Portugal|Netherlands|Nederland|Belgium|Belgique|Luxembourg|Switzerland|"
    "Schweiz|Suisse|Austria|Österreich|Denmark|Danmark|Sweden|Sverige|Norway|Norge|Finland|Suomi|Iceland|Greenland|Estonia|"
    "Latvia|Lithuania|Poland|Polska|Czech Republic|Czechia|Slovakia|Slovenia|Hungary|Romania|Bulgaria|Croatia|Serbia|"
    "Greece|Cyprus|Malta|Turkey|Türkiye|Russia|Ukraine|Israel|Egypt|Morocco|Tunisia|South Africa|Nigeria|Kenya|India|"
    "Pakistan|China|Japan|South Korea|Singapore|Malaysia|Thailand|Vietnam|Philippines|Indonesia|Australia|New Zealand|"
    "Canada|Mexico|México|Brazil|Brasil|Argentina|Chile|Colombia|Peru|Uruguay|Venezuela|Ecuador"
)
_ZIP = (
    r"(?:[A-Z]{1,2}-)?(?:[0-9]{4,5}-[0-9]{3,4}|[0-9]{4} ?[A-Z]{2}(?!\w)|[0-9]{3} [0-9]{2}|[0-9]{4,6}"
    r"|[A-Z]{1,2}[0-9][A-Z0-9]? ?[0-9][A-Z]{2}|[A-Z][0-9][A-Z] ?[0-9][A-Z][0-9])(?![\w])"
)
_SEP = r"(?:[ ]{0,3},?[ ]{0,3}\n[>? \t\n]{0,12},?[ ]{0,3}|[ ]{0,3},[ ]{0,3}\n?[>? \t]{0,12}|[ ]{1,3})"
_HARD_SEP = r"(?:[ ]{0,3},?[ ]{0,3}\n[>? \t\n]{0,12},?[ ]{0,3}|[ ]{0,3},[ ]{1,3}\n?[>? \t]{0,12})"
_COUNTRY = rf"(?:(?i:{COUNTRIES}|UK|NL)(?: \([^\W\d_]{{2,12}}\))?(?!\w))"
_TOWN_WORD = (
    rf"(?:{NAME_WORD}\.?|(?:de|da|do|di|du|la|le|les|las|los|el|am|an|der|nad|pod|of|upon|och|og)(?= ))"
)
_TOWN = rf"(?:{_TOWN_WORD}(?:[ -]{_TOWN_WORD}){{0,4}})"
_TOWN_END = rf"(?={_SEP}(?:{_COUNTRY}|{_ZIP}|[A-Z]{{2,3}}(?!\w))|[ ]{{0,3}}(?:[.,;\n?!\"]|$))"
_SHAPE_WITH_TOWN = (
    rf"[0-9](?<![\w.,$€£-].)[0-9]{{0,5}} (?:{NAME_WORD} ){{1,4}}[0-9]{{1,4}}(?!\w)"
    rf"(?={_HARD_SEP}{_TOWN}(?:{_SEP}[A-Z]{{2,3}})?{_SEP}(?:{_COUNTRY}|{_ZIP}))"
)
_CORES = tuple((needs, re.compile(form)) for needs, form in (*_CORE_FORMS, ((), _SHAPE_WITH_TOWN)))
_CORE_WORDS = WordFilter([needs for needs, _ in _CORES])
_TAIL = re.compile(
    rf"(?:{_SEP}(?i:{_UNIT})){{0,2}}"
    rf"(?:{_SEP}{_ZIP}(?= {NAME_WORD}))?"
    rf"(?:(?:{_HARD_SEP}|(?<=[0-9A-Z]) ){_TOWN}{_TOWN_END})?"
    rf"(?:{_SEP}[A-Z]{{2,3}}(?={_SEP}(?:{_COUNTRY}|{_ZIP})|[ ]{{0,3}}(?:[.,;\n]|$)))?"
    rf"(?:{_SEP}{_COUNTRY})?(?:{_SEP}{_ZIP})?(?:{_SEP}{_COUNTRY})?"
)
_STATES = (
    "AL|AK|AZ|AR|CA|CO|CT|DE|FL|GA|HI|ID|IL|IN|IA|KS|KY|LA|ME|MD|MA|MI|MN|MS|MO|MT|NE|NV|NH|NJ|NM|NY|NC|ND|OH|OK|OR|PA|"
    "RI|SC|SD|TN|TX|UT|VT|VA|WA|WV|WI|WY|DC|NSW|VIC|QLD|TAS|ACT"
)
_POSTAL_CODES = Patterns((
    Pattern(
        "POSTAL_CODE",
        re.compile(rf"(?i)\b(?:zip(?:[ -]?code)?|post(?:al)?[ -]?code|plz|postleitzahl|code postal|código postal|codice postale|postnummer)s?\b(?: (?:is|ist|est|es))?[\s:#.]{{1,4}}(?P<value>{_ZIP}|[0-9]{{3,8}}(?!\w))"),
        0.7,
        ("zip", "post", "plz", "code postal", "código postal", "codice postale"),
        2,
        anchored=True,
    ),
    Pattern("POSTAL_CODE", re.compile(r"(?<![\w-])(?:GIR 0AA|[A-PR-UWYZ](?:[0-9]{1,2}|[A-HK-Y][0-9](?:[0-9]|[ABEHMNPRV-Y])?|[0-9][A-HJKPS-UW]) [0-9][ABD-HJLNP-UW-Z]{2})(?![\w-])"), 0.7, (), 1),
    Pattern("POSTAL_CODE", re.compile(r"(?<![\w-])[ABCEGHJ-NPRSTVXY][0-9][ABCEGHJ-NPRSTV-Z][ -]?[0-9][ABCEGHJ-NPRSTV-Z][0-9](?![\w-])"), 0.6, (), 1),
    Pattern("POSTAL_CODE", re.compile(rf"(?<=[\w,] )(?:{_STATES}),? (?P<value>[0-9]{{4,5}}(?:-[0-9]{{4}})?)(?![\w/-])"), 0.7, (), 4),
    Pattern("POSTAL_CODE", re.compile(rf"(?<!\w)(?:{COUNTRIES})(?: \([^\W\d_]{{2,12}}\))?,?\s{{1,4}}(?P<value>(?!(?:19|20)[0-9]{{2}}(?![0-9]))[0-9]{{4,6}})(?![\w-])"), 0.6, (), 4),
    Pattern("POSTAL_CODE", re.compile(r"(?<![\w-])(?:D|A|CH|F|I|B|L|S|DK|NL)-(?P<value>[0-9]{4,5})(?= [^\W\d_])"), 0.6, ("-",), 4),
))  # fmt: skip
_AFTER_PLACE = re.compile(
    r",?[ \n]{1,3}((?!(?:19|20)[0-9]{2}(?![0-9]))[0-9]{4,5}(?:-[0-9]{3,4})?)(?![\w.,:%/-]?[0-9])(?!\w)"
)
_BEFORE_PLACE = re.compile(r"(?<![\w.,$€£/-])[0-9]{5}(?=,? $)")
_HOUSE_NUMBER = re.compile(r"[0-9](?<![\w.,-].)[0-9]{0,5}(?![0-9%:]|[.,][0-9])")
_REACH_BEFORE, _REACH_AFTER = 110, 130  # characters; an address is rarely longer on either side of its number
_DATE_LIKE = re.compile(
    r"(?i)\b(?:january|february|march|april|may|june|july|august|september|october|november|december|monday|tuesday"
    r"|wednesday|thursday|friday|saturday|sunday|section|chapter|page|step|level|covid|form|part|table|figure|version)\b"
)


def find_addresses(text: Text) -> Iterator[Span]:
    if text.digits:
        words: dict[int, list[str]] = {}
        for number, word in _CORE_WORDS.possible(text.marked):
            words.setdefault(number, []).append(word)
        cores = [
            (words.get(number), core)
            for number, (needs, core) in enumerate(_CORES)
            if not needs or number in words
        ]
        for start, end in _near_numbers(text.text):
            near = text.lower[start:end] if len(text.lower) == len(text.text) else text.lower
            for needed, core in cores:
                if needed and not any(word in near for word in needed):
                    continue
                for found in core.finditer(text.text, start, end):
                    if not _DATE_LIKE.search(found[0]):
                        yield _with_tail(text.text, found.start(), found.end(), 0.7)
    for span in _PLACED_PATTERNS.find(text):
        value = text.text[span.start : span.end]
        if not _DATE_LIKE.search(value):
            yield _with_tail(text.text, span.start, span.end, span.score)
    yield from _POSTAL_CODES.find(text)


def _near_numbers(text: str) -> Iterator[tuple[int, int]]:
    """Where an address can be: around numbers of up to six digits."""
    return merge(
        (found.start() - _REACH_BEFORE, found.end() + _REACH_AFTER) for found in _HOUSE_NUMBER.finditer(text)
    )


def find_codes_beside(text: Text, place: Span) -> Iterator[Span]:
    """A postal code before or after a place that something else has found."""
    if text.digits < 4:  # noqa: PLR2004 - no country has shorter ones beside a town
        return
    after = _AFTER_PLACE.match(text.text, place.end)
    if after:
        yield Span(*after.span(1), "POSTAL_CODE", 0.5)
    before = _BEFORE_PLACE.search(text.text[max(0, place.start - 8) : place.start])
    if before:
        offset = max(0, place.start - 8)
        yield Span(offset + before.start(), offset + before.end(), "POSTAL_CODE", 0.5)


def _with_tail(text: str, start: int, end: int, score: float) -> Span:
    tail = _TAIL.match(text, end)
    last = tail.end() if tail else end
    return Span(start, start + len(text[start:last].rstrip(" .,;\n>")), "STREET_ADDRESS", score)
