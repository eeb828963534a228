"""Personal data of invented people, planted into real answers: what `benchmarks.anonymize` looks for.

Values and sentences are independent of the recognizers' own word lists; a seed gives the same texts again.
"""

import random
from dataclasses import dataclass

PEOPLE = (
    "Oluwaseun Adeyemi", "Siobhán Gallagher", "Nguyễn Thị Hương", "Bogdan Ionescu", "Marieke de Vries", "Kwabena Asante",
    "Lucía Fernández Ortega", "Harpreet Gill", "Jean-Baptiste Moreau", "Annalise Brandt", "Tariq Al-Mansouri",
    "Ewelina Nowak", "Giulia Ferrari", "Hyun-woo Park", "Rosalind Whitaker", "Matti Virtanen", "Chloé Lefèvre",
    "Deshawn Carter", "Ingrid Solberg", "Ravindra Joshi", "Tobias Lindqvist", "Beatriz Carvalho", "Moshe Goldberg",
    "Nadia Petrova", "Liam O'Connor", "Valentín Quispe", "Aoife Byrne", "Karl-Heinz Vogel", "Sunita Rao", "Emeka Obi",
    "Zsófia Kovács", "Pádraig Nolan", "Yasmin Haddad", "Gregory Thornton", "Leilani Kahale", "Wojciech Zieliński",
)  # fmt: skip
ADDRESSES = (
    "48 Larkspur Lane, Burlington, VT 05401", "1907 W Camelback Rd, Phoenix, AZ 85015", "77 Harley Street, London W1G 8QN",
    "Flat 4, 19 Rosebery Crescent, Edinburgh EH12 5JP", "Lindenallee 23, 45127 Essen", "Goethestraße 8a, 80336 München",
    "14 rue Victor Hugo, 69002 Lyon", "3 bis avenue Foch, 54000 Nancy", "Calle de Alcalá 112, 28009 Madrid",
    "Carrer de Mallorca 401, 08013 Barcelona", "Via Giuseppe Verdi 27, 20121 Milano", "Piazza Dante 4, 80135 Napoli",
    "Oudegracht 158, 3511 AZ Utrecht", "Prinsenlaan 62, 3066 KA Rotterdam", "ul. Piotrkowska 91, 90-423 Łódź",
    "Storgatan 15, 114 55 Stockholm", "Rua Augusta 274, 1100-053 Lisboa", "P.O. Box 8841, Boise, ID 83707",
    "29 Bourke Street, Melbourne VIC 3000", "510 Spadina Avenue Apt 12, Toronto, ON M5S 2J4", "Rämistrasse 71, 8006 Zürich",
)  # fmt: skip
PHONES = (
    "+1 (312) 555-0187", "212-555-0143", "(503) 555-0122", "+44 7700 900417", "020 7946 0321", "+49 151 23456789",
    "089 23456780", "+33 6 39 98 12 45", "01 53 45 67 89", "+34 612 34 56 78", "+39 347 1234567", "+31 6 12345678",
    "+48 512 345 678", "+46 70 123 45 67", "+61 412 345 678", "+91 98765 43210", "+55 11 91234-5678", "+41 78 123 45 67",
)  # fmt: skip
SENTENCES = {
    "PERSON": (
        "I already explained all this to {} last week.", "{} told me the same thing yesterday.", "Greetings, {}",
        "Please forward the answer to my colleague {} as well.", "The patient in question, {}, has recovered.",
        "My husband {} has the same problem.", "It was signed by {}.", "Can {} join the call?",
    ),
    "STREET_ADDRESS": (
        "Our office moved to {}.", "The parcel should go to {}.", "We have been renting at {} since spring.",
        "My home is {}, please update your records.", "Where do I vote if I am registered at {}?",
    ),
    "PHONE_NUMBER": (
        "You can ring me under {}.", "My number is {}.", "If anything is unclear, text {}.", "Tel. {}",
        "I tried {} twice and nobody picked up.",
    ),
    "EMAIL_ADDRESS": ("Write to {} please.", "I am reachable at {}.", "cc: {}", "My account is registered under <{}>."),
    "SECRET": (
        "We authenticate with {} in production.", "export SERVICE_TOKEN={}", "This key stopped working: {}",
        "The deploy script still contains {}.",
    ),
    "CREDIT_CARD": ("I was charged twice on {}.", "The payment with card {} was declined."),
    "IBAN_CODE": ("Refund it to {} please.", "My account is {}."),
    "US_SSN": ("My social is {}.", "SSN: {}"),
    "IP_ADDRESS": ("The requests come from {}.", "I am blocked at {} now."),
    "USERNAME": ("You find me on the forum as @{}.", "My user name there is {}.", "login: {}"),
    "NATIONAL_ID": ("My passport no. is {}.", "Driver's license {} was issued in May."),
    "DATE_OF_BIRTH": ("I was born on {}.", "Date of birth: {}."),
}  # fmt: skip
_IBANS = {"DE": 18, "AT": 16, "NL": 14, "ES": 20, "BE": 12, "FI": 14}


@dataclass(frozen=True, slots=True)
class Document:
    """`spans` are (start, end, entity); everything else in `text` is somebody's published answer."""

    text: str
    spans: tuple[tuple[int, int, str], ...]


def plant(texts: list[str], *, seed: int, each: int = 3) -> list[Document]:
    """Adds `each` sentences with personal data to every text, at the ends of its lines."""
    chance = random.Random(seed)  # noqa: S311 - test data
    return [_plant_one(text, chance, each) for text in texts]


def _plant_one(text: str, chance: random.Random, each: int) -> Document:
    lines = text.split("\n\n")
    kinds = chance.sample(sorted(SENTENCES), each)
    places = sorted(chance.choices(range(len(lines)), k=each))
    parts: list[str] = []
    spans: list[tuple[int, int, str]] = []
    length = 0
    for number, line in enumerate(lines):
        pieces = [("\n\n" if number else "") + line]
        for kind, place in zip(kinds, places, strict=True):
            if place == number:
                value = _value(kind, chance)
                before, after = chance.choice(SENTENCES[kind]).split("{}")
                start = length + sum(map(len, pieces)) + 1 + len(before)
                spans.append((start, start + len(value), kind))
                pieces.append(f" {before}{value}{after}")
        parts += pieces
        length += sum(map(len, pieces))
    return Document("".join(parts), tuple(spans))


def _value(kind: str, chance: random.Random) -> str:
    makers = {
        "PERSON": lambda: chance.choice(PEOPLE),
        "STREET_ADDRESS": lambda: chance.choice(ADDRESSES),
        "PHONE_NUMBER": lambda: chance.choice(PHONES),
        "EMAIL_ADDRESS": lambda: _email(chance),
        "SECRET": lambda: _secret(chance),
        "CREDIT_CARD": lambda: _card(chance),
        "IBAN_CODE": lambda: _iban(chance),
        "US_SSN": lambda: f"{chance.randint(100, 665)}-{chance.randint(10, 99)}-{chance.randint(1000, 9999)}",
        "IP_ADDRESS": lambda: ".".join(str(chance.randint(11, 239)) for _ in range(4)),
        "USERNAME": lambda: f"{_letters(chance, 5)}{chance.choice('._')}{_letters(chance, 4)}{chance.randint(1, 99)}",
        "NATIONAL_ID": lambda: f"{_letters(chance, 1).upper()}{chance.randint(10_000_000, 99_999_999)}",
        "DATE_OF_BIRTH": lambda: f"{chance.randint(1, 28)} {chance.choice(('March', 'July', 'October'))} {chance.randint(1940, 2005)}",
    }  # fmt: skip
    return makers[kind]()


def _letters(chance: random.Random, count: int) -> str:
    return "".join(chance.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(count))


def _token(chance: random.Random, count: int) -> str:
    return "".join(
        chance.choice("ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnpqrstuvwxyz23456789") for _ in range(count)
    )


def _email(chance: random.Random) -> str:
    host = chance.choice(
        ("posteo.example", "mail.example.org", "uni.example.edu", "intranet.example.internal")
    )
    return f"{_letters(chance, 6)}.{_letters(chance, 5)}@{host}"


def _secret(chance: random.Random) -> str:
    return chance.choice(
        (
            f"AKIA{_token(chance, 16).upper()}",
            f"ghp_{_token(chance, 36)}",
            f"xoxb-{chance.randint(10**11, 10**12 - 1)}-{_token(chance, 24)}",
            f"sk-{_token(chance, 40)}",
            f"AIza{_token(chance, 35)}",
            f"sk_live_{_token(chance, 24)}",
            f"glpat-{_token(chance, 20)}",
            _token(chance, 40),  # of no known issuer: told by what stands before it alone
        )
    )


def _card(chance: random.Random) -> str:
    prefix = chance.choice(("4", "52", "37"))
    length = 14 if prefix == "37" else 15  # before the check digit
    digits = prefix + "".join(str(chance.randint(0, 9)) for _ in range(length - len(prefix)))
    total = sum(sum(divmod(int(digit) * (2 - place % 2), 10)) for place, digit in enumerate(reversed(digits)))
    number = f"{digits}{-total % 10}"
    return chance.choice((number, " ".join(number[start : start + 4] for start in range(0, len(number), 4))))


def _iban(chance: random.Random) -> str:
    country = chance.choice(sorted(_IBANS))
    account = "".join(str(chance.randint(0, 9)) for _ in range(_IBANS[country]))
    numeric = "".join(str(int(character, 36)) for character in f"{account}{country}00")
    code = f"{country}{98 - int(numeric) % 97:02}{account}"
    return chance.choice((code, " ".join(code[start : start + 4] for start in range(0, len(code), 4))))
