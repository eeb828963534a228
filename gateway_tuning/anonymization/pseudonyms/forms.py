"""The forms of pseudonyms by entity: how one is made, and how it is known again. Pure."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from gateway_tuning.anonymization.pseudonyms.dates import OLD_DATE, shift_date

# Given names in use for women and men alike.
_GIVEN = """
    Alex Ari Ashley Bailey Blair Cameron Casey Charlie Dakota Dana Devon Drew Eden Ellis Emerson Finley
    Frankie Gray Harley Harper Hayden Indigo Jamie Jesse Jordan Jules Kai Kelly Kendall Kerry Kim Kit
    Lane Lee Leslie Logan Lou Marlowe Max Micah Morgan Nicky Noel Oakley Parker Pat Peyton Phoenix
    Quinn Reese Remy Riley River Robin Rory Rowan Sage Sam Sasha Shannon Sidney Skyler Taylor Wren
""".split()  # noqa: SIM905 - readable as words
# Put together they make surnames and places that sound like some and are none.
_STEMS = """
    Ald Bel Bran Cal Cor Dor Dun Esk Fal Fen Gar Gil Hal Hol Ist Kel
    Lor Mar Nor Orm Pel Quil Rav Sel Tam Tor Ul Vel Ver Wal Yar Zel
""".split()  # noqa: SIM905 - readable as words
_MIDDLES = "a e i o an en in on ar er ir or al el il ol".split()  # noqa: SIM905 - readable as words
_SURNAME_ENDS = "bourn combe dine lock marsh mere quist rane rell stow thorpe vane wick wold worth by".split()  # noqa: SIM905 - readable as words
_PLACE_ENDS = (
    "bury cester dale fleet ford gate haven holm hythe leigh minster moor ness port stead ton".split()  # noqa: SIM905 - readable as words
)
_STREETS = "Street Road Lane Avenue".split()  # noqa: SIM905 - readable as words
_MAIL_HOSTS = ("example.com", "example.net", "example.org")  # RFC 2606

# Country codes of two digits; all others but 1 and 7 have three.
_TWO_DIGIT_COUNTRIES = frozenset(
    {20, 27, *range(30, 35), 36, 39, 40, 41, *range(43, 50), *range(51, 59), *range(60, 67), 81, 82, 84, 86}
    | {*range(90, 96), 98}
)
# Set aside for fiction by NANPA (555-01xx), Ofcom, ACMA, ARCEP, Bundesnetzagentur and ComReg. Nowhere else does
# a plan give out national numbers that begin with 000. `#` is a digit, `A` the first of an area code.
_FICTION = {
    "1": "+1 A## 555 01##",
    "44": "+44 7700 900###",
    "61": "+61 2 5550 ####",
    "33": "+33 6 39 98 ## ##",
    "49": "+49 30 23125 ###",
    "353": "+353 20 91# ####",
}
_NO_COUNTRY = "A##-555-01##"
_ELSEWHERE = "+{country} 000 ### ####"

# RFC 5737 and RFC 3849.
_IPV4 = ("192.0.2", "198.51.100", "203.0.113")


class Draw:
    """Choices out of one large number, one after the other."""

    def __init__(self, number: int) -> None:
        self._number = number

    def below(self, bound: int) -> int:
        self._number, choice = divmod(self._number, bound)
        return choice

    def one(self, items: list[str] | tuple[str, ...]) -> str:
        return items[self.below(len(items))]

    def digits(self, count: int) -> str:
        return "".join(str(self.below(10)) for _ in range(count))


@dataclass(frozen=True, slots=True)
class Form:
    """`make` gives None for a value it cannot follow. `pattern` finds, and `is_valid` confirms.

    One in `odds` of the possible pseudonyms is used.
    """

    make: Callable[[Draw, str], str | None]
    pattern: re.Pattern[str]
    odds: int = 1
    is_valid: Callable[[str], bool] = lambda _found: True


def _invented(ends: list[str]) -> str:
    return f"(?:{'|'.join(_STEMS)})(?:{'|'.join(_MIDDLES)})(?:{'|'.join(ends)})"


def _surname(draw: Draw) -> str:
    return draw.one(_STEMS) + draw.one(_MIDDLES) + draw.one(_SURNAME_ENDS)


def _person(draw: Draw, _original: str) -> str:
    return f"{draw.one(_GIVEN)} {_surname(draw)}"


def _place(draw: Draw, _original: str) -> str:
    return draw.one(_STEMS) + draw.one(_MIDDLES) + draw.one(_PLACE_ENDS)


def _address(draw: Draw, original: str) -> str:
    return f"{1 + draw.below(199)} {_place(draw, original)} {draw.one(_STREETS)}"


def _email(draw: Draw, _original: str) -> str:
    return f"{draw.one(_GIVEN)}.{_surname(draw)}@{draw.one(_MAIL_HOSTS)}".lower()


def _phone(draw: Draw, original: str) -> str:
    country = _country_of(original)
    shape = _NO_COUNTRY if country is None else _FICTION.get(country, _ELSEWHERE.format(country=country))
    head, _, rest = shape.partition("A")
    if not rest:
        return _filled(shape, draw)
    return head + str(2 + draw.below(8)) + _filled(rest, draw)


def _filled(shape: str, draw: Draw) -> str:
    return re.sub("#", lambda _: draw.digits(1), shape)


def _country_of(phone: str) -> str | None:
    written = phone.strip().lstrip("(")
    digits = re.sub(r"\D", "", written)
    if written.startswith("00"):
        digits = digits[2:]
    elif not written.startswith("+"):
        return None
    if digits[:1] in ("1", "7"):
        return digits[0]
    length = 2 if int(digits[:2] or 0) in _TWO_DIGIT_COUNTRIES else 3
    return digits[:length] if len(digits) > length and digits[0] != "0" else None


def _phone_pattern() -> re.Pattern[str]:
    shapes = [re.escape(shape).replace(r"\#", r"\d") for shape in (*_FICTION.values(), _NO_COUNTRY)]
    anyone = "|".join(shape.replace("A", "[2-9]") for shape in shapes)
    return re.compile(rf"(?<![\w+])(?:{anyone}|\+[1-9]\d{{0,2}}\ 000\ \d{{3}}\ \d{{4}})(?!\w)", re.ASCII)


def _ip(draw: Draw, original: str) -> str:
    if ":" not in original:
        return f"{draw.one(_IPV4)}.{1 + draw.below(254)}"
    return "2001:db8:" + ":".join(f"{draw.below(0x10000):x}" for _ in range(6))


def _card(draw: Draw, original: str) -> str | None:
    """Begins with 0000, which no issuer has, and fails Luhn's check; spaces and hyphens stay where they are."""
    length = sum(character.isdigit() for character in original)
    if not 12 <= length <= 19:  # noqa: PLR2004 - ISO/IEC 7812
        return None
    body = "0000" + draw.digits(length - 5)
    right = next(digit for digit in "0123456789" if _passes_luhn(body + digit))
    wrong = str((int(right) + 1 + draw.below(9)) % 10)
    digits = iter(body + wrong)
    return "".join(
        next(digits) if character.isdigit() else character
        for character in original
        if character.isdigit() or character in " -"
    )


def _fails_luhn(card: str) -> bool:
    return not _passes_luhn(re.sub(r"\D", "", card))


def _passes_luhn(digits: str) -> bool:
    doubled = [int(digit) * (2 if position % 2 else 1) for position, digit in enumerate(reversed(digits))]
    return sum(number - 9 if number > 9 else number for number in doubled) % 10 == 0  # noqa: PLR2004 - Luhn


def _iban(draw: Draw, original: str) -> str | None:
    """XX is no country (ISO 3166) and 00 no pair of check digits (ISO 13616)."""
    length = sum(character.isalnum() for character in original)
    if not 15 <= length <= 34:  # noqa: PLR2004 - ISO 13616
        return None
    code = "XX00" + draw.digits(length - 4)
    return " ".join(code[start : start + 4] for start in range(0, length, 4)) if " " in original else code


_PERSON = Form(_person, re.compile(rf"\b(?:{'|'.join(_GIVEN)})\ {_invented(_SURNAME_ENDS)}\b"), odds=16)
_PLACE = Form(_place, re.compile(rf"\b{_invented(_PLACE_ENDS)}\b"), odds=4)
_ADDRESS = Form(
    _address,
    re.compile(rf"\b[1-9]\d{{0,2}}\ {_invented(_PLACE_ENDS)}\ (?:{'|'.join(_STREETS)})\b", re.ASCII),
    odds=4,
)
_EMAIL = Form(
    _email,
    re.compile(
        rf"(?<!\w)(?:{'|'.join(_GIVEN)})\.{_invented(_SURNAME_ENDS)}@example\.(?:com|net|org)(?!\w)".lower()
    ),
    odds=16,
)
_CARD = Form(
    _card,
    re.compile(r"(?<!\w)0000(?:[ -]?\d){8,15}(?!\w)", re.ASCII),
    odds=64,
    is_valid=_fails_luhn,
)

FORMS: dict[str, Form] = {
    "PERSON": _PERSON,
    "LOCATION": _PLACE,
    "STREET_ADDRESS": _ADDRESS,
    "EMAIL_ADDRESS": _EMAIL,
    "PHONE_NUMBER": Form(_phone, _phone_pattern()),
    "IP_ADDRESS": Form(
        _ip,
        re.compile(
            r"(?<!\w)(?:192\.0\.2|198\.51\.100|203\.0\.113)\.\d{1,3}(?!\w)"
            r"|(?<![\w:])2001:db8(?::[0-9a-f]{1,4}){6}(?![\w:])",
            re.ASCII,
        ),
    ),
    "CREDIT_CARD": _CARD,
    "IBAN_CODE": Form(_iban, re.compile(r"\bXX00(?: ?\d){11,30}(?!\w)", re.ASCII)),
    "DATE_OF_BIRTH": Form(shift_date, OLD_DATE),
}
