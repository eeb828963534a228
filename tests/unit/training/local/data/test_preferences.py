import json

import pytest

from gateway_tuning.errors import InputFileError
from gateway_tuning.training.local.data.preferences import read_labelled, read_pairs

PROMPT = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Where is it?"}]
CALL = {"id": "1", "type": "function", "function": {"name": "find", "arguments": {}}}
TOOLED = [
    *PROMPT,
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "content": "there", "tool_call_id": "1"},
]


def _said(text):
    return [{"role": "assistant", "content": text}]


PAIR = {"prompt": PROMPT, "chosen": _said("Here."), "rejected": _said("No idea.")}
LABELLED = {"prompt": PROMPT, "completion": _said("Here."), "label": False}
READERS = {"a preference pair": (read_pairs, PAIR), "a labelled answer": (read_labelled, LABELLED)}


@pytest.fixture
def file_of(tmp_path):
    def write(*rows):
        path = tmp_path / "train.jsonl"
        path.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows))
        return path

    return write


def _texts(chat):
    return [(message.role, message.content) for message in chat.messages]


def test_both_answers_of_a_pair_follow_the_same_prompt(file_of):
    (pair,) = read_pairs(file_of(PAIR, ""))
    assert (
        _texts(pair.chosen)[:-1]
        == _texts(pair.rejected)[:-1]
        == [
            ("system", "Be brief."),
            ("user", "Where is it?"),
        ]
    )
    assert (pair.chosen.answer, pair.rejected.answer) == ("Here.", "No idea.")


def test_a_labelled_answer_keeps_its_label(file_of):
    found = read_labelled(file_of(LABELLED, LABELLED | {"label": True}))
    assert [line.desirable for line in found] == [False, True]
    assert found[0].chat.answer == "Here."


def test_plain_text_is_a_user_s_message_and_its_answer(file_of):
    (pair,) = read_pairs(file_of({"prompt": "Where?", "chosen": "Here.", "rejected": "No."}))
    assert _texts(pair.chosen) == [("user", "Where?"), ("assistant", "Here.")]


@pytest.mark.parametrize(("reader", "row"), READERS.values(), ids=READERS)
def test_lines_with_tools_are_left_out_and_still_counted(file_of, reader, row):
    tooled = row | {"prompt": TOOLED}
    declared = row | {"tools": [{"type": "function", "function": {"name": "find"}}]}
    assert [line is None for line in reader(file_of(row, tooled, declared))] == [False, True, True]


@pytest.mark.parametrize("what", READERS)
@pytest.mark.parametrize(
    "change",
    [
        "not json",
        {"prompt": []},
        {"prompt": [{"role": "robot", "content": "secret words"}]},
        {"chosen": _said(""), "completion": _said("")},
        {
            "chosen": [*_said("a"), *_said("secret words")],
            "completion": [*_said("a"), *_said("secret words")],
        },
        {"rejected": None, "label": "yes"},
    ],
)
def test_a_line_of_another_form_is_named_without_its_words(file_of, what, change):
    reader, row = READERS[what]
    bad = change if isinstance(change, str) else row | change
    with pytest.raises(InputFileError, match=rf"train\.jsonl line 2 is not {what}") as refusal:
        reader(file_of(row, bad))
    assert "secret words" not in str(refusal.value)
