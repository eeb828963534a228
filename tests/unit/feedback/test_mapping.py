import json
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway_tuning.errors import ConfigurationError
from gateway_tuning.feedback.mapping import Mapping, Rejected, apply, load_mapping
from gateway_tuning.feedback.record import FeedbackRecord, FeedbackType, Message
from gateway_tuning.feedback.shaping import short_reason

WHEN = "2026-10-01T08:00:00Z"
ROW = {"id": "1", "type": "thumbs_up", "prompt": "Why?", "response": "Because.", "timestamp": WHEN}
RATED = {
    "explode": ["rating", "feedback"],
    "prompt": "question",
    "response": "passage.reference.text",
    "type": {
        "path": "rating",
        "map": {
            "Excellent": {"type": "thumbs_up", "satisfaction_score": 1},
            "Bad": {"type": "thumbs_down", "satisfaction_score": -1},
        },
    },
    "comment": "feedback",
    "conversation_id": {"template": "{passage.source} — {question} {index}"},
    "timestamp": {"value": WHEN},
    "metadata": {"page": "passage.pages.1.title", "kind": {"value": "faq"}},
}
RATED_ROW = {
    "question": "What?",
    "passage": {"source": "WHO", "reference": {"text": "That."}, "pages": [{"title": "a"}, {"title": "b"}]},
    "rating": ["Excellent", "Bad"],
    "feedback": ["good", "poor"],
}


def mapping(**document):
    return Mapping.model_validate(document)


def only(found):
    (outcome,) = found
    return outcome


def reasons(row, how=None):
    outcome = only(apply(how, row))
    assert isinstance(outcome, Rejected)
    return list(outcome.reasons)


def written(tmp_path, text):
    path = tmp_path / "mapping.yaml"
    path.write_text(text)
    return path


def test_without_a_mapping_a_row_is_a_record():
    record = only(
        apply(None, ROW | {"metadata": {"a": 1, "b": None, "c": True}, "user_id": 17, "comment": ""})
    )

    assert record == FeedbackRecord(**ROW, metadata={"a": "1", "c": "true"}, user_id="17")


def test_structured_fields_may_be_json_text_as_csv_has_them():
    row = ROW | {
        "metadata": '{"a": "b"}',
        "user_context": '["likes tents"]',
        "history": '[{"role": "user", "content": "Hi"}]',
        "request": '{"prompt_tokens": 3, "parameters": {"temperature": 0.5}, "session_id": ""}',
        "satisfaction_score": "0.5",
        "corrected_response": "",
    }

    record = only(apply(None, row))

    assert record.metadata == {"a": "b"}
    assert record.user_context == ("likes tents",)
    assert record.history == (Message(role="user", content="Hi"),)
    assert (record.request.prompt_tokens, record.request.parameters) == (3, {"temperature": "0.5"})
    assert (record.request.session_id, record.corrected_response, record.satisfaction_score) == (
        None,
        None,
        0.5,
    )


def test_parallel_lists_become_one_record_an_element():
    first, second = apply(mapping(**RATED), RATED_ROW)

    assert (first.type, first.satisfaction_score, first.comment) == (FeedbackType.THUMBS_UP, 1.0, "good")
    assert (second.type, second.satisfaction_score, second.comment) == (
        FeedbackType.THUMBS_DOWN,
        -1.0,
        "poor",
    )
    assert (first.conversation_id, second.conversation_id) == ("WHO — What? 0", "WHO — What? 1")
    assert first.prompt == second.prompt == "What?"
    assert first.response == "That."
    assert first.metadata == {"page": "b", "kind": "faq"}
    assert first.timestamp == datetime(2026, 10, 1, 8, tzinfo=UTC)


def test_ids_come_from_the_row_and_the_place_in_it():
    once = [record.id for record in apply(mapping(**RATED), RATED_ROW)]
    again = [record.id for record in apply(mapping(**RATED), dict(reversed(RATED_ROW.items())))]
    other = [record.id for record in apply(mapping(**RATED), RATED_ROW | {"question": "Who?"})]

    assert once == again
    assert len({*once, *other}) == 4


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"feedback": ["good"]}, "Exploded lists differ in length: rating has 2, feedback has 1"),
        ({"feedback": "good"}, "To be exploded, feedback must be a list: 'good'"),
        ({"feedback": None}, "To be exploded, feedback must be a list: None"),
        ({"rating": [], "feedback": []}, "Exploded lists are empty"),
    ],
)
def test_lists_that_cannot_be_exploded_together_reject_the_row(changes, reason):
    assert reasons(RATED_ROW | changes, mapping(**RATED)) == [reason]


def test_a_value_that_the_map_does_not_know_rejects_that_element_alone():
    sound, rejected = apply(mapping(**RATED), RATED_ROW | {"rating": ["Bad", "Superb"]})

    assert isinstance(sound, FeedbackRecord)
    assert rejected.reasons == ("The value map of rating has no such entry: 'Superb'",)
    assert rejected.raw["rating"] == "Superb"
    assert rejected.raw["index"] == 1


@pytest.mark.parametrize(
    ("entries", "found"),
    [
        (
            "1: thumbs_up, 0.5: text",
            [(1, "thumbs_up"), (1.0, "thumbs_up"), ("1", "thumbs_up"), (0.5, "text")],
        ),
        ("true: thumbs_up, Yes: text", [(True, "thumbs_up"), ("true", "thumbs_up"), ("Yes", "text")]),
        ("No: text, false: thumbs_down", [("No", "text"), (False, "thumbs_down")]),
    ],
)
def test_numbers_booleans_and_yes_are_found_in_value_maps(tmp_path, entries, found):
    document = f"prompt: q\nresponse: a\ntimestamp: t\ntype: {{path: ok, map: {{{entries}}}}}\n"
    how = load_mapping(written(tmp_path, document))

    for value, kind in found:
        assert only(apply(how, {"q": "Q", "a": "A", "t": WHEN, "ok": value})).type == kind


def test_what_a_row_does_not_hold_is_the_default_or_absent():
    how = mapping(
        type={"path": "kind", "default": "thumbs_down", "map": {"up": "thumbs_up"}},
        prompt="q",
        response={"template": "{a}{b.c}", "default": "nothing"},
        comment={"path": "deep.er"},
        timestamp={"value": WHEN},
    )

    record = only(apply(how, {"q": "Q", "a": "A", "deep": "text"}))

    assert (record.type, record.response, record.comment) == ("thumbs_down", "nothing", None)
    assert only(apply(how, {"q": "Q", "a": 1.0, "b": {"c": True}, "kind": "up"})).response == "1true"


def test_columns_may_have_dots_in_their_names_and_request_fields_are_dotted():
    how = mapping(
        type={"value": "thumbs_up"},
        prompt="chat.prompt",
        response="chat.answer",
        timestamp="at",
        **{"request.prompt_tokens": "usage.in", "request.session_id": "session"},
    )
    row = {"chat.prompt": "P", "chat": {"answer": "A"}, "usage": {"in": 7}, "session": "s", "at": WHEN}

    record = only(apply(how, row))

    assert (record.prompt, record.response) == ("P", "A")
    assert (record.request.prompt_tokens, record.request.session_id) == (7, "s")


def test_a_template_does_not_print_lists():
    how = mapping(**RATED | {"conversation_id": {"template": "{passage.pages}"}})

    assert only({outcome.reasons for outcome in apply(how, RATED_ROW)}) == (
        "A template takes plain values, passage.pages is a list",
    )


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"prompt": ["a"]}, "prompt does not fit: Input should be a valid string, found ['a']"),
        ({"prompt": None}, "prompt is missing"),
        ({"type": "smile"}, "Unknown feedback type: 'smile', known are thumbs_up, thumbs_down, text, "),
        ({"timestamp": "soon"}, "timestamp is no date and time: 'soon'"),
        ({"timestamp": None}, "timestamp is missing"),
        ({"satisfaction_score": True}, "satisfaction_score does not fit: "),
        ({"comment": b"caf\xe9"}, "comment is no valid UTF-8: b'caf\\xe9'"),
        ({"stars": 5}, "Unknown field: stars; rows of another shape need a mapping"),
        ({"history": [{"role": "bot", "content": "x"}]}, "history does not fit: "),
        ({"request": {"prompt_tokens": -1}}, "request does not fit: "),
        ({"metadata": "none"}, "metadata does not fit: "),
        ({"metadata": "[" * 900 + "]" * 900}, "metadata does not fit: "),
    ],
)
def test_a_row_that_does_not_fit_is_rejected_in_a_plain_sentence(changes, reason):
    (found,) = reasons(ROW | changes)

    assert found.startswith(reason)
    assert found.encode()
    assert short_reason(found) == short_reason(reason)


def test_every_misfit_of_a_row_is_named_and_the_rest_of_it_stays_known():
    rejected = only(apply(None, ROW | {"type": "smile", "timestamp": "soon", "prompt": "  "}))

    assert [short_reason(reason) for reason in rejected.reasons] == [
        "Unknown feedback type",
        "timestamp is no date and time",
    ]
    assert rejected.unsound == {"type", "timestamp"}
    assert rejected.sound.prompt == "  "
    assert rejected.feedback_id == "1"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("promt: q", "unknown field 'promt'; did you mean prompt?"),
        ("type: {path: r, map: {a: {score: 1}}}", "unknown field 'score'; did you mean satisfaction_score?"),
        ("tenant: {value: x}", "tenant is chosen by whoever imports"),
        ("prompt: {template: '{a'}", "prompt"),
        ("prompt: {template: '{a:>9}'}", "without formats"),
        ("prompt: {template: '{}'}", "without formats"),
        ("prompt: {path: a, value: b}", "exactly one of path, template and value"),
        ("prompt: {value: b, map: {a: b}}", "map needs a path"),
        ("prompt: {paht: a}", "paht"),
        ("prompt: a..b", "has an empty part"),
        ("prompt: 5", "prompt"),
        ("explode: [a, a]\nprompt: q", "different dotted paths"),
        (
            "type: {path: r, map: {a: {comment: x}}}\ncomment: c",
            "set by the value map of type and on its own",
        ),
        ("prompt: q\nmetadata: {a: {path: b, map: {c: {d: e}}}}", "only outside of metadata"),
        ("prompt: q\nprompt: r", "'prompt' stands twice"),
        ("- a\n- b", "must be a YAML object"),
        ("prompt: [", "cannot be read"),
        ("!!python/object/apply:os.getcwd []", "cannot be read"),
    ],
)
def test_a_mapping_that_cannot_work_is_an_error_that_names_the_place(tmp_path, text, says):
    with pytest.raises(ConfigurationError) as caught:
        load_mapping(written(tmp_path, text))

    assert "mapping.yaml" in str(caught.value)
    assert says in str(caught.value)


def test_a_missing_mapping_file_is_an_error(tmp_path):
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load_mapping(tmp_path / "none.yaml")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
FIELDS = st.sampled_from(sorted(FeedbackRecord.model_fields))


@settings(deadline=None, max_examples=200)
@given(changes=st.dictionaries(FIELDS | st.text(), json_values, max_size=4), base=st.sampled_from([{}, ROW]))
def test_any_row_is_a_record_or_rejected_with_clean_reasons(changes, base):
    outcome = only(apply(None, base | changes))

    if isinstance(outcome, Rejected):
        assert outcome.reasons
        assert all(reason.encode().isascii() or reason.encode() for reason in outcome.reasons)
        json.dumps(outcome.raw)


@settings(deadline=None, max_examples=100)
@given(row=st.dictionaries(st.sampled_from(["question", "passage", "rating", "feedback"]), json_values))
def test_any_row_under_a_mapping_is_at_least_one_outcome(row):
    assert apply(mapping(**RATED), row)
