from gateway_tuning.training.local.data.batches import TokenizedChat
from gateway_tuning.training.local.data.examples import mismatched


def _chat(prompt, answer):
    return TokenizedChat((*prompt, *answer), len(prompt))


def _answers(chats):
    return [chat.tokens[chat.answer_start :] for chat in chats]


def test_each_prompt_gets_the_answer_before_it_in_a_circle():
    found = mismatched([_chat((1, 1), (7,)), _chat((2,), (8, 8)), _chat((3,), (9,))], 100)
    assert _answers(found) == [(9,), (7,), (8, 8)]
    assert [chat.tokens[: chat.answer_start] for chat in found] == [(1, 1), (2,), (3,)]


def test_no_prompt_gets_an_answer_to_itself_where_there_is_another_prompt():
    chats = [_chat((1,), (5,)), _chat((2,), (7,)), _chat((2,), (8,)), _chat((2,), (9,)), _chat((1,), (6,))]
    assert _answers(mismatched(chats, 100)) == [(9,), (5,), (5,), (5,), (9,)]


def test_with_a_single_prompt_the_answers_still_move_on():
    assert _answers(mismatched([_chat((1,), (5,)), _chat((1,), (6,))], 100)) == [(6,), (5,)]


def test_a_mismatched_answer_is_cut_to_what_fits():
    found = mismatched([_chat((1, 1, 1), (7,)), _chat((2,), (8, 8, 8))], 4)
    assert _answers(found) == [(8,), (7,)]


def test_of_no_chats_there_are_no_mismatched_ones():
    assert mismatched([], 4) == []
