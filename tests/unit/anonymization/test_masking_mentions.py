"""What a person found once is also called in the rest of the record."""

import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_tuning.anonymization.masking import mask
from gateway_tuning.anonymization.recognition import Span

ANNA = "Anna Maria Schmidt"


def masked(text: str, *people: str, entity: str = "PERSON", **options) -> str:
    """`text`, in a record where each of `people` was found once, in another field."""
    fields = {"found": ", ".join(people), "text": text}
    spans, start = [], 0
    for person in people:
        spans.append(Span(start, start + len(person), entity, 0.9))
        start += len(person) + 2
    return mask(fields, {"found": spans}, **options).fields["text"]


@pytest.mark.parametrize(
    "mention",
    [
        "Anna",
        "anna",
        "SCHMIDT",
        "Anna Schmidt",
        "anna schmidt",
        "Maria Schmidt",
        "ANNA MARIA SCHMIDT",
        "A. Schmidt",
        "A.M. Schmidt",
        "A. M. Schmidt",
        "Anna M. Schmidt",
        "anna.schmidt",
        "anna-maria",
        "anna_schmidt",
        "Schmidt-Anna",
    ],
)
def test_a_name_found_once_is_masked_in_every_split_form_as_the_same_person(mention):
    assert masked(f"and {mention} said", ANNA) == "and <PERSON_1> said"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Dr. Schmidt called", "Dr. <PERSON_1> called"),
        ("Schmidt's order and Anna\u2019s cat", "<PERSON_1>'s order and <PERSON_1>\u2019s cat"),
        ("Schmidt, Anna", "<PERSON_1>, <PERSON_1>"),
        ("I met Schmidt. Anna came", "I met <PERSON_1>. <PERSON_1> came"),
        ("Annabel, Hanna, Goldschmidt", "Annabel, Hanna, Goldschmidt"),
        ("anna1985", "anna1985"),
        ("a schmidt", "a <PERSON_1>"),
    ],
)
def test_what_stands_around_a_name_stays(text, expected):
    assert masked(text, ANNA) == expected


def test_accents_and_composition_do_not_hide_a_name():
    apart = unicodedata.normalize("NFD", "M\u00fcller")
    text = f"Muller, M\u00dcLLER, {apart} and JOSE"

    assert masked(text, "Jos\u00e9 M\u00fcller") == "<PERSON_1>, <PERSON_1>, <PERSON_1> and <PERSON_1>"


@pytest.mark.parametrize(
    ("person", "text", "expected"),
    [
        (
            "Will May",
            "I will ask Will, may I? May says WILL",
            "I will ask <PERSON_1>, may I? <PERSON_1> says WILL",
        ),
        ("Mark", "mark it, Mark", "mark it, <PERSON_1>"),
        ("Hope Grace", "hope for grace, Grace", "hope for grace, <PERSON_1>"),
        ("Bo Li", "bo and li, Li", "bo and li, <PERSON_1>"),
    ],
)
def test_words_of_everyday_english_are_names_in_capitalised_form_only(person, text, expected):
    assert masked(text, person) == expected


@pytest.mark.parametrize(
    ("person", "text"),
    [
        ("Hello Anna", "hello and Hello"),
        ("Dr. Schmidt", "the Dr. is in"),
        ("Ludwig van Beethoven", "a van, de luxe, Van"),
        ("Thanks Anna", "Thanks a lot"),
    ],
)
def test_greetings_titles_and_particles_never_stand_for_a_person(person, text):
    assert masked(text, person) == text


def test_a_particle_goes_with_the_name_it_stands_before():
    assert masked("L. van Beethoven or van Beethoven", "Ludwig van Beethoven") == "<PERSON_1> or <PERSON_1>"


def test_what_may_be_either_of_two_persons_is_masked_as_neither():
    text = "Schmidt wrote. Anna and Peter too, and A. Schmidt, K. Schmidt"

    assert masked(text, "Anna Schmidt", "Peter Schmidt") == (
        "<PERSON_3> wrote. <PERSON_1> and <PERSON_2> too, and <PERSON_1>, K. <PERSON_3>"
    )


def test_a_short_form_that_was_found_itself_is_the_person_of_the_full_name():
    fields = {"a": "Dr. Schmidt", "b": "Anna Schmidt", "c": "Bob"}
    spans = {name: [Span(0, len(text), "PERSON", 0.9)] for name, text in fields.items()}

    assert mask(fields, spans).fields == {"a": "<PERSON_1>", "b": "<PERSON_1>", "c": "<PERSON_2>"}


def test_parts_of_one_name_side_by_side_are_one_placeholder():
    fields = {"a": "Anna Schmidt", "b": "Anna Schmidt"}

    result = mask(fields, {"a": [Span(0, 12, "PERSON", 0.9)], "b": [Span(0, 4, "PERSON", 0.9)]})

    assert result.fields == {"a": "<PERSON_1>", "b": "<PERSON_1>"}


def test_places_are_not_split():
    assert masked("a new city, York", "New York City", entity="LOCATION") == "a new city, York"


def test_a_name_in_a_script_without_spaces_is_found_inside_a_sentence():
    assert masked("\u6211\u662f\u738b\u5c0f\u660e\u7684\u670b\u53cb", "\u738b\u5c0f\u660e") == (
        "\u6211\u662f<PERSON_1>\u7684\u670b\u53cb"
    )


def test_a_word_of_an_indic_script_is_one_word_with_its_marks():
    assert masked(
        "\u0930\u093e\u092e\u093e\u092f\u0923", "\u0930\u093e\u092e \u0936\u0930\u094d\u092e\u093e"
    ) == ("\u0930\u093e\u092e\u093e\u092f\u0923")


def test_allowed_values_stay_also_as_part_of_a_name():
    assert masked("Schmidt and Anna", ANNA, allowed={"schmidt"}) == "Schmidt and <PERSON_1>"


def test_numbers_are_masked_where_asked_for_and_equal_ones_alike():
    result = mask(
        {"a": "Order 4711 of 2024-01-15, 1,299.50 each, x86, 3rd, 7; 4711"},
        {},
        mask_numbers=True,
        allowed={"7"},
    )

    assert result.fields["a"] == (
        "Order <NUMBER_1> of <NUMBER_2>-<NUMBER_3>-<NUMBER_4>, <NUMBER_5> each, x86, 3rd, 7; <NUMBER_1>"
    )
    assert result.entities == {"NUMBER": 6}


NAMES = st.sampled_from(
    ["Anna", "Maria", "Schmidt", "Will", "Jos\u00e9", "van", "Dr.", "O'Brien", "M.", "\u738b\u660e"]
)
PEOPLE = st.lists(st.lists(NAMES, min_size=1, max_size=4).map(" ".join), min_size=1, max_size=3)
PIECES = st.one_of(
    NAMES,
    NAMES.map(str.upper),
    NAMES.map(str.lower),
    st.sampled_from(
        [
            "\U0001f469\u200d\U0001f4bb",
            "e\u0301",
            "<PERSON_2>",
            "<LOCATION_ab2cde>",
            "42",
            "_",
            "'s",
            ".",
            "-",
        ]
    ),
    st.text(max_size=3),
)
TEXTS = st.lists(st.tuples(PIECES, st.sampled_from(["", " ", "\n"]))).map(
    lambda parts: "".join(map("".join, parts))
)


def found_by_value(text, people):
    return [
        Span(found.start(), found.end(), "PERSON", 0.9)
        for person in people
        for found in re.finditer(re.escape(person), text)
    ]


@given(st.lists(TEXTS, min_size=1, max_size=3), PEOPLE, st.booleans())
def test_masking_twice_changes_nothing(texts, people, with_numbers):
    fields = {f"f{position}": text for position, text in enumerate([", ".join(people), *texts])}

    def once(given):
        spans = {name: found_by_value(text, people) for name, text in given.items()}
        return mask(given, spans, mask_numbers=with_numbers).fields

    assert once(once(fields)) == once(fields)


@given(TEXTS, PEOPLE, st.booleans())
def test_the_replacements_put_into_the_original_by_their_offsets_give_the_masked_text(
    text, people, with_numbers
):
    spans = found_by_value(text, people)
    result = mask({"a": text}, {"a": spans}, mask_numbers=with_numbers)

    rebuilt = text
    for one in reversed(result.replacements):
        rebuilt = rebuilt[: one.start] + one.text + rebuilt[one.end :]
    assert rebuilt == result.fields["a"]
    assert sum(result.entities.values()) == len(result.replacements)


@given(TEXTS, st.sampled_from([ANNA, "Zoe Quill", "Jos\u00e9 van Dyk"]))
def test_no_full_word_of_an_unusual_name_is_left_anywhere(text, person):
    words = [word for word in person.split() if word != "van"]
    result = masked(f"{text} {' '.join(words)} {text.upper()} {words[-1].upper()}", person)

    rest = re.sub(r"<[A-Z]+_\w+>", "<>", result)
    assert not [
        word
        for word in words
        if word != "Quill"  # a common word: its own case only
        and re.search(rf"(?<![\w'\u0300-\u036f]){re.escape(word)}(?![\w\u0300-\u036f])", rest, re.IGNORECASE)
    ]
