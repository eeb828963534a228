"""Training files by a template of the user's."""

import json

import pytest

from gateway_tuning.datasets.example import ExampleKind
from gateway_tuning.datasets.formats.content import content_of
from gateway_tuning.datasets.formats.custom import PLACEHOLDERS, custom
from gateway_tuning.datasets.formats.format import Skipped
from gateway_tuning.errors import ConfigurationError
from tests.unit.datasets.test_formats import QUESTION, SYSTEM, TALK, TOOL, USED, example

PLAIN = (
    '{"text": "{{prompt}}", "target": ["{{ answer }}"], "meta": {"version": 2, "note": "kept { } as it is"}}'
)


def test_placeholders_are_replaced_and_everything_else_is_kept():
    line = custom(PLAIN).write(example((QUESTION,), answer='a "{{prompt}}" of text'))

    assert json.loads(line) == {
        "text": "Where is it?",
        "target": ['a "{{prompt}}" of text'],
        "meta": {"version": 2, "note": "kept { } as it is"},
    }


@pytest.mark.parametrize(
    ("template", "kind"),
    [
        ('{"a": "{{chat}}"}', ExampleKind.DEMONSTRATION),
        ('{"p": "{{messages}}", "a": "{{answer}}", "r": "{{rejected}}"}', ExampleKind.PREFERENCE),
        ('{"p": "{{prompt}}", "a": "{{answer}}", "d": "{{desirable}}"}', ExampleKind.LABELLED),
    ],
)
def test_the_kind_it_takes_follows_from_its_placeholders(template, kind):
    found = custom(template)

    assert found.kind is kind
    assert found.read_line(found.write(example((QUESTION,), kind))) == content_of(example((QUESTION,), kind))


def test_a_template_carries_what_it_has_a_place_for_and_skips_the_rest():
    plain, with_system = custom(PLAIN), custom('{"s": "{{system}}", "p": "{{prompt}}", "a": "{{answer}}"}')
    chat, with_tools = custom('{"c": "{{chat}}"}'), custom('{"c": "{{chat}}", "t": "{{tools}}"}')

    assert isinstance(plain.write(example((SYSTEM, QUESTION))), Skipped)
    assert isinstance(plain.write(example(TALK[1:])), Skipped)
    assert json.loads(with_system.write(example()))["s"] == "Be brief."
    assert json.loads(with_system.write(example((QUESTION,))))["s"] is None
    assert with_system.read_line(with_system.write(example())).messages == (SYSTEM, QUESTION)
    assert chat.read_line(chat.write(example(TALK))).messages == TALK
    assert isinstance(chat.write(example(USED)), Skipped)
    assert isinstance(chat.write(example(tools=(TOOL,))), Skipped)
    assert with_tools.read_line(with_tools.write(example(USED, tools=(TOOL,)))).messages == USED


def test_a_tools_result_is_never_taken_for_the_users_message():
    found = custom('{"p": "{{prompt}}", "c": "{{chat}}", "t": "{{tools}}"}')

    assert isinstance(found.write(example(USED)), Skipped)
    assert json.loads(found.write(example(TALK)))["p"] == "Where is it?"


@pytest.mark.parametrize(
    ("template", "told"),
    [
        ("{", "is not JSON"),
        ('["{{chat}}"]', "JSON but no object"),
        ('{"a": "{{answer}}", "p": "Q: {{prompt}}"}', "'Q: {{prompt}}' is no placeholder alone"),
        ('{"a": "{{answer}}", "p": "{{prompt.__class__}}"}', "is no placeholder alone"),
        ('{"a": "{{answer}}", "p": "{{secret}}"}', "there are: {{chat}}, {{messages}}"),
        ('{"{{answer}}": "{{prompt}}"}', "only values can"),
        ('{"p": "{{prompt}}"}', "holds no answer"),
        ('{"a": "{{answer}}"}', "holds no prompt"),
        ('{"a": "{{answer}}", "b": "{{answer}}", "p": "{{prompt}}"}', "uses {{answer}} more than once"),
        ('{"a": "{{chat}}", "r": "{{rejected}}", "d": "{{desirable}}"}', "an example has one of them"),
    ],
)
def test_a_template_that_cannot_work_is_refused_with_the_remedy(template, told):
    with pytest.raises(ConfigurationError) as refused:
        custom(template)

    assert told in str(refused.value)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"text": 1}, "text: no text"),
        ({"target": []}, "target: another value than in the template"),
        ({"meta": {"version": 2}}, "meta.note: missing"),
        ({"meta": {"version": 3, "note": "kept { } as it is"}}, "meta.version: another value"),
        ({"meta": {"version": 2.0, "note": "kept { } as it is"}}, "meta.version: another value"),
        ({"more": 1}, "more: unknown key"),
        ({"text": " "}, "message 1: empty content"),
    ],
)
def test_a_line_that_differs_from_the_template_is_told_with_its_place(change, told):
    found = custom(PLAIN)
    row = json.loads(found.write(example((QUESTION,)))) | change

    fault = found.line_faults(json.dumps(row))[0]
    assert f"{fault.where}: {fault.reason}".startswith(told)


def test_messages_in_a_custom_line_are_checked_where_they_stand():
    found = custom('{"in": {"chat": "{{chat}}"}}')
    ends_wrong = {"in": {"chat": [{"role": "user", "content": "q"}]}}

    assert found.line_faults('{"in": {"chat": [{"role": "user"}]}}')[0].where == "in.chat[0].content"
    assert [fault.where for fault in found.line_faults(json.dumps(ends_wrong))] == ["in.chat"]


def test_every_placeholder_is_described_and_works():
    pair = custom(
        '{"m": "{{messages}}", "s": "{{system}}", "t": "{{tools}}", "a": "{{answer}}", "r": "{{rejected}}"}'
    )
    line = json.loads(pair.write(example(TALK, ExampleKind.PREFERENCE, tools=(TOOL,))))

    assert (line["s"], line["a"], line["r"]) == ("Be brief.", "Here.", "No.")
    assert line["t"] == [json.loads(TOOL)]
    assert [message["role"] for message in line["m"]] == ["system", "user", "assistant", "user"]
    assert set(PLACEHOLDERS) == {
        "chat",
        "messages",
        "system",
        "prompt",
        "answer",
        "rejected",
        "desirable",
        "tools",
    }
