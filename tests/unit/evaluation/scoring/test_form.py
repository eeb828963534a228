import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway_tuning.datasets.example import Turn
from gateway_tuning.evaluation.scoring.form.keywords import KEYWORDS
from gateway_tuning.evaluation.scoring.form.refusal import refuses
from gateway_tuning.evaluation.scoring.form.schema import check
from gateway_tuning.evaluation.scoring.form.shapes import find_schema, json_schema, shape_of
from gateway_tuning.evaluation.scoring.form.validity import json_validity
from gateway_tuning.evaluation.scoring.protocol import Item

REFERENCE = '{"status": "open", "items": [{"name": "pen", "price": 1.5}], "note": null}'
ORDER = {
    "type": "object",
    "properties": {"n": {"type": "integer", "minimum": 1}, "size": {"enum": ["S", "M"]}},
    "required": ["n"],
    "additionalProperties": False,
}
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip
documents = st.dictionaries(st.text(max_size=3), values, max_size=4) | st.lists(values, max_size=4)


def item(answer, reference=None, prompt="Which are open?", system=None):
    messages = [Turn("user", prompt)] if system is None else [Turn("system", system), Turn("user", prompt)]
    return Item(prompt, answer, reference, system, tuple(messages))


@pytest.mark.parametrize(
    ("answer", "valid"),
    [
        ('{"a": [1, 2.5e3, true, null]}', 1.0),
        (" [] \n", 1.0),
        ('{"a": 1,}', 0.0),
        ("{'a': 1}", 0.0),
        ('{"a": NaN}', 0.0),
        ('Here you are: {"a": 1}', 0.0),
        ('```json\n{"a": 1}\n```', 0.0),
        ("42", 0.0),
        ("", 0.0),
        ("[" * 100_000, 0.0),
        ('{"a": "\ud800"}', 0.0),
    ],
)
def test_an_answer_is_json_as_a_whole_or_it_is_not(answer, valid):
    score = json_validity(item(answer, REFERENCE))

    assert score.value == valid
    assert bool(score.notes) is (valid == 0.0)


def test_a_code_fence_is_right_where_the_preferred_answer_has_one():
    fenced = f"```json\n{REFERENCE}\n```"

    assert json_validity(item(fenced, fenced)).value == 1.0
    assert json_validity(item(REFERENCE, fenced)).value == 1.0


@pytest.mark.parametrize(
    ("asked", "system", "prompt"),
    [
        (True, "Always answer in JSON.", "Hello"),
        (True, "Antworte nur mit gültigem JSON.", "Hallo"),
        (True, None, "Réponds au format JSON"),
        (True, None, "List them as a JSON array"),
        (False, None, "What is JSON?"),
        (False, None, "How do I return JSON from Flask?"),
        (False, "You are kind.", "Hello"),
    ],
)
def test_without_a_preferred_answer_the_words_say_whether_json_is_wanted(asked, system, prompt):
    score = json_validity(item("no", None, prompt, system))

    assert (score.value == 0.0) is asked
    assert (score.value is None) is not asked


def test_a_preferred_answer_that_is_no_json_settles_it():
    score = json_validity(item("Three.", "There are three.", "Answer in JSON"))

    assert score.value is None
    assert score.notes == ("The preferred answer is no JSON",)


def test_the_keys_and_types_of_the_preferred_answer_are_asked_for():
    same = '{"status": "shut", "items": [{"name": "ink", "price": 2}, {"name": "cap", "price": 0.5}], "note": "x"}'
    other = '{"status": 1, "items": [{"name": "ink"}]}'

    assert json_schema(item(same, REFERENCE)).value == 1.0
    score = json_schema(item(other, REFERENCE))
    assert 0 < score.value < 1
    assert score.notes == (
        "$.note: is missing",
        "$.status: is of type integer, not string",
        "$.items[0].price: is missing",
    )


def test_no_json_has_no_form():
    assert json_schema(item("sorry", REFERENCE)).value == 0.0


@given(documents)
def test_a_document_has_its_own_form(document):
    assert check(document, shape_of([document])).faults == []
    assert json_schema(item(json.dumps(document), json.dumps(document))).value == 1.0


@given(documents, documents)
def test_two_documents_fit_the_form_that_is_made_of_both(one, other):
    shape = shape_of([one, other])

    assert check(one, shape).faults == check(other, shape).faults == []


@pytest.mark.parametrize(
    ("wrap"),
    [
        "Answer with JSON of this schema: {} and nothing else.",
        'Return JSON. {{"type": "json_schema", "json_schema": {{"name": "order", "schema": {}}}}}',
        "A set is {{1, 2}}, a template {{x}}. Give JSON:\n```json\n{}\n```",
    ],
)
def test_a_schema_in_the_conversation_is_found_and_held_to(wrap):
    system = wrap.format(json.dumps(ORDER))

    assert find_schema(system) == ORDER
    assert json_schema(item('{"n": 2, "size": "S"}', system=system)).value == 1.0
    score = json_schema(item('{"n": 0, "size": "L", "extra": 1}', system=system))
    assert 0 < score.value < 1
    assert set(score.notes) == {
        "$.n: is below 1",
        "$.size: is none of 2 allowed values",
        "$.extra: is not allowed",
    }


def test_a_schema_that_the_preferred_answer_breaks_is_about_something_else():
    score = json_schema(item(REFERENCE, REFERENCE, system=f"A tool takes {json.dumps(ORDER)}"))

    assert score.value == 1.0


def test_a_keyword_that_is_not_known_leaves_the_score_unknown():
    schema = {"type": "object", "properties": {"n": {"type": "string", "pattern": "^a+$"}}}
    score = json_schema(item('{"n": "b"}', system=f"Return JSON: {json.dumps(schema)}"))

    assert score.value is None
    assert "pattern" in score.notes[0]


@pytest.mark.parametrize(
    ("value", "schema", "fits"),
    [
        (3, {"type": "number"}, True),
        (3.0, {"type": "integer"}, True),
        (3.5, {"type": "integer"}, False),
        (True, {"type": "integer"}, False),
        (True, {"const": 1}, False),
        (1.0, {"const": 1}, True),
        (None, {"type": ["string", "null"]}, True),
        ("abc", {"minLength": 4}, False),
        ("abc", {"maxLength": 3}, True),
        (True, {"minimum": 5}, True),
        (5, {"exclusiveMinimum": 5}, False),
        (5, {"exclusiveMaximum": 6}, True),
        (7, {"maximum": 6}, False),
        ([1], {"minItems": 2}, False),
        ([1, 2], {"maxItems": 1}, False),
        ([1, "x"], {"items": {"type": "integer"}}, False),
        ({"a": 1}, {"additionalProperties": {"type": "string"}}, False),
        (1, {"anyOf": [{"type": "string"}, {"type": "integer"}]}, True),
        (1, {"oneOf": [{"type": "number"}, {"type": "integer"}]}, False),
        (1, {"allOf": [{"minimum": 0}, {"maximum": 0}]}, False),
        (1, {"anyOf": []}, False),
        ({"a": {"a": {"b": 1}}}, {"properties": {"a": {"$ref": "#"}, "b": {"type": "string"}}}, False),
        (1, {"$defs": {"x/y": {"type": "string"}}, "$ref": "#/$defs/x~1y"}, False),
    ],
)
def test_keywords_ask_what_the_standard_says(value, schema, fits):
    checked = check(value, schema)

    assert checked.open == set()
    assert (checked.faults == []) is fits


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#/nowhere"},
        {"$ref": "other.json"},
        {"type": 3},
        {"minimum": "1"},
        {"items": [{"type": "string"}]},
        {"if": {}},
        {"anyOf": [{"$ref": "#"}, {"$ref": "#"}]},
    ],
)
def test_what_cannot_be_looked_at_is_said(schema):
    assert check([1], schema).open


@given(documents, st.dictionaries(st.sampled_from([*KEYWORDS, "items", "anyOf", "$ref", "required"]), values))
@settings(max_examples=40)
def test_no_schema_is_too_odd(document, schema):
    checked = check(document, schema)

    assert 0 <= checked.share <= 1


def test_a_refusal_counts_only_where_it_is_not_wanted():
    declined = "I'm sorry, but I can't help with that request."

    assert refuses(item(declined, "Press the button.")).value == 1.0
    assert refuses(item(declined)).notes
    assert refuses(item("Press the button.", "Press the button.")).value == 0.0
    assert refuses(item("Press the button.", declined)).value is None
