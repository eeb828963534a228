"""What counts as personal, and where it stands in a text."""

from dataclasses import dataclass

IDENTIFYING_ENTITIES = (
    "PERSON",
    "LOCATION",  # places: with little else they name a person
    "STREET_ADDRESS",
    "POSTAL_CODE",
    "EMAIL_ADDRESS",
    "PHONE_NUMBER",
    "USERNAME",
    "SECRET",  # passwords, keys and tokens open what is somebody's
    "CREDIT_CARD",
    "IBAN_CODE",
    "BANK_ACCOUNT",
    "CRYPTO",  # wallet addresses lead to their owner
    "IP_ADDRESS",
    "MAC_ADDRESS",
    "US_SSN",
    "US_ITIN",
    "US_PASSPORT",
    "NATIONAL_ID",
    "LICENSE_PLATE",
    "DATE_OF_BIRTH",
)
"""What is masked unless told otherwise: what names a person or leads to one, alone or with little else.

Left out: DATE_TIME, NRP and ORGANIZATION (they describe, and answers live on them), and links without personal
data in them (they are an answer's content).
"""


@dataclass(frozen=True, slots=True)
class Span:
    """`text[start:end]` in code points; `score` from 0 to 1."""

    start: int
    end: int
    entity: str
    score: float
