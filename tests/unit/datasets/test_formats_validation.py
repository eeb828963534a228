"""What the validators say of files that a provider would refuse."""

import json
import re

import pytest

from gateway_tuning.datasets.example import Turn
from gateway_tuning.datasets.formats import FORMATS
from gateway_tuning.datasets.formats.format import Problem
from gateway_tuning.errors import InputFileError

USER, REPLY = {"role": "user", "content": "Where?"}, {"role": "assistant", "content": "Here."}
SYSTEM = {"role": "system", "content": "Be brief."}
CALL = {"id": "c1", "type": "function", "function": {"name": "find", "arguments": "{}"}}
CALLS = {"role": "assistant", "tool_calls": [CALL]}
RESULT = {"role": "tool", "content": "x", "tool_call_id": "c1"}
PAIR = {"input": {"messages": [USER]}, "preferred_output": [REPLY], "non_preferred_output": [REPLY | {"content": "No."}]}  # fmt: skip
NOVA = {
    "schemaVersion": "bedrock-conversation-2024",
    "messages": [
        {"role": "user", "content": [{"text": "Where?"}]},
        {"role": "assistant", "content": [{"text": "Here."}]},
    ],
}


def chat(*messages, **more):
    return {"messages": list(messages), **more}


def told(name, row):
    line = row if isinstance(row, bytes | str) else json.dumps(row)
    return [f"{fault.where}: {fault.reason}; {fault.remedy}" for fault in FORMATS[name].line_faults(line)]


ROWS = [
    # the line itself
    ("chat", b'{"messages": "\xff"}', "byte 15 of the line is not UTF-8"),
    ("chat", "\ufeff{}", "byte order mark"),
    ("chat", "\n", "line is empty"),
    ("chat", "{'messages': []}", "is not JSON at character 2"),
    ("chat", "[]", "JSON but no object"),
    ("chat", '{"messages": [], "messages": []}', "the key 'messages' twice"),
    ("openai-rft", '{"messages": [{"role": "user", "content": "q"}], "score": NaN}', "NaN, which is not JSON"),
    ("openai-rft", '{"messages": [{"role": "user", "content": "q"}], "score": 1e999}', "1e999, a number beyond"),
    ("openai-rft", '{"n": ' + "9" * 5000 + "}", "a number that cannot be read"),
    ("chat", '{"messages": [{"role": "user", "content": "\\ud83d"}]}', "half a character"),
    ("chat", '{"a":' * 100_000, "nested too deeply"),
    # keys and types
    ("openai-sft", {}, "messages: missing; add it"),
    ("openai-sft", chat(), "messages: list should have at least 1 item"),
    ("openai-sft", chat(USER, REPLY, tool=[]), "tool: unknown key; remove it"),
    ("openai-sft", chat(USER | {"weight": 1}, REPLY), "messages[0].weight: unknown key"),
    ("openai-sft", chat(USER, REPLY | {"weight": 0.5}), "messages[1].weight: should be 0 or 1"),
    ("openai-sft", chat(USER, REPLY | {"weight": True}), "messages[1].weight: should be 0 or 1"),
    ("openai-sft", chat(USER, REPLY | {"weight": 0}), "every answer has the weight 0"),
    ("openai-sft", chat({"role": "human", "content": "q"}, REPLY), "use one of the roles that are named"),
    ("openai-sft", chat({"content": "q"}, REPLY), "give the message a role"),
    ("openai-sft", chat(USER | {"content": ["q"]}, REPLY), "messages[0].content: should be a valid string"),
    # the conversation
    ("openai-sft", chat(USER, REPLY, USER), "the last message is not the assistant's"),
    ("openai-sft", chat(SYSTEM, REPLY), "no message of a user"),
    ("openai-sft", chat(USER | {"content": " "}, REPLY), "message 1: empty content"),
    ("openai-sft", chat(USER, {"role": "assistant"}), "empty answer"),
    ("openai-sft", chat(USER, CALLS, REPLY), "tool calls without a result; add one tool message for each call"),
    ("openai-sft", chat(USER, CALLS, USER, RESULT, REPLY), "message 4: a tool's result that answers no call"),
    ("openai-sft", chat(USER, RESULT, REPLY), "message 2: a tool's result that answers no call"),
    ("openai-sft", chat(USER, CALLS, RESULT, CALLS, RESULT, REPLY), "message 4: a tool call without an id of its own"),
    ("openai-sft", chat(USER, REPLY, tools=[{"name": "find"}]), "tool 1: a tool definition without a function's name"),
    ("openai-sft", chat(USER, REPLY, tools=[{"type": "function", "function": {"name": "a.b"}}]), "tool 1: a tool's name"),
    ("mistral", chat(USER, CALLS, RESULT, REPLY), "messages[1]: the id 'c1' of a tool call; use nine letters or digits"),
    ("mistral", chat(USER, SYSTEM, REPLY), "message 2: a system message that is not the first"),
    ("together-sft", chat(USER, USER, REPLY), "'user' is followed by 'user'; let user and assistant alternate"),
    # Claude
    ("bedrock-claude", chat(USER, REPLY, tools=[]), "tools: unknown key"),
    ("bedrock-claude", chat(SYSTEM, USER, REPLY), "messages[0].role: should be 'user' or 'assistant'"),
    ("bedrock-claude", chat(REPLY, USER, REPLY), "does not start with the user"),
    ("bedrock-claude", chat(USER, REPLY, REPLY), "'assistant' is followed by 'assistant'"),
    ("bedrock-claude", chat(USER), "at least 2 items"),
    ("bedrock-claude", chat(USER, REPLY | {"content": "a\nAssistant: b"}), "reserved text '\\nAssistant:'"),
    ("bedrock-claude", chat(USER, REPLY, system="a\nHuman: b"), "reserved text '\\nHuman:'"),
    # Nova and Llama
    ("bedrock-nova", NOVA | {"schemaVersion": "1"}, "should be 'bedrock-conversation-2024'"),
    ("bedrock-nova", NOVA | {"system": [{"text": "You: System: x"}]}, "reserved text 'System:'"),
    ("bedrock-nova", NOVA | {"system": "Be brief."}, "system: should be a valid list"),
    ("bedrock-llama", {"prompt": "q", "completion": " "}, "empty answer"),
    ("bedrock-llama", {"prompt": "q", "completion": 1}, "completion: should be a valid string; write a text"),
    # pairs
    ("openai-dpo", PAIR | {"preferred_output": [REPLY, REPLY]}, "preferred_output: list should have at most 1 item"),
    ("openai-dpo", PAIR | {"preferred_output": [USER]}, "preferred_output[0].role: should be 'assistant'"),
    ("openai-dpo", PAIR | {"preferred_output": [CALLS]}, "preferred_output[0].content: missing"),
    ("openai-dpo", PAIR | {"non_preferred_output": [REPLY]}, "preferred and rejected answer are the same"),
    ("openai-dpo", PAIR | {"input": {"messages": [USER, REPLY]}}, "end with 'assistant'; end them with tool or user"),
    ("together-dpo", PAIR | {"input": {"messages": [USER], "tools": []}}, "input.tools: unknown key"),
    ("openai-rft", chat(USER, REPLY), "end with 'assistant'; end them with user"),
    # open formats
    ("trl-kto", {"prompt": "q", "completion": "a", "label": 1}, "label: should be a valid boolean; write true or false"),
    ("trl-dpo", {"prompt": "q", "chosen": "a"}, "rejected: missing"),
    ("sharegpt", {"conversations": [{"from": "user", "value": "q"}, {"from": "gpt", "value": "a"}]}, "'human' or 'gpt'"),
    ("sharegpt", {"conversations": [{"from": "human", "value": "q"}] * 2}, "does not end with 'gpt'"),
    ("alpaca", {"instruction": "q", "output": "a"}, "input: missing"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "row", "said"), ROWS, ids=range(len(ROWS)))
def test_a_line_that_the_provider_would_refuse_is_told_with_its_place_and_remedy(name, row, said):
    assert any(said in fault for fault in told(name, row)), told(name, row)


@pytest.mark.parametrize(
    ("name", "row"),
    [
        ("openai-sft", chat(SYSTEM, USER, REPLY, USER, REPLY | {"weight": 0}, USER, REPLY | {"weight": 1})),
        ("openai-sft", chat(USER, CALLS, tools=[{"type": "function", "function": {"name": "find"}}])),
        ("openai-sft", chat(USER | {"name": "anna"}, REPLY, parallel_tool_calls=False)),
        ("openai-rft", chat(USER, difficulty=3, labels=["a"])),
        ("bedrock-nova", NOVA),
        ("trl-sft", {"prompt": "q", "completion": "a"}),
        ("trl-dpo", {"prompt": "q", "chosen": "a", "rejected": "b"}),
        ("trl-kto", {"prompt": "q", "completion": "a", "label": False}),
        ("alpaca", {"instruction": "Translate.", "input": "chat", "output": "cat"}),
    ],
)
def test_what_the_provider_takes_and_we_never_write_is_no_fault(name, row):
    assert told(name, row) == []


def test_lines_of_others_are_read_for_what_they_say():
    alpaca = json.dumps({"instruction": "Translate.", "input": "chat", "output": "cat"})
    called = json.dumps(chat(USER, CALLS))
    unlearned = json.dumps(chat(USER, REPLY | {"weight": 1}, USER, REPLY | {"weight": 0}))
    no_ids = {
        "messages": [
            USER,
            {"role": "assistant", "tool_calls": [{"type": "function", "function": {"name": "a", "arguments": {"x": 1}}}]},
            {"role": "tool", "content": "1"},
            REPLY,
        ]
    }  # fmt: skip

    assert FORMATS["alpaca"].read_line(alpaca).messages == (Turn("user", "Translate.\nchat"),)
    assert FORMATS["openai-sft"].read_line(called).answer_calls[0].name == "find"
    assert FORMATS["openai-sft"].read_line(unlearned).learned is False
    read = FORMATS["trl-sft"].read_line(json.dumps(no_ids))
    assert read.messages[1].tool_calls[0].id == read.messages[2].tool_call_id
    assert read.messages[1].tool_calls[0].arguments == '{"x": 1}'


def test_a_line_of_another_format_is_refused_by_name():
    with pytest.raises(InputFileError, match=re.escape("Not a line of alpaca: instruction: missing; add it")):
        FORMATS["alpaca"].read_line(json.dumps(chat(USER, REPLY)))


def file_of(name, lines):
    row = {"openai-sft": chat(USER, REPLY), "fireworks-sft": chat(USER, REPLY), "bedrock-nova": NOVA}
    return [json.dumps(row.get(name, chat(USER, REPLY)))] * lines


@pytest.mark.parametrize(
    ("name", "split", "lines", "said"),
    [
        ("openai-sft", "train", 9, ["9 lines, at least 10 are needed"]),
        ("openai-sft", "train", 10, []),
        ("openai-sft", "validation", 1, []),
        ("openai-sft", "validation", 0, ["0 lines, at least 1 are needed"]),
        ("bedrock-claude", "train", 31, ["31 lines, at least 32 are needed"]),
        ("bedrock-claude", "train", 10_001, ["10,001 lines, at most 10,000 are taken"]),
        ("bedrock-claude", "validation", 1_001, ["1,001 lines, at most 1,000 are taken"]),
        ("bedrock-nova", "train", 7, ["7 lines, at least 8 are needed"]),
        ("fireworks-sft", "train", 2, ["2 lines, at least 3 are needed"]),
        ("chat", "train", 0, ["0 lines, at least 1 are needed"]),
    ],
)
def test_the_number_of_lines_is_checked_against_the_providers_limits(name, split, lines, said):
    problems = FORMATS[name].validate(file_of(name, lines), split=split)

    assert [(problem.line, problem.problem) for problem in problems] == [(None, text) for text in said]


def test_a_problem_names_its_line_and_the_lines_after_it_are_still_checked():
    lines = [*file_of("openai-sft", 10), "", json.dumps(chat(USER)), *file_of("openai-sft", 1), "{"]

    problems = FORMATS["openai-sft"].validate(lines)

    assert [problem.line for problem in problems] == [11, 12, 14]
    assert problems[1] == Problem(
        12, "the last message is not the assistant's", "end with the answer to be learned"
    )


def test_a_file_that_is_too_large_is_told_with_its_bytes():
    class Endless(bytes):
        __slots__ = ()

        def __len__(self):
            return 600 * 10**6

    problems = FORMATS["openai-sft"].validate([*file_of("openai-sft", 10), Endless(b"{}")])

    assert problems[-1].problem.endswith("bytes, at most 512,000,000 are taken")


def test_a_line_that_may_be_too_long_is_told_as_an_estimate():
    faults = FORMATS["bedrock-claude"].line_faults(json.dumps(chat(USER | {"content": "é" * 60_000}, REPLY)))

    assert [fault.reason for fault in faults] == ["longer than 32,000 tokens by estimate"]
    assert faults[0].where == "about 40,030 tokens"
    assert "1 token for 3 bytes" in faults[0].remedy


@pytest.mark.parametrize(
    ("name", "given", "said"),
    [
        ("openai-sft", "support-2026", []),
        ("openai-sft", "x" * 65, ["shorten it to 64"]),
        ("openai-sft", "a\nb", ["use any text without control characters"]),
        ("together-sft", "x" * 64, []),
        ("bedrock-nova", "support-2026_b", []),
        ("bedrock-nova", "x" * 64, ["shorten it to 63"]),
        ("bedrock-nova", "two words", ["use letters and digits, with single - or _ between them"]),
        ("bedrock-claude", "", ["use letters and digits, with single - or _ between them"]),
        ("alpaca", "anything at all", []),
    ],
)
def test_the_name_of_a_job_is_checked_by_the_providers_rule(name, given, said):
    assert [problem.remedy for problem in FORMATS[name].name_problems(given)] == said


def test_the_name_of_a_file_is_checked_where_the_provider_looks_at_it():
    assert FORMATS["openai-sft"].file_name_problems("train.json") == [
        Problem(None, "file name 'train.json'", "end the name with .jsonl")
    ]
    assert FORMATS["openai-sft"].file_name_problems("train.jsonl") == []
    assert FORMATS["alpaca"].file_name_problems("train.json") == []
