"""Check digits of cards, accounts and national numbers. Pure; each takes the text as written, with separators."""

import re

_CARD_PREFIX = re.compile(
    r"4|5[0-8]|2(?:2[2-9]|[3-6]|7[01]|720)|3[4-9]|30[0-5]|6(?:011|04|22|4[4-9]|5|2|3|7|0)|1800|2131|9792"
)
_DNI_LETTERS = "TRWAGMYFPDXBNJZSQVHLCKE"
# Lengths by country: the IBAN registry of SWIFT.
IBAN_LENGTHS = {
    "AD": 24, "AE": 23, "AL": 28, "AT": 20, "AZ": 28, "BA": 20, "BE": 16, "BG": 22, "BH": 22, "BR": 29, "BY": 28,
    "CH": 21, "CR": 22, "CY": 28, "CZ": 24, "DE": 22, "DK": 18, "DO": 28, "EE": 20, "EG": 29, "ES": 24, "FI": 18,
    "FO": 18, "FR": 27, "GB": 22, "GE": 22, "GI": 23, "GL": 18, "GR": 27, "GT": 28, "HR": 21, "HU": 28, "IE": 22,
    "IL": 23, "IQ": 23, "IS": 26, "IT": 27, "JO": 30, "KW": 30, "KZ": 20, "LB": 28, "LC": 32, "LI": 21, "LT": 20,
    "LU": 20, "LV": 21, "MC": 27, "MD": 24, "ME": 22, "MK": 19, "MR": 27, "MT": 31, "MU": 30, "NL": 18, "NO": 15,
    "PK": 24, "PL": 28, "PS": 29, "PT": 25, "QA": 29, "RO": 24, "RS": 22, "SA": 24, "SC": 31, "SE": 24, "SI": 19,
    "SK": 24, "SM": 27, "ST": 25, "SV": 28, "TL": 23, "TN": 24, "TR": 26, "UA": 29, "VA": 22, "VG": 24, "XK": 20,
}  # fmt: skip
# Values of characters in odd places: decree of the Italian ministry of finance of 23 December 1976.
_FISCAL_ODD = dict(
    zip(
        "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ",
        [1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16,
         10, 22, 25, 24, 23],
        strict=True,
    )
)  # fmt: skip


def _compact(value: str) -> str:
    return re.sub(r"[^0-9A-Za-z]", "", value).upper()


def luhn(digits: str) -> bool:
    total = 0
    for place, digit in enumerate(reversed(digits)):
        doubled = int(digit) * (1 + place % 2)
        total += doubled - 9 if doubled > 9 else doubled  # noqa: PLR2004
    return total % 10 == 0


def is_a_card(value: str) -> bool:
    digits = _compact(value)
    return bool(_CARD_PREFIX.match(digits)) and len(set(digits)) > 1 and luhn(digits)


def is_an_iban(value: str) -> bool:
    """ISO 7064 mod 97-10, and the length of the country."""
    code = _compact(value)
    if IBAN_LENGTHS.get(code[:2]) != len(code):
        return False
    return int("".join(str(int(character, 36)) for character in code[4:] + code[:4])) % 97 == 1


def is_a_nino(value: str) -> bool:
    return _compact(value)[:2] not in {"BG", "GB", "KN", "NK", "NT", "TN", "ZZ"}


def is_a_codice_fiscale(value: str) -> bool:
    odd = sum(_FISCAL_ODD[character] for character in value[:15:2])
    even = sum(int(character, 36) - 10 * character.isalpha() for character in value[1:15:2])
    return chr(ord("A") + (odd + even) % 26) == value[15]


def is_a_dni(value: str) -> bool:
    code = _compact(value)
    number = code[:-1].translate(str.maketrans("XYZ", "012"))
    return _DNI_LETTERS[int(number) % 23] == code[-1]


def is_a_french_nir(value: str) -> bool:
    code = _compact(value).replace("2A", "19", 1).replace("2B", "18", 1)
    return code.isdigit() and 97 - int(code[:13]) % 97 == int(code[13:])


def is_an_nhs_number(value: str) -> bool:
    digits = [int(digit) for digit in _compact(value)]
    check = 11 - sum(digit * (10 - place) for place, digit in enumerate(digits[:9])) % 11
    return check % 11 == digits[9] and check != 10  # noqa: PLR2004


def is_a_bic(value: str) -> bool:
    """After the word BIC or SWIFT in any case: capitals, so that a word of eight letters does not pass."""
    return value == value.upper()
