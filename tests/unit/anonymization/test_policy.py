import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_tuning.anonymization.policy import (
    Action,
    AnonymizationPolicy,
    check_entities,
    find_denied,
    parse_policy,
)
from gateway_tuning.errors import ConfigurationError


def denied(text, *words):
    policy = AnonymizationPolicy(deny=words)
    return [(text[span.start : span.end], span.entity) for span in find_denied(text, policy.deny)]


def test_what_a_policy_does_not_name_has_the_default_action():
    policy = AnonymizationPolicy(default_action="pseudonym", actions={"LOCATION": "keep"})

    assert policy.action_for("LOCATION") is Action.KEEP
    assert policy.action_for("PERSON") is Action.PSEUDONYM
    assert AnonymizationPolicy().action_for("PERSON") is Action.PLACEHOLDER


def test_equal_policies_have_one_json_in_whatever_order_they_were_written():
    actions, words, allowed = {"PERSON": "keep", "EMAIL_ADDRESS": "pseudonym"}, ["b", "a"], ["y", "x", "x"]
    texts = {
        AnonymizationPolicy(actions=dict(order), deny=deny, allow=allow).model_dump_json()
        for order in itertools.permutations(actions.items())
        for deny in itertools.permutations(words)
        for allow in itertools.permutations(allowed)
    }

    assert len(texts) == 1
    assert parse_policy(texts.pop(), name="p") == AnonymizationPolicy(
        actions=actions, deny=words, allow=allowed
    )


def test_a_policy_cannot_be_changed():
    with pytest.raises(ValueError, match="frozen"):
        AnonymizationPolicy().numbers = "mask"


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ('{"actions": {"PERSON": "hide"}}', "p.json: actions.PERSON: Input should be 'placeholder'"),
        ('{"actions": {"full name": "keep"}}', "use capitals, digits and _ as in PHONE_NUMBER"),
        ('{"acts": {}}', "p.json: acts: Extra inputs are not permitted"),
        (
            '{"deny": ["Falcon"], "allow": ["falcon "]}',
            "'Falcon' is denied and allowed; leave it in one list",
        ),
        ('{"deny": ["--"]}', "give a word with a letter or a digit"),
        ('{"deny": [{"text": "x", "entity": "a b"}]}', "deny.0.entity"),
        ('{"numbers": "mask", "actions": {"NUMBER": "keep"}}', "NUMBER is kept; drop one of the two"),
        ('{"score_threshold": 2}', "score_threshold: Input should be less than or equal to 1"),
        ("{", "p.json: policy: Invalid JSON"),
    ],
)
def test_a_policy_that_cannot_work_is_refused_with_its_file_and_field(body, told):
    with pytest.raises(ConfigurationError) as caught:
        parse_policy(body, name="p.json")

    assert told in str(caught.value)


def test_an_action_for_what_nothing_looks_for_is_refused():
    policy = AnonymizationPolicy(
        actions={"PERSN": "drop_record", "PROJECT": "pseudonym"}, deny=[{"text": "x", "entity": "PROJECT"}]
    )

    with pytest.raises(
        ConfigurationError, match="action for PERSN, which nothing looks for; known are NUMBER, PERSON"
    ):
        check_entities(policy, ["PERSON"])


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (
            "Project  FALCON, falcon's",
            [("Project  FALCON", "PROJECT"), ("FALCON", "CUSTOM"), ("falcon", "CUSTOM")],
        ),
        ("falcons and falconry", []),
        ("cafe\u0301", [("cafe\u0301", "CUSTOM")]),
        ("C++ and c++", [("C++", "CUSTOM"), ("c++", "CUSTOM")]),
    ],
)
def test_denied_words_are_found_in_any_case_spacing_and_composition_as_words_of_their_own(text, found):
    assert sorted(
        denied(text, "Falcon", {"text": "project falcon", "entity": "PROJECT"}, "caf\u00e9", "C++")
    ) == sorted(found)


@given(st.text(), st.text(min_size=1).filter(lambda word: any(map(str.isalnum, word))), st.text())
def test_a_denied_word_between_spaces_is_found_in_any_text(before, word, after):
    word = " ".join(word.split())
    text = f"{before} {word} {after}"

    spans = [(span.start, span.end) for span in find_denied(text, AnonymizationPolicy(deny=[word]).deny)]

    assert any(start <= len(before) + 1 and len(before) + 1 + len(word) <= end for start, end in spans)
