"""Numbers that authorities, banks and networks give to people: by their words, their shapes and check digits. Pure."""

import re

from gateway_tuning.anonymization.patterns.check_digits import (
    is_a_bic,
    is_a_card,
    is_a_codice_fiscale,
    is_a_dni,
    is_a_french_nir,
    is_a_nino,
    is_an_nhs_number,
)
from gateway_tuning.anonymization.patterns.pattern import LETTER, Pattern

_AFTER = r"(?:[ ]?(?:number|no|nr|num|n°|#|code|id)\b\.?)?(?:[ ](?:is|was|ist|est|es|è))?[\s:#=.\-]{0,4}"
"""What may stand between a word and its number: "passport no. is: "."""


def _named(
    entity: str, words: str, value: str, needs: tuple[str, ...], *, digits: int, score: float = 0.7
) -> Pattern:
    return Pattern(
        entity, re.compile(rf"(?i)\b(?:{words}){_AFTER}(?P<value>{value})(?![\w])"), score, needs, digits,
        check=_has_digits, anchored=True,
    )  # fmt: skip


def _has_digits(value: str) -> bool:
    return sum(character.isdigit() for character in value) >= 4  # noqa: PLR2004 - fewer are a year's or a room's


_MONTH = (
    r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec|mai|okt|dez|mär|janv|févr|avr|juin|juil|août|déc|ene|abr|ago"
    rf"|dic|gen|mag|giu|lug|set|ott){LETTER}{{0,8}}\.?"
)
_DATE = (
    r"(?:[0-9]{1,4}[./\-][0-9]{1,2}[./\-][0-9]{1,4}"
    rf"|[0-9]{{1,2}}(?:st|nd|rd|th|\.)?(?: of| de)? {_MONTH},?(?: de)? (?:[0-9]{{4}}|[0-9]{{2}}\b)"
    rf"|{_MONTH} [0-9]{{1,2}}(?:st|nd|rd|th)?,? [0-9]{{4}})"
)
_BIRTH = (
    r"born(?: on)?|date of birth|d\.?o\.?b\.?|birth ?da(?:y|te)|geb(?:oren)?\.?(?: am| op)?|geburts(?:datum|tag)"
    r"|date de naissance|née? le|fecha de nacimiento|nacid[oa] el|data di nascita|nat[oa] il|geboortedatum"
    r"|data de nascimento"
)

IDENTIFIER_PATTERNS = (
    Pattern(
        "EMAIL_ADDRESS",
        re.compile(
            r"(?<![\w.+'-])(?!git@)[\w!#$%&'*+=?^`{|}~-](?:[\w.!#$%&'*+=?^`{|}~-]{0,63})@"
            r"(?:[^\W_](?:[\w-]{0,62})\.){1,8}(?:[^\W\d_]{2,24}|xn--[a-z0-9-]{2,40})(?![\w@])"
        ),
        0.95,
        ("@",),
    ),
    Pattern(
        "EMAIL_ADDRESS",
        re.compile(r"(?i)(?<![\w.+-])[\w.+-]{1,64}@localhost\b|\b[\w.+-]{1,64} ?[\[(](?:at|@)[\])] ?[\w-]{1,63}(?: ?[\[(]dot[\])] ?|\.)[\w.-]{2,40}\b"),
        0.8,
        ("@localhost", "(at)", "[at]", "(@)", "[@]"),
    ),
    Pattern("CREDIT_CARD", re.compile(r"(?<![\w.+-])[0-9](?:[ -]?[0-9]){12,18}(?![\w-])"), 0.9, (), 13, is_a_card),
    Pattern(
        "CREDIT_CARD",
        re.compile(r"(?i)\b(?:card|visa|mastercard|maestro|amex|credit|debit|karte|carte|tarjeta|carta)\b[^\n]{0,40}?(?<![\w.])(?P<value>[0-9](?:[ -]?[0-9]){11,18})(?![\w-])"),
        0.7,
        ("card", "visa", "maestro", "amex", "credit", "debit", "karte", "carte", "tarjeta", "carta"),
        12,
    ),
    Pattern("IBAN_CODE", re.compile(r"(?i)\biban\b[\s:#]{0,3}(?:is |code |number |no\.? )?[:]?[ ]?(?P<value>[A-Z]{2}[0-9]{2}(?:[ -]?[A-Z0-9]{4}){2,7}(?:[ -]?[A-Z0-9]{1,3})?)\b"), 0.7, ("iban",), 1),
    Pattern("CRYPTO", re.compile(r"(?<![\w])0x[0-9a-fA-F]{40}(?![\w])"), 0.8, ("0x",), 1),
    Pattern("US_SSN", re.compile(r"(?<![\w-])(?!000|666|9[0-9]{2}-[5-9])[0-9]{3}-(?!00)[0-9]{2}-(?!0000)[0-9]{4}(?![\w-])"), 0.6, ("-",), 9),
    _named("US_SSN", r"ssns?|social security|soc\.? sec\.?", r"[0-9]{3}[ .-]?[0-9]{2}[ .-]?[0-9]{4}", ("ssn", "social", "soc"), digits=9, score=0.85),
    _named("NATIONAL_ID", r"passport|reisepass(?:nummer)?|passeport|pasaporte|passaporto|paspoort(?:nummer)?", r"[A-Z]{0,3}[0-9][A-Z0-9]{5,10}", ("pass", "pasaporte", "paspoort"), digits=1),
    _named(
        "NATIONAL_ID",
        r"driv(?:er|ing)(?:['\u2019]?s)? licen[cs]e|licen[cs]e (?:number|no)|dl|führerschein(?:nummer)?|permis(?: de conduire)?|carnet de conducir|patente(?: di guida)?|rijbewijs(?:nummer)?",
        r"[A-Z]{0,5}[0-9](?:[ -]?[A-Z0-9]){4,17}",
        ("driv", "licen", "dl", "führerschein", "permis", "carnet", "patente", "rijbewijs"),
        digits=1,
    ),
    _named(
        "NATIONAL_ID",
        r"tax(?:payer)?(?: id(?:entification)?)?|tin|itin|steuer(?:-?id(?:entifikationsnummer)?|nummer)|idnr|numéro fiscal|siret|nif|nie|dni|codice fiscale|partita iva|bsn|cpf|cnpj|pesel|pps|nino|national insurance|national id(?:entity)?|id card|identity card|personalausweis(?:nummer)?|carte d['\u2019]identité|sécurité sociale|numéro de sécu(?:rité sociale)?|sozialversicherungsnummer|rvnr|nhs|aadhaar|medicare|sin|personnummer|henkilötunnus|fødselsnummer|cpr|ahv|svnr",
        r"[A-Z]{0,3}[0-9](?:[ ./-]?[A-Z0-9]){5,17}",
        ("tax", "tin", "itin", "steuer", "idnr", "numéro", "siret", "nif", "nie", "dni", "codice", "partita", "bsn", "cpf", "cnpj", "pesel", "pps", "nino", "national", "id card", "identity", "personalausweis", "carte", "sécu", "sozialversicherung", "rvnr", "nhs", "aadhaar", "medicare", "sin", "personnummer", "henkilötunnus", "fødselsnummer", "cpr", "ahv", "svnr"),
        digits=1,
    ),
    Pattern("NATIONAL_ID", re.compile(r"(?<!\w)[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z] ?[0-9]{2} ?[0-9]{2} ?[0-9]{2} ?[A-D](?!\w)"), 0.7, (), 6, is_a_nino),
    Pattern("NATIONAL_ID", re.compile(r"(?<!\w)[A-Z]{6}[0-9]{2}[A-EHLMPR-T][0-9]{2}[A-Z][0-9]{3}[A-Z](?!\w)"), 0.9, (), 3, is_a_codice_fiscale),
    Pattern("NATIONAL_ID", re.compile(r"(?<![\w-])(?:[0-9]{8}|[XYZ][0-9]{7})-?[A-HJ-NP-TV-Z](?!\w)"), 0.8, (), 7, is_a_dni),
    Pattern("NATIONAL_ID", re.compile(r"(?<![\w-])[12] ?[0-9]{2} ?(?:0[1-9]|1[0-2]) ?(?:[0-9]{2}|2[AB]) ?[0-9]{3} ?[0-9]{3} ?[0-9]{2}(?![\w-])"), 0.9, (), 8, is_a_french_nir),
    Pattern("NATIONAL_ID", re.compile(r"(?i)\bnhs\b[^\n]{0,25}?(?P<value>[0-9]{3}[ -]?[0-9]{3}[ -]?[0-9]{4})(?!\w)"), 0.9, ("nhs",), 10, is_an_nhs_number),
    _named(
        "BANK_ACCOUNT",
        r"(?:bank )?acc(?:oun)?t|a/c|kontonummer|konto|routing|aba|sort ?code|blz|bankleitzahl|numéro de compte|cuenta|conto|rekening(?:nummer)?|clabe",
        r"[0-9](?:[ -]?[0-9]){5,19}",
        ("bank", "acc", "a/c", "konto", "routing", "aba", "sort", "blz", "numéro", "cuenta", "conto", "rekening", "clabe"),
        digits=6,
    ),
    Pattern("BANK_ACCOUNT", re.compile(r"(?i)\b(?:bic|swift)(?: ?code)?(?: is)?[\s:#/]{1,3}(?P<value>[A-Z]{6}[A-Z0-9]{2}(?:[A-Z0-9]{3})?)(?!\w)"), 0.7, ("bic", "swift"), check=is_a_bic),
    Pattern(
        "LICENSE_PLATE",
        re.compile(r"(?i)\b(?:(?:license|licence|number|registration|reg|car) ?plates?|registration (?:number|no)|reg\.? (?:number|no)|plate (?:number|no)|kennzeichen|plaque d['\u2019]immatriculation|immatriculation|matr[ií]cula|targa|kenteken)\b(?: (?:number|no)\b)?\.?(?: (?:is|ist|est|es|was))?[\s:#]{1,3}(?P<value>[A-ZÄÖÜ0-9]{1,4}(?:[ -][A-Z0-9]{1,4}){0,3})(?!\w)"),
        0.7,
        ("license", "licence", "number", "reg", "car", "plate", "kennzeichen", "plaque", "immatriculation", "matr", "targa", "kenteken"),
        1,
        lambda value: any(c.isdigit() for c in value) and len(value) >= 4,  # noqa: PLR2004
        anchored=True,
    ),
    Pattern("DATE_OF_BIRTH", re.compile(rf"(?i)\b(?:{_BIRTH})(?: (?:is|was|ist|est|es|le|el|il|:))?[\s:*]{{0,3}}(?P<value>{_DATE})"), 0.8, ("born", "date", "d.o.b", "dob", "birth", "geb", "né", "fecha", "nac", "data", "nat"), 2, anchored=True),
    Pattern("US_PASSPORT", re.compile(r"(?i)\bpassport\b[^\n]{0,30}?(?P<value>\b[A-Z]?[0-9]{8,9})(?!\w)"), 0.7, ("passport",), 8),
)  # fmt: skip
