"""The lines of every format against the shapes that the providers document."""

import json

import pytest
from pydantic import TypeAdapter

from gateway_tuning.datasets.example import Example, ExampleKind, ToolCall, Turn
from gateway_tuning.datasets.formats import FORMATS
from gateway_tuning.datasets.formats.format import Skipped
from gateway_tuning.datasets.formats.services import mistral_call_id
from gateway_tuning.training.local.data.chats import read_chats
from tests.conftest import NOW

SYSTEM, QUESTION = Turn("system", "Be brief."), Turn("user", "Where is it?")
TALK = (SYSTEM, Turn("user", "Hello"), Turn("assistant", "Hi"), QUESTION)
TOOL = '{"type": "function", "function": {"name": "find"}}'
USED = (
    QUESTION,
    Turn("assistant", "", (ToolCall("call_1", "find", '{"order":7}'),)),
    Turn("tool", "shipped", tool_call_id="call_1"),
)


def example(messages=(SYSTEM, QUESTION), kind=ExampleKind.DEMONSTRATION, **fields):
    return Example(
        **{
            "id": "e1", "kind": kind, "messages": tuple(messages), "answer": "Here.",
            "rejected": "No." if kind is ExampleKind.PREFERENCE else None,
            "desirable": False if kind is ExampleKind.LABELLED else None,
            "feedback_ids": ("f1",), "feedback_types": ("correction",), "last_feedback_at": NOW,
            "group_id": "g1", "split": "train",
        }
        | fields
    )  # fmt: skip


ASKED = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Where is it?"}]
REPLY = {"role": "assistant", "content": "Here."}
CHAT = {"messages": [*ASKED, REPLY]}
WEIGHTED = {"messages": [*ASKED, REPLY | {"weight": 1}]}
PAIR = {
    "input": {"messages": ASKED},
    "preferred_output": [REPLY],
    "non_preferred_output": [{"role": "assistant", "content": "No."}],
}
CONVERSE = {
    "schemaVersion": "bedrock-conversation-2024",
    "system": [{"text": "Be brief."}],
    "messages": [
        {"role": "user", "content": [{"text": "Where is it?"}]},
        {"role": "assistant", "content": [{"text": "Here."}]},
    ],
}
LINES = {
    "chat": CHAT,
    "openai-sft": WEIGHTED,
    "openai-dpo": PAIR,
    "openai-rft": {"messages": ASKED, "reference_answer": "Here."},
    "bedrock-claude": {"system": "Be brief.", "messages": [ASKED[1], REPLY]},
    "bedrock-nova": CONVERSE,
    "bedrock-llama-converse": CONVERSE,
    "mistral": CHAT,
    "together-sft": WEIGHTED,
    "together-dpo": PAIR,
    "fireworks-sft": WEIGHTED,
    "fireworks-dpo": PAIR,
    "trl-sft": CHAT,
    "trl-dpo": {
        "prompt": ASKED,
        "chosen": [REPLY],
        "rejected": [{"role": "assistant", "content": "No."}],
    },
    "trl-kto": {"prompt": ASKED, "completion": [REPLY], "label": False},
    "sharegpt": {
        "conversations": [
            {"from": "system", "value": "Be brief."},
            {"from": "human", "value": "Where is it?"},
            {"from": "gpt", "value": "Here."},
        ]
    },
}
LINES_OF_ONE_TURN = {
    "bedrock-llama": {"prompt": "Where is it?", "completion": "Here."},
    "alpaca": {"instruction": "Where is it?", "input": "", "output": "Here."},
}


def row(name, item):
    outcome = FORMATS[name].write(item)
    assert isinstance(outcome, str), outcome
    return json.loads(outcome)


@pytest.mark.parametrize("name", LINES)
def test_a_line_is_as_the_provider_documents_it(name):
    assert row(name, example(kind=FORMATS[name].kind)) == LINES[name]


@pytest.mark.parametrize("name", LINES_OF_ONE_TURN)
def test_a_line_of_one_turn_is_as_documented(name):
    assert row(name, example((QUESTION,))) == LINES_OF_ONE_TURN[name]


def test_every_format_of_the_catalogue_has_its_documented_line_here():
    assert LINES.keys() | LINES_OF_ONE_TURN.keys() == FORMATS.keys()


@pytest.mark.parametrize("name", LINES)
def test_the_system_key_is_left_out_where_there_is_no_system_prompt(name):
    assert "system" not in row(name, example((QUESTION,), FORMATS[name].kind))


def test_the_bytes_of_the_local_trainers_format_stay_as_they_were(tmp_path):
    line = FORMATS["chat"].write(example((Turn("user", "Où est-il ? \u2028"),), answer='"Là"\n'))
    file = tmp_path / "train.jsonl"
    file.write_text(f"{line}\n", encoding="utf-8")

    assert line == (
        '{"messages": [{"role": "user", "content": "Où est-il ? \u2028"}, '
        '{"role": "assistant", "content": "\\"Là\\"\\n"}]}'
    )
    assert read_chats(file)[0].answer == '"Là"\n'


@pytest.mark.parametrize("name", ["openai-sft", "together-sft", "fireworks-sft"])
def test_only_the_approved_answer_is_learned_where_weights_can_say_so(name):
    weights = [message.get("weight") for message in row(name, example(TALK))["messages"]]

    assert weights == [None, None, 0, None, 1]


def test_openai_tools_calls_and_results_are_as_documented():
    assert row("openai-sft", example(USED, tools=(TOOL,))) == {
        "messages": [
            {"role": "user", "content": "Where is it?"},
            {
                "role": "assistant",
                "tool_calls": [
                    {"id": "call_1", "type": "function", "function": {"name": "find", "arguments": '{"order":7}'}}
                ],
                "weight": 0,
            },
            {"role": "tool", "content": "shipped", "tool_call_id": "call_1"},
            REPLY | {"weight": 1},
        ],
        "tools": [{"type": "function", "function": {"name": "find"}}],
    }  # fmt: skip


def test_trl_holds_the_arguments_of_a_call_as_an_object():
    called = row("trl-sft", example(USED, tools=(TOOL,)))["messages"][1]["tool_calls"][0]

    assert called["function"] == {"name": "find", "arguments": {"order": 7}}


def test_mistral_gets_call_ids_of_nine_letters_and_digits_that_still_belong_together():
    called = row("mistral", example(USED))["messages"]

    assert called[1]["tool_calls"][0]["id"] == called[2]["tool_call_id"] == mistral_call_id("call_1")
    assert mistral_call_id("call_1") == "RksXkbv4v"  # the same in every export
    assert mistral_call_id("TX92Jm8Zi") == "TX92Jm8Zi"


@pytest.mark.parametrize("messages", [TALK, USED])
@pytest.mark.parametrize("name", ["openai-sft", "fireworks-sft", "together-sft", "mistral"])
def test_the_sdk_of_openai_takes_the_messages_and_tools_that_are_written(name, messages):
    from openai.types.chat import ChatCompletionMessageParam, ChatCompletionToolUnionParam

    told = row(name, example(messages, tools=(TOOL,)))

    read = TypeAdapter(list[ChatCompletionMessageParam]).validate_python(told["messages"])
    assert [message["role"] for message in read] == [message["role"] for message in told["messages"]]
    assert TypeAdapter(list[ChatCompletionToolUnionParam]).validate_python(told["tools"]) == told["tools"]


@pytest.mark.parametrize(
    ("name", "item", "reason"),
    [
        ("alpaca", example(), "role 'system', which the format cannot carry"),
        ("alpaca", example(TALK[1:]), "several turns, and the format carries one"),
        ("bedrock-claude", example(answer="Sure.\nHuman: more"), "the reserved text '\\nHuman:'"),
        ("bedrock-nova", example(answer="Ask the BOT: now"), "the reserved text 'BOT:'"),
        ("bedrock-claude", example(tools=(TOOL,)), "tool definitions, which the format cannot carry"),
        ("bedrock-nova", example(USED), "tool calls, which the format cannot carry"),
        ("chat", example(USED), "tool calls, which the format cannot carry"),
        ("bedrock-claude", example((QUESTION, QUESTION)), "'user' is followed by 'user'"),
        ("bedrock-claude", example((QUESTION, SYSTEM, QUESTION)), "a system message that is not the first"),
        ("openai-rft", example(USED), "the messages before the answer end with 'tool'"),
        ("openai-sft", example((*USED[:2], QUESTION)), "tool calls without a result"),
        ("openai-sft", example((QUESTION, USED[2])), "a tool's result that answers no call"),
        ("openai-sft", example(tools=("{",)), "a tool definition that is no JSON object"),
        ("openai-sft", example(tools=(TOOL.replace("find", "shop.find"),)), "a tool's name that the format cannot carry"),
        ("openai-sft", example(answer=" \n"), "empty answer"),
        ("openai-sft", example((Turn("user", ""),)), "empty content"),
        ("openai-sft", example((QUESTION, Turn("assistant", "x"))), "a prompt that does not end with the user or a tool's result"),
        ("openai-sft", example(answer="long " * 50_000), "longer than 65,536 tokens by estimate"),
        ("bedrock-claude", example(answer="long " * 25_000), "longer than 32,000 tokens by estimate"),
        ("openai-dpo", example(kind=ExampleKind.PREFERENCE, rejected="Here."), "preferred and rejected answer are the same"),
        ("openai-dpo", example(kind=ExampleKind.PREFERENCE, rejected=None), "no rejected answer"),
        ("trl-kto", example(kind=ExampleKind.LABELLED, desirable=None), "no label"),
        ("chat", example(kind=ExampleKind.LABELLED), "labelled: chat takes demonstrations"),
    ],
)  # fmt: skip
def test_what_a_format_cannot_carry_is_skipped_with_its_reason(name, item, reason):
    assert FORMATS[name].write(item) == Skipped(reason)


def test_skipped_examples_are_counted_by_reason_beside_the_lines_of_the_others():
    made = [example(), example(USED), example(USED), example(kind=ExampleKind.PREFERENCE)]

    assert len(list(FORMATS["sharegpt"].lines(made))) == 1
    assert FORMATS["sharegpt"].skipped(made) == {
        "tool calls, which the format cannot carry": 2,
        "preference: sharegpt takes demonstrations": 1,
    }
