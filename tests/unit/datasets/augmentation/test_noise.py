import re
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_tuning.datasets.augmentation.draws import Draws
from gateway_tuning.datasets.augmentation.edits import (
    WORD_EDITS,
    dropped_letter,
    missing_accents,
    neighbour_key,
)
from gateway_tuning.datasets.augmentation.keyboards import neighbours
from gateway_tuning.datasets.augmentation.noise import NoiseAugmenter
from tests.unit.datasets.augmentation.conftest import make_example, variants_of

LONG = "the parcel that somebody promised yesterday never arrived although tracking says otherwise"
TELLING = (
    "Hello <PERSON_1>, see https://shop.example/track?id=77 and mail me@shop.example about order 4711-A, "
    "`rm -rf build` or <SECRET_x7k2ab> in C:\\temp with getUserName() since 2026-11-01.\n"
    "```python\nprint('hello world')\n```\n    indented code stays\nThank you very much indeed"
)
KEPT = (
    "<PERSON_1>",
    "https://shop.example/track?id=77",
    "me@shop.example",
    "4711-A",
    "`rm -rf build`",
    "<SECRET_x7k2ab>",
    "C:\\temp",
    "getUserName()",
    "2026-11-01.",
    "```python\nprint('hello world')\n```",
    "\n    indented code stays\n",
)


def noisy(prompt, count=20, *, rate=0.3, language=None, seed=0):
    return variants_of(NoiseAugmenter(rate, lambda _text: language), make_example(prompt=prompt), count, seed)


def distance(left, right):
    """Levenshtein's."""
    row = list(range(len(right) + 1))
    for i, one in enumerate(left, 1):
        last, row[0] = row[0], i
        for j, other in enumerate(right, 1):
            last, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, last + (one != other))
    return row[-1]


@pytest.mark.parametrize("kept", KEPT)
def test_placeholders_numbers_addresses_and_code_stay_as_they_are(kept):
    found = noisy(TELLING, 60)

    assert len(found) == 60
    assert all(kept in one.text for one in found)


def test_every_kind_of_slip_comes_in_time():
    prompt = "Können Sie mir, bitte, endlich sagen, wo mein Päckchen für Zürich geblieben ist?"
    kinds = {how for one in noisy(prompt, 300, language="de") for how in one.how.split(", ")}

    assert kinds == {
        *WORD_EDITS,
        *("missing sign", "doubled sign", "missing space", "doubled space", "no capitals"),
    }


@pytest.mark.parametrize(("rate", "most"), [(0.01, 1), (0.1, 1), (0.25, 3), (0.5, 6)])
def test_slips_are_at_most_the_rate_times_the_words_and_one_in_any_case(rate, most):
    found = noisy(LONG, 60, rate=rate)

    # A slip costs at most two letters, or the capitals of one word.
    changed = [distance(one.text.lower(), LONG) for one in found]
    assert max(changed) <= 2 * most
    assert most == 1 or max(changed) > 2


def test_more_variants_begin_with_the_fewer():
    assert noisy(LONG, 9)[:4] == noisy(LONG, 4)


def test_another_seed_makes_other_variants():
    assert noisy(LONG, 5, seed=1) != noisy(LONG, 5, seed=2)


@pytest.mark.parametrize("prompt", ["", "  \n", "4711", "<PERSON_1>", "`ls`", "???", "🙂 🙂", "user_name=7"])
def test_a_text_without_plain_words_has_no_variants(prompt):
    assert noisy(prompt) == []


@pytest.mark.parametrize("prompt", ["退货需要多长时间才能收到退款", "ช่วยด้วย", "हिन्दी में"])
def test_letters_of_scripts_without_capitals_are_not_changed(prompt):
    bare = re.sub(r"\s", "", prompt)

    assert {re.sub(r"\s", "", one.text) for one in noisy(prompt)} <= {bare}


@pytest.mark.parametrize(
    ("letter", "language", "keys"),
    [
        ("z", "en", "asx"),
        ("z", "de", "tuhg"),
        ("a", "fr", "zq"),
        ("a", None, "qwsz"),
        ("ы", "ru", "цуфвяч"),
        ("ы", "en", ""),
    ],
)
def test_neighbours_are_those_of_the_languages_keyboard(letter, language, keys):
    assert set(neighbours(letter, language)) == set(keys)


def test_a_mistyped_letter_is_one_from_a_key_beside_it():
    for number in range(50):
        struck = neighbour_key("parcel", Draws(number), "en")
        (at,) = [at for at, (one, other) in enumerate(zip("parcel", struck, strict=True)) if one != other]

        assert struck[at] in neighbours("parcel"[at], "en")
        assert at > 0


@pytest.mark.parametrize(
    ("word", "language", "known"),
    [
        ("café", "fr", {"cafe"}),
        ("Größe", "de", {"Grosse", "Groesse"}),
        ("cafe\u0301", None, {"cafe"}),
        ("Łódź", "pl", {"Lodz"}),
        ("parcel", "en", {"parcel"}),
    ],
)
def test_accents_are_left_out_as_people_do(word, language, known):
    assert {missing_accents(word, Draws(number), language) for number in range(30)} == known


def test_a_letter_goes_with_its_marks():
    dropped = {dropped_letter("abce\u0301", Draws(number), None) for number in range(30)}

    assert dropped == {"ace\u0301", "abe\u0301", "abc"}


@given(st.text(max_size=80), st.integers(1, 6), st.integers(0, 2**31 - 1))
def test_on_any_text_variants_differ_from_it_and_from_each_other(prompt, count, seed):
    found = [one.text for one in noisy(prompt, count, seed=seed)]

    assert len(found) == len(set(found)) <= count
    assert prompt not in found
    assert all(one.strip() for one in found)


@given(
    st.lists(st.sampled_from([*"abz", "<PERSON_1>", "<A_2>", "4711", "größer", "Hello,", "\n", "a@b.c", "`"]))
)
def test_digits_and_placeholders_are_the_same_in_every_variant(pieces):
    prompt = " ".join(pieces)

    def kept(text):
        return re.findall(r"<[A-Z]+_\d>", text), [one for one in text if one in string.digits + "@`"]

    assert all(kept(one.text) == kept(prompt) for one in noisy(prompt, 4))
