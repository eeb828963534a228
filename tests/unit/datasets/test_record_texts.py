import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_tuning.datasets.record_texts import texts, with_texts
from gateway_tuning.feedback.record import FeedbackRecord, Message, ToolCall
from tests.conftest import NOW

TOOL = {
    "type": "function",
    "function": {
        "name": "find_order",
        "description": "Orders of Ann Lee's shop",
        "parameters": {"type": "object", "properties": {"mail": {"type": "string"}}, "required": ["mail"]},
    },
}


def calling(arguments):
    call = ToolCall(id="c1", name="find_order", arguments=json.dumps(arguments))
    return (
        Message(role="assistant", content="", tool_calls=(call,)),
        Message(role="tool", content="Order 7 of Ann Lee", tool_call_id="c1"),
    )


@pytest.fixture
def record(make_record):
    return make_record(
        turns=calling(
            {"mail": "ann@example.com", "phone": 4915112345678, "limit": 5, "ann@example.com": None}
        ),
        tools=(TOOL,),
    )


def test_texts_inside_tool_calls_and_tools_are_texts_of_their_own(record):
    found = texts(record)

    assert {"ann@example.com", "4915112345678", "Order 7 of Ann Lee", "Orders of Ann Lee's shop"} <= set(
        found.values()
    )
    assert not {"find_order", "object", "string", "5"} & set(found.values())


def test_what_a_tool_says_of_a_parameter_called_name_or_type_and_its_samples_are_texts(make_record):
    parameters = {
        "type": "object",
        "properties": {
            "name": {"type": "string", "description": "Who, such as Ann Lee", "examples": ["Bo Lee"]},
            "type": {"enum": ["card of Cy Lee"]},
            "contact": {"default": {"name": "Di Lee", "di@example.com": "Ed Lee"}},
        },
        "required": ["name", "type"],
    }
    tool = {"type": "function", "function": {"name": "find_order", "parameters": parameters}}
    record = make_record(tools=(tool,))

    found = set(texts(record).values())
    clean = with_texts(record, {name: text.replace("Lee", "L") for name, text in texts(record).items()})

    assert {"Who, such as Ann Lee", "Bo Lee", "card of Cy Lee", "Di Lee", "di@example.com", "Ed Lee"} <= found
    assert not {"find_order", "object", "string", "required"} & found
    assert "Lee" not in json.dumps(clean.tools)
    assert clean.tools[0]["function"]["parameters"]["required"] == ["name", "type"]


def test_replaced_arguments_are_json_still_and_numbers_that_are_nothing_personal_stay_numbers(record):
    swapped = {
        name: text.replace("ann@example.com", "<MAIL>").replace("4915112345678", "<PHONE>")
        for name, text in texts(record).items()
    }

    clean = with_texts(record, swapped)

    (call,) = clean.turns[0].tool_calls
    assert json.loads(call.arguments) == {"mail": "<MAIL>", "phone": "<PHONE>", "limit": 5, "<MAIL>": None}
    assert clean.turns[1].content == "Order 7 of Ann Lee"
    assert clean.tools[0]["function"]["parameters"] == TOOL["function"]["parameters"]


def test_only_what_was_anonymized_survives(make_record):
    record = make_record(comment="call me", metadata={"a": "b"}, user_context=("vip",), rating_token="t")  # noqa: S106 - no password

    clean = with_texts(record, dict.fromkeys(texts(record), "x"))

    assert (clean.comment, clean.metadata, clean.user_context, clean.rating_token) == (None, {}, (), None)
    assert (clean.prompt, clean.response) == ("x", "x")


def test_a_text_without_its_anonymized_form_is_refused(make_record):
    with pytest.raises(ValueError, match="response"):
        with_texts(make_record(), {"prompt": "x"})


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), json_values, max_size=4))
def test_a_record_whose_texts_are_replaced_by_themselves_says_what_it_said(arguments):
    record = FeedbackRecord(
        id="f",
        type="thumbs_up",
        prompt="p",
        response="r",
        timestamp=NOW,
        turns=calling(arguments),
        tools=(TOOL,),
    )

    same = with_texts(record, texts(record))

    assert json.loads(same.turns[0].tool_calls[0].arguments) == arguments
    assert same.tools == record.tools
