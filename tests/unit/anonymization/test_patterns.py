"""Patterns on their own: what they find, what they leave, and that none runs away."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_tuning.anonymization.patterns.addresses import find_addresses
from gateway_tuning.anonymization.patterns.check_digits import (
    is_a_card,
    is_a_codice_fiscale,
    is_a_dni,
    is_a_french_nir,
    is_an_iban,
    is_an_nhs_number,
)
from gateway_tuning.anonymization.patterns.credentials import CREDENTIAL_PATTERNS
from gateway_tuning.anonymization.patterns.ibans import find_ibans
from gateway_tuning.anonymization.patterns.identifiers import IDENTIFIER_PATTERNS
from gateway_tuning.anonymization.patterns.pattern import Patterns, merge, prepare
from gateway_tuning.anonymization.patterns.people import find_people, find_recipients
from gateway_tuning.anonymization.patterns.phones import find_phones

PATTERNS = Patterns((*IDENTIFIER_PATTERNS, *CREDENTIAL_PATTERNS))


def found(text):
    prepared = prepare(text)
    spans = [
        *PATTERNS.find(prepared),
        *find_people(prepared),
        *find_phones(prepared),
        *find_ibans(prepared),
        *find_addresses(prepared),
    ]
    return {(text[span.start : span.end], span.entity) for span in spans}


@pytest.mark.parametrize(
    ("text", "value", "entity"),
    [
        ("I live at 742 Evergreen Terrace, Springfield, IL 62704 now", "742 Evergreen Terrace, Springfield, IL 62704", "STREET_ADDRESS"),
        ("Ich wohne in der Hauptstraße 12, 10115 Berlin.", "Hauptstraße 12, 10115 Berlin", "STREET_ADDRESS"),
        ("J'habite 12 rue de la Paix, 75002 Paris.", "12 rue de la Paix, 75002 Paris", "STREET_ADDRESS"),
        ("Vivo en Calle Mayor 5, 28013 Madrid.", "Calle Mayor 5, 28013 Madrid", "STREET_ADDRESS"),
        ("Abito in Via Garibaldi 10, 00153 Roma.", "Via Garibaldi 10, 00153 Roma", "STREET_ADDRESS"),
        ("Keizersgracht 123, 1015 CJ Amsterdam", "Keizersgracht 123, 1015 CJ Amsterdam", "STREET_ADDRESS"),
        ("Send it to P.O. Box 1234, Austin, TX 78701.", "P.O. Box 1234, Austin, TX 78701", "STREET_ADDRESS"),
        ("> 12 Oak Street\n> Apt. 4\n> Salem\n", "12 Oak Street\n> Apt. 4\n> Salem", "STREET_ADDRESS"),
        ("my zip code is 35350", "35350", "POSTAL_CODE"),
        ("near NW1 6XE somewhere", "NW1 6XE", "POSTAL_CODE"),
        ("follow @jane_doe99!", "@jane_doe99", "USERNAME"),
        ("username: maria.k", "maria.k", "USERNAME"),
        ("my username is jdoe42.", "jdoe42", "USERNAME"),
        ("see /home/mkowalski/data", "mkowalski", "USERNAME"),
        ("use AKIAIOSFODNN7EXAMPLE here", "AKIAIOSFODNN7EXAMPLE", "SECRET"),
        ("ghp_16C7e42F292c6912E7710c838347Ae178B4a", "ghp_16C7e42F292c6912E7710c838347Ae178B4a", "SECRET"),
        ("xoxb-123456789012-abcdefABCDEF", "xoxb-123456789012-abcdefABCDEF", "SECRET"),
        ("sk-proj-abcdEFGH1234567890ijkl", "sk-proj-abcdEFGH1234567890ijkl", "SECRET"),
        ("password=hunter2! ok", "hunter2!", "SECRET"),
        ("my password is s3cr3tPa55.", "s3cr3tPa55", "SECRET"),
        ("API_KEY='8f14e45fceea167a5a36dedd4bea2543'", "8f14e45fceea167a5a36dedd4bea2543", "SECRET"),
        ("Authorization: Bearer Zm9vYmFyOmJhejEyMzQ1Njc4", "Zm9vYmFyOmJhejEyMzQ1Njc4", "SECRET"),
        ("https://ann:pw123@host.example/x", "ann:pw123", "SECRET"),
        ("https://x.example/reset?token=abc123def456", "abc123def456", "SECRET"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----", "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----", "SECRET"),
        ("passport number is C01X00T47", "C01X00T47", "NATIONAL_ID"),
        ("Steuer-ID 12345678901", "12345678901", "NATIONAL_ID"),
        ("driver's license: F162823540116", "F162823540116", "NATIONAL_ID"),
        ("soy 12345678Z", "12345678Z", "NATIONAL_ID"),
        ("AB123456C", "AB123456C", "NATIONAL_ID"),
        ("Refund it to DE89 3704 0044 0532 0130 00 please", "DE89 3704 0044 0532 0130 00", "IBAN_CODE"),
        ("gb29nwbk60161331926819 BIC", "gb29nwbk60161331926819", "IBAN_CODE"),
        ("account number 12345678", "12345678", "BANK_ACCOUNT"),
        ("sort code 12-34-56", "12-34-56", "BANK_ACCOUNT"),
        ("license plate: B-MW 1234", "B-MW 1234", "LICENSE_PLATE"),
        ("date of birth: 3 March 1987", "3 March 1987", "DATE_OF_BIRTH"),
        ("geb. am 12.05.1987", "12.05.1987", "DATE_OF_BIRTH"),
        ("née le 12/05/1987", "12/05/1987", "DATE_OF_BIRTH"),
        ("My name is Priya Raghunathan.", "Priya Raghunathan", "PERSON"),
        ("my name is hyuuma maida", "hyuuma maida", "PERSON"),
        ("Dear Mr. Okonkwo,", "Okonkwo", "PERSON"),
        ("Best regards,\nTomasz Kowalczyk", "Tomasz Kowalczyk", "PERSON"),
        ("Name: Jean-Luc Picard", "Jean-Luc Picard", "PERSON"),
        ("Hola Lucía,", "Lucía", "PERSON"),
        ("ask johanna about it", "johanna", "PERSON"),
        ("Ravil G Yefimov sings", "Ravil G Yefimov", "PERSON"),
        ("root@localhost", "root@localhost", "EMAIL_ADDRESS"),
        ("bob@corp.internal", "bob@corp.internal", "EMAIL_ADDRESS"),
        ("+49 30 901820 works", "+49 30 901820", "PHONE_NUMBER"),
        ("(415) 555-2671", "(415) 555-2671", "PHONE_NUMBER"),
        ("06 12 34 56 78", "06 12 34 56 78", "PHONE_NUMBER"),
        ("call me on 3660170548", "3660170548", "PHONE_NUMBER"),
        ("desk: (898)666-3621x0135", "(898)666-3621x0135", "PHONE_NUMBER"),
    ],
)  # fmt: skip
def test_personal_data_is_found_in_the_forms_people_write(text, value, entity):
    assert (value, entity) in found(text)


@pytest.mark.parametrize(
    "text",
    [
        "Please reset your password on Monday, then open setup.py and run the 2 tests again.",
        "Order number 4155552671 was shipped on 2024-03-12, total 1,299.00 USD.",
        "Upgrade from version 3.11.7 to 3.12.0-rc1 and pin numpy==2.4.6.",
        "Invoices INV-2023-00045 and PO 7781234567 are open.",
        "In 1984 there were 1200 people, in 2019-2020 about 3,500,000.",
        "def authenticate(token: str, user: User) -> bool: return check(token)",
        'Use @dataclass and @property, or @app.get("/items/{id}").',
        'Set api_key = os.environ["OPENAI_API_KEY"] and never hard-code it.',
        "The password is required. Your token has expired. Enter your username and password.",
        "Hi there, how can I help you? Hello World! Dear Sir or Madam,",
        "name: build-and-test\nfile name: report.pdf",
        "commit 9fceb02d0ae598e95dc970b74767f19372d61af8 of 123e4567-e89b-12d3-a456-426614174000",
        "ISBN 978-3-16-148410-0 costs 24.99 at 10 am.",
        "See https://docs.python.org/3/library/re.html?highlight=search and http://localhost:8080/health.",
        "I am sorry. This is important. Will you mark the box? May I ask? My IBAN is long.",
        "The meeting is on 12 January 2025 at 10:30, room 204.",
        "npm install react@18.2.0 and git clone git@github.com:org/repo.git",
        '{"id": 123456789, "status": "ok", "count": 42, "price": 1999}',
        "Token limit: 4096 tokens. Max tokens: 2048. access token: refreshed daily",
        "Zoolander is a 1973 American film; Hepatitis B Vaccination; timestamp 1700000000",
        "Use $PASSWORD, password: ${DB_PASSWORD} or password={{ secret }}.",
    ],
)
def test_verbs_code_versions_prices_and_order_numbers_stay(text):
    assert found(text) == set()


@pytest.mark.parametrize(
    ("is_valid", "right", "wrong"),
    [
        (is_a_card, "4111 1111 1111 1111", "4111 1111 1111 1112"),
        (is_an_iban, "DE89 3704 0044 0532 0130 00", "DE89 3704 0044 0532 0130 01"),
        (is_an_iban, "GB29NWBK60161331926819", "GB29NWBK6016133192681"),
        (is_a_codice_fiscale, "RSSMRA85T10A562S", "RSSMRA85T10A562T"),
        (is_a_dni, "12345678Z", "12345678A"),
        (is_a_dni, "X1234567L", "X1234567M"),
        (is_a_french_nir, "1 85 05 78 006 084 91", "1 85 05 78 006 084 92"),
        (is_an_nhs_number, "943 476 5919", "943 476 5918"),
    ],
)
def test_a_wrong_check_digit_is_refused(is_valid, right, wrong):
    assert is_valid(right)
    assert not is_valid(wrong)


def test_a_secret_is_told_from_a_word_by_its_characters():
    assert found("secret key here: zWq8Lr2nVt5YxPb7") == {("zWq8Lr2nVt5YxPb7", "SECRET")}
    assert found("secret key here: internationalization") == set()


def test_the_name_at_the_head_of_a_postal_block_is_found():
    text = "Dreux Joly\nPaxata\n12 Oak Street\n"

    [span] = find_recipients(text, text.index("12 Oak"))

    assert text[span.start : span.end] == "Dreux Joly"
    assert not list(find_recipients("We met Dreux Joly at 12 Oak Street", 21))


def test_a_character_that_grows_in_lower_case_moves_no_span():
    assert ("jdoe42", "USERNAME") in found("İİİİ username: jdoe42")
    assert ("hunter2!", "SECRET") in found("İİİİ password=hunter2!")


@given(st.lists(st.tuples(st.integers(0, 200), st.integers(0, 60)), max_size=12))
def test_merged_ranges_cover_the_same_positions_and_are_apart(pairs):
    ranges = sorted((start, start + length) for start, length in pairs)

    merged = list(merge(ranges))

    assert {p for start, end in merged for p in range(start, end)} == {
        p for s, e in ranges for p in range(s, e)
    }
    assert all(one[1] < other[0] for one, other in pairwise(merged))


FRAGMENTS = [
    "a", "A", "1", "1 ", "12 ", "Ab ", "Ab-", "a.", "a@", "@a", "@a.", "1-", "(1", "+1 ", "12 Ab Ab Ab ", "12 de la ", "Ab A. ",
    "O'", "key ", "token: a ", "password is ", "sk-", "eyJ", "-----BEGIN PRIVATE KEY-----", "::", "a:", "1.1.", "0x", "DE89 ", "AB12",
    "12 Ab,\n> ", "Ab\n", " \n", "Apt. 1 ", "name: a ", "Dear Ab ", "x://a:", "?token=", "12345678", "1 Ab 1 Ab ", "corner of Ab and ",
    "card ", "passport 1", "live at 1 Ab ", "de ", "tax 1", "é", "ß", "ل", "😀", "a(at)", "login is a", "née le 1", ".com/a", "1/", "A1A ",
]  # fmt: skip


@pytest.mark.timeout(30)
@pytest.mark.parametrize("fragment", FRAGMENTS)
def test_fifty_thousand_characters_made_to_mislead_are_read_to_their_end(fragment):
    text = (fragment * (50_000 // len(fragment) + 1))[:50_000]

    marked = found(text + " \n mail: eve@example.org")

    assert ("eve@example.org", "EMAIL_ADDRESS") in marked
