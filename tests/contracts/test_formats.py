"""What every format of training files must do. A new format joins by its line in the catalogue."""

import json
import re
from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from gateway_tuning.datasets.example import Example, ExampleKind, ToolCall, Turn
from gateway_tuning.datasets.formats import FORMATS, WRITERS, find, writer
from gateway_tuning.datasets.formats.content import content_of
from gateway_tuning.datasets.formats.custom import custom
from gateway_tuning.datasets.formats.format import TEACHES, Skipped
from gateway_tuning.datasets.formats.services import mistral_call_id
from gateway_tuning.errors import ConfigurationError, InputFileError
from tests.conftest import NOW

WITH_TOOLS = {
    "openai-sft", "openai-dpo", "openai-rft", "mistral", "together-sft", "fireworks-sft", "trl-sft", "trl-dpo", "trl-kto",
    "custom-chat", "custom-pair",
}  # fmt: skip
ONE_TURN = {"bedrock-llama", "alpaca", "custom-label"}
CUSTOM = {
    "custom-chat": '{"conversation": "{{chat}}", "functions": "{{tools}}", "source": {"lang": "en", "v": [1, null]}}',
    "custom-pair": '{"in": "{{messages}}", "f": "{{tools}}", "good": "{{answer}}", "bad": "{{rejected}}"}',
    "custom-label": '{"q": "{{prompt}}", "s": "{{system}}", "a": "{{answer}}", "ok": "{{desirable}}"}',
}
ALL = FORMATS | {name: custom(template) for name, template in CUSTOM.items()}

texts = st.one_of(
    st.text(max_size=20),
    st.sampled_from(
        ["Where is it?", "a\nHuman: b", "User: me", "[EOS]", "\u2028", "é😀", " ", "{{prompt}}", '"\\']
    ),
)
arguments = st.one_of(
    st.dictionaries(st.text(max_size=4), st.integers() | st.text(max_size=4), max_size=3).map(json.dumps),
    st.sampled_from(["", "[1]", '{"a": NaN}', '{"a": 1, "a": 2}', '{ "spaced" :1.50 }']),
)
calls = st.builds(ToolCall, st.text(max_size=12), st.text(max_size=5), arguments)
tools = st.one_of(
    st.text(min_size=1, max_size=5).map(
        lambda name: json.dumps(
            {"type": "function", "function": {"name": name, "parameters": {"type": "object"}}}
        )
    ),
    st.sampled_from(["{}", "no json", '{"type": "function", "function": {}}']),
)
turns = st.builds(
    Turn,
    st.sampled_from(["system", "user", "assistant", "tool", "developer"]),
    texts,
    st.lists(calls, max_size=2).map(tuple),
    st.none() | st.text(max_size=5),
)


@st.composite
def conversations(draw):
    """Mostly in order: system, then rounds of a question, perhaps calls with their results, and an answer."""
    said = [Turn("system", draw(texts))] if draw(st.booleans()) else []
    for number in range(draw(st.integers(1, 3))):
        said.append(Turn("user", draw(texts)))
        if draw(st.integers(0, 3)) == 0:
            made = tuple(
                replace(call, id=f"{call.id}{number}")
                for call in draw(st.lists(calls, min_size=1, max_size=2))
            )
            said.append(Turn("assistant", draw(texts | st.just("")), made))
            said += [Turn("tool", draw(texts), tool_call_id=call.id) for call in made]
        said.append(Turn("assistant", draw(texts)))
    return tuple(said[:-1])


def example(kind, messages, *, answer="It is on its way.", rejected=None, desirable=None, tools=()):
    return Example(
        "e1", kind, tuple(messages), answer, rejected, desirable, ("f1",), ("correction",), NOW, "g", "train", tools=tuple(tools)
    )  # fmt: skip


@st.composite
def examples(draw):
    kind = draw(st.sampled_from(ExampleKind))
    return example(
        kind,
        draw(conversations() | st.lists(turns, max_size=4)),
        answer=draw(texts),
        rejected=draw(texts) if kind is ExampleKind.PREFERENCE else None,
        desirable=draw(st.booleans()) if kind is ExampleKind.LABELLED else None,
        tools=draw(st.lists(tools, max_size=2)),
    )


solid = st.text(min_size=1, max_size=30).filter(str.strip)
json_objects = st.dictionaries(
    st.text(max_size=4),
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(),
        lambda inner: st.lists(inner, max_size=2),
        max_leaves=4,
    ),
    max_size=3,
)
definitions = st.builds(
    lambda name, schema: json.dumps({"type": "function", "function": {"name": name, "parameters": schema}}),
    st.from_regex(r"[a-zA-Z0-9_-]{1,64}", fullmatch=True),
    json_objects,
)


@st.composite
def tool_rounds(draw, number):
    made = tuple(
        ToolCall(
            f"{draw(st.text(max_size=9))}{number}{place}",
            draw(st.from_regex(r"[a-zA-Z0-9_-]{1,64}", fullmatch=True)),
            arguments,
        )
        for place, arguments in enumerate(
            draw(st.lists(json_objects.map(json.dumps), min_size=1, max_size=2))
        )
    )
    results = [Turn("tool", draw(st.text(max_size=9)), tool_call_id=call.id) for call in made]
    return [Turn("assistant", draw(st.just("") | solid), made), *results]


@st.composite
def fit_examples(draw, name):
    """What the format must be able to carry, by all that its documentation says."""
    found, said = ALL[name], []
    if "system" in found.rules.roles and draw(st.booleans()):
        said.append(Turn("system", draw(solid)))
    for number in range(1 if found.rules.single_turn else draw(st.integers(1, 3))):
        said.append(Turn("user", draw(solid)))
        if found.rules.tools and draw(st.booleans()):
            called = draw(tool_rounds(number))
            said += (
                called[:2]
                if found.rules.alternates and len(called) == 2
                else []
                if found.rules.alternates
                else called
            )
        said.append(Turn("assistant", draw(solid)))
    ending = found.rules.ends or {said[-2].role}
    messages = said[:-1] if said[-2].role in ending else [*said, Turn("user", draw(solid))]
    answer, rejected = draw(st.lists(solid, min_size=2, max_size=2, unique=True))
    item = of(
        found.kind,
        messages,
        answer=answer,
        **({"rejected": rejected} if found.kind is ExampleKind.PREFERENCE else {}),
        **({"desirable": draw(st.booleans())} if found.kind is ExampleKind.LABELLED else {}),
        tools=draw(st.lists(definitions, max_size=2)) if found.rules.tools else (),
    )
    reserved = found.rules.reserved
    assume(not reserved or not any(reserved.search(said.content) for said in (*messages, Turn("", answer))))
    return item


QUESTION = (Turn("user", "Where is my order?"),)
TALK = (Turn("system", "Be brief."), Turn("user", "Hello"), Turn("assistant", "Hi"), *QUESTION)
TOOL = (
    '{"type": "function", "function": {"name": "find", "parameters": {"type": "object", "properties": {}}}}'
)
CALL = ToolCall("aB3dE6gH9", "find", '{"order": 7}')
USED = (*QUESTION, Turn("assistant", "", (CALL,)), Turn("tool", "shipped", tool_call_id=CALL.id))
LABEL = {
    ExampleKind.DEMONSTRATION: {},
    ExampleKind.PREFERENCE: {"rejected": "No idea."},
    ExampleKind.LABELLED: {"desirable": False},
}


def of(kind, messages=QUESTION, **fields):
    return example(kind, messages, **(LABEL[kind] | fields))


def carried(name, item):
    """What is expected to come back: TRL keeps arguments as an object, Mistral renames ids, the rest keeps all."""

    def told(call):
        arguments = json.dumps(json.loads(call.arguments)) if name.startswith("trl") else call.arguments
        return replace(
            call, id=mistral_call_id(call.id) if name == "mistral" else call.id, arguments=arguments
        )

    def turn(said):
        id_ = said.tool_call_id
        calls_ = tuple(told(call) for call in said.tool_calls)
        return replace(
            said, tool_calls=calls_, tool_call_id=mistral_call_id(id_) if name == "mistral" and id_ else id_
        )

    return replace(
        item,
        messages=tuple(turn(said) for said in item.messages),
        tools=tuple(json.dumps(json.loads(tool)) for tool in item.tools),
    )


@pytest.mark.parametrize("name", ALL)
@given(item=examples())
def test_what_is_written_is_valid_and_reads_back_as_it_was_and_the_rest_is_skipped_with_a_reason(name, item):
    outcome = ALL[name].write(item)

    if isinstance(outcome, Skipped):
        assert outcome.reason
        assert list(ALL[name].lines([item])) == []
        assert ALL[name].skipped([item]) == {outcome.reason: 1}
    else:
        assert "\n" not in outcome
        assert ALL[name].line_faults(outcome) == []
        assert ALL[name].line_faults(f"{outcome}\n".encode()) == []
        assert carried(name, ALL[name].read_line(outcome)) == carried(name, content_of(item))


@pytest.mark.parametrize("name", ALL)
@given(data=st.data())
def test_all_that_a_format_can_carry_is_written_and_comes_back_whole(name, data):
    item = data.draw(fit_examples(name))

    outcome = ALL[name].write(item)

    assert isinstance(outcome, str), outcome
    assert ALL[name].line_faults(outcome) == []
    assert carried(name, ALL[name].read_line(outcome)) == carried(name, content_of(item))


@pytest.mark.parametrize("name", ALL)
def test_a_file_of_enough_examples_has_no_problem(name):
    made = [of(ALL[name].kind, (Turn("user", f"Order {number}?"),)) for number in range(40)]
    lines = list(ALL[name].lines(made))

    assert len(lines) == 40
    assert ALL[name].validate(lines) == []
    assert ALL[name].validate([f"{line}\n".encode() for line in lines], split="validation") == []


@pytest.mark.parametrize("name", sorted(ALL.keys() - ONE_TURN))
def test_a_system_prompt_and_earlier_turns_survive(name):
    item = of(ALL[name].kind, TALK)

    assert ALL[name].read_line(ALL[name].write(item)) == content_of(item)


@pytest.mark.parametrize("name", sorted(ONE_TURN))
def test_a_format_of_one_turn_skips_a_conversation(name):
    item = of(ALL[name].kind, TALK[1:])

    assert ALL[name].skipped([item]).total() == 1


@pytest.mark.parametrize("name", sorted(WITH_TOOLS))
def test_tools_their_calls_and_results_survive(name):
    kind = ALL[name].kind
    messages = USED if name != "openai-rft" else (*USED, Turn("assistant", "Shipped."), *QUESTION)
    item = of(kind, messages, tools=[TOOL])

    assert ALL[name].read_line(ALL[name].write(item)) == content_of(item)


@pytest.mark.parametrize("name", sorted(ALL.keys() - WITH_TOOLS))
def test_a_format_without_tools_skips_their_definitions_and_calls_and_never_drops_them(name):
    defined, used = of(ALL[name].kind, tools=[TOOL]), of(ALL[name].kind, USED)

    assert all("tool" in reason or "turn" in reason for reason in ALL[name].skipped([defined, used]))
    assert ALL[name].skipped([defined, used]).total() == 2


@pytest.mark.parametrize("name", ALL)
def test_an_example_of_another_kind_is_skipped_and_the_reason_says_what_is_taken(name):
    others = [of(kind) for kind in ExampleKind if kind is not ALL[name].kind]

    assert ALL[name].skipped(others).total() == 2
    assert all(TEACHES[ALL[name].kind] in reason for reason in ALL[name].skipped(others))


@pytest.mark.parametrize("name", ALL)
def test_half_a_character_is_never_written(name):
    assert isinstance(ALL[name].write(of(ALL[name].kind, answer="broken \ud800")), Skipped)


@pytest.mark.parametrize("name", ALL)
@given(
    raw=st.binary(max_size=60)
    | st.text(max_size=60).map(lambda text: json.dumps({"messages": text}).encode())
)
def test_any_bytes_are_a_valid_line_or_a_told_fault_and_never_a_crash(name, raw):
    found = ALL[name].line_faults(raw)

    assert found
    assert all(fault.reason and fault.remedy for fault in found)
    with pytest.raises(InputFileError, match="Not a line of"):
        ALL[name].read_line(raw)


def put(value, path, new):
    if not path:
        return new
    copy = value.copy()
    copy[path[0]] = put(value[path[0]], path[1:], new)
    return copy


def paths(value, here=()):
    yield here
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from paths(item, (*here, key))


junk = st.sampled_from(
    [None, True, -1, 2, "", " ", [], {}, [{}], {"a": 1}, [["x"]], {"role": "user"}, "assistant"]
)


@pytest.mark.parametrize("name", ALL)
@given(data=st.data())
def test_a_line_with_anything_in_it_changed_is_checked_without_a_crash_and_reads_when_nothing_is_found(
    name, data
):
    messages = USED if name in WITH_TOOLS - {"openai-rft"} else QUESTION
    fields = {"tools": [TOOL]} if name in WITH_TOOLS else {}
    row = json.loads(ALL[name].write(of(ALL[name].kind, messages, **fields)))
    path = data.draw(st.sampled_from(sorted(paths(row), key=repr)[1:]))
    changed = json.dumps(put(row, path, data.draw(junk)))

    if not ALL[name].line_faults(changed):
        ALL[name].read_line(changed)


@pytest.mark.parametrize("name", ALL)
def test_a_key_that_the_format_does_not_know_is_a_fault(name):
    row = json.loads(ALL[name].write(of(ALL[name].kind))) | {"surprise": 1}

    assert name == "openai-rft" or [fault.where for fault in ALL[name].line_faults(json.dumps(row))] == [
        "surprise"
    ]


def test_the_catalogue_names_each_format_once_and_an_unknown_one_is_refused_with_the_known():
    assert [found.name for found in FORMATS.values()] == list(FORMATS)
    assert all(re.fullmatch(r"[a-z]+(-[a-z]+)*", name) for name in FORMATS)
    assert set(WRITERS) <= set(FORMATS)
    assert list(writer("alpaca")([of(ExampleKind.DEMONSTRATION)])) == list(
        find("alpaca").lines([of(ExampleKind.DEMONSTRATION)])
    )
    with pytest.raises(ConfigurationError, match="there are: alpaca, bedrock-claude"):
        find("parquet")
