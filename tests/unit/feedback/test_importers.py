"""What the exports of other tools become, value by value; the rules that all of them keep are a contract."""

import json
import random
import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from gateway_tuning.cli import app
from gateway_tuning.errors import ConfigurationError
from gateway_tuning.feedback.importers import catalog
from gateway_tuning.feedback.importers.chat import answer_text, request_fields
from gateway_tuning.feedback.importers.opinion import satisfaction
from gateway_tuning.feedback.importers.protocol import SetAside, UnfitError
from gateway_tuning.feedback.importers.scales import Scale, Scales, load_scales
from gateway_tuning.feedback.importers.spool import Spool
from gateway_tuning.feedback.mapping import apply
from gateway_tuning.feedback.reading import RawRow
from gateway_tuning.feedback.record import Message

SAMPLES = Path(__file__).parents[2] / "samples"


def read(tool, path=None, scales=None):
    own = load_scales(SAMPLES / tool / "scales.yaml") if scales is None else scales
    return list(catalog.importer(tool)(path or SAMPLES / tool / "export", own))


def records(tool, path=None, scales=None):
    rows = [row for row in read(tool, path, scales) if isinstance(row, RawRow)]
    return {record.id: record for row in rows for record in apply(None, row.value)}


def reasons(tool, path=None, scales=None):
    rows = [row for row in read(tool, path, scales) if isinstance(row, SetAside)]
    return {row.feedback_id: row.reason.partition(": ")[0] for row in rows}


def write(path, *rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_a_langfuse_score_has_the_texts_user_session_and_figures_of_its_trace():
    record = records("langfuse")["langfuse:s-helpful"]

    assert (record.type, record.satisfaction_score) == ("thumbs_up", 1.0)
    assert (record.prompt, record.response) == ("Where is my parcel?", "It arrives on Friday.")
    assert (
        record.system_prompt == "You help customers of a shop."
    )  # the generation knows it, the trace does not
    assert (record.user_id, record.conversation_id, record.deployment) == (
        "customer-1",
        "visit-1",
        "gpt-4.1-mini",
    )
    assert (record.request.prompt_tokens, record.request.response_tokens) == (41, 9)
    assert record.request.processing_time_ms == 1250
    assert record.timestamp.isoformat() == "2026-10-02T09:15:00.125000+00:00"


def test_langfuse_history_keeps_tool_calls_and_results():
    record = records("langfuse")["langfuse:s-lamp"]

    assert [turn.role for turn in record.history] == ["user", "assistant", "tool", "assistant"]
    (call,) = record.history[1].tool_calls
    assert call.name == "stock"
    assert record.history[2] == Message(role="tool", content='{"left": 3}', tool_call_id=call.id)


def test_calls_of_tools_after_the_prompt_are_turns_and_one_without_an_id_is_told_as_text():
    call = {"id": "c1", "type": "function", "function": {"name": "stock", "arguments": '{"item": "lamp"}'}}
    fields = request_fields(
        [
            {"role": "user", "content": "Any lamps left?"},
            {"role": "assistant", "content": None, "tool_calls": [call, {"function": {"name": "price"}}]},
            {"role": "tool", "tool_call_id": "c1", "content": "3"},
            {"role": "tool", "tool_call_id": "gone", "content": "9 EUR"},
        ]
    )

    assert fields["prompt"] == "Any lamps left?"
    assert fields["turns"] == [
        {
            "role": "assistant",
            "content": '{"tool_call": {"arguments": null, "name": "price"}}',
            "tool_calls": [{"id": "c1", "name": "stock", "arguments": '{"item": "lamp"}'}],
        },
        {"role": "tool", "content": "3", "tool_call_id": "c1"},
        {"role": "tool", "content": "9 EUR"},
    ]


def test_langfuse_score_types_become_what_they_say():
    found = records("langfuse")

    assert {id_.removeprefix("langfuse:"): (r.type, r.satisfaction_score) for id_, r in found.items()} == {
        "s-helpful": ("thumbs_up", 1.0),
        "s-lamp": ("thumbs_down", -1.0),
        "s-stars": ("thumbs_down", -0.5),  # 2 of 1 to 5, by its score config
        "s-tone": ("thumbs_down", -0.5),
        "s-text": ("text", None),
        "s-judge": ("automatic_evaluation", 0.8),
        "s-hallucination": ("automatic_evaluation", -1.0),  # worst is 1
        "s-correction": ("correction", None),
    }
    assert found["langfuse:s-correction"].corrected_response.startswith("You get the money back")
    assert found["langfuse:s-text"].comment == "It never said how long the refund takes."
    assert found["langfuse:s-tone"].metadata["annotator"] == "reviewer-7"


def test_langfuse_says_why_a_score_is_set_aside():
    assert reasons("langfuse") == {
        "langfuse:s-session": "Score is on a session",
        "langfuse:s-orphan": "Its trace is not in the export",
        "langfuse:s-unscaled": "Score has no known scale",
    }


def test_the_verdict_of_an_evaluator_needs_its_good_end_stated():
    unscaled = reasons("langfuse", scales=Scales())

    assert unscaled["langfuse:s-hallucination"] == "Score has no known scale"
    assert unscaled["langfuse:s-judge"] == "Score has no known scale"
    assert unscaled["langfuse:s-tone"] == "Score category has no known meaning"


def test_a_langfuse_score_that_changed_replaces_its_older_version(tmp_path):
    trace = {"id": "t", "input": "Hello?", "output": "Hello."}
    score = {
        "id": "s",
        "traceId": "t",
        "name": "n",
        "dataType": "BOOLEAN",
        "source": "API",
        "timestamp": 1790935200,
    }
    old = {**score, "value": 1, "updatedAt": "2026-10-02T10:00:00.000Z"}
    new = {**score, "value": 0, "updatedAt": "2026-10-02T11:00:00.000Z"}

    first, second = (row.value for row in read("langfuse", write(tmp_path / "a.jsonl", trace, old, new)))

    assert first["id"] == second["id"]
    assert first["revision"] < second["revision"]


def test_of_a_langfuse_trace_exported_twice_the_later_counts_in_any_order(tmp_path):
    old = {"id": "t", "input": "Hi", "output": None, "updated_at": "2026-10-02 10:00:00.000000"}
    new = {"id": "t", "input": "Hi", "output": "Hello.", "updated_at": "2026-10-02 10:00:05.000000"}
    score = {"id": "s", "trace_id": "t", "name": "n", "data_type": "BOOLEAN", "source": "API", "value": 1}

    for rows in ((old, new, score), (score, new, old)):
        (row,) = read("langfuse", write(tmp_path / "a.jsonl", *rows))
        assert row.value["response"] == "Hello."


def test_a_single_trace_of_the_langfuse_api_brings_its_scores_along(tmp_path):
    path = tmp_path / "trace.json"
    score = {
        "id": "s",
        "name": "n",
        "dataType": "BOOLEAN",
        "source": "API",
        "value": 0,
        "timestamp": 1790935200,
    }
    observation = {
        "id": "o",
        "traceId": "t",
        "type": "GENERATION",
        "input": "Hi",
        "output": "No.",
        "model": "m",
    }
    path.write_text(json.dumps({"id": "t", "tags": [], "observations": [observation], "scores": [score]}))

    record = records("langfuse", path)["langfuse:s"]

    assert (record.type, record.response, record.deployment) == ("thumbs_down", "No.", "m")


def test_tensorzero_feedback_has_the_texts_and_figures_of_its_inference():
    record = next(r for r in records("tensorzero").values() if r.metadata.get("metric_name") == "thumbs")

    assert (record.type, record.prompt, record.response) == (
        "thumbs_up",
        "Do you ship abroad?",
        "Yes, to twelve countries.",
    )
    assert (record.user_id, record.deployment, record.request.prompt_tokens) == ("customer-9", "mini_v2", 30)
    assert record.timestamp.isoformat() == "2026-10-02T10:03:20+00:00"  # of the UUIDv7
    assert "user_id" not in record.metadata


def test_tensorzero_feedback_on_an_episode_is_on_its_last_answer():
    record = next(r for r in records("tensorzero").values() if r.metadata.get("metric_name") == "solved")

    assert (record.response, record.metadata["level"]) == ("A damp cloth takes them off.", "episode")
    assert [turn.role for turn in record.history] == ["user", "assistant", "tool", "assistant"]
    assert record.request.response_tokens is None  # one call of it is not known


def test_tensorzero_templates_are_read_as_the_model_got_them():
    record = next(r for r in records("tensorzero").values() if r.request.client_application == "templated")

    assert (record.system_prompt, record.prompt) == ("You sell chairs.", "Tell me about delivery.")


def test_tensorzero_demonstrations_are_corrections_in_text_and_in_json():
    found = [record for record in records("tensorzero").values() if record.type == "correction"]

    assert [record.corrected_response for record in found] == [
        "Wipe it with a damp cloth, then oil it.",
        '{"topic": "damage"}',
    ]


def test_tensorzero_metrics_follow_their_scales():
    found = {
        r.metadata["metric_name"]: r for r in records("tensorzero").values() if "metric_name" in r.metadata
    }

    assert found["stars"].satisfaction_score == 0.5
    off_topic = found["tensorzero::evaluation_name::faults::evaluator_name::off_topic"]
    assert (off_topic.type, off_topic.satisfaction_score) == ("automatic_evaluation", -1.0)
    assert sorted(reasons("tensorzero").values()) == [
        "Its inference or episode is not in the export",
        "Score has no known scale",
        "Score lies outside its scale",
    ]


def test_tensorzero_tables_in_parquet_read_as_in_json_lines(tmp_path):
    for file in sorted((SAMPLES / "tensorzero" / "export").glob("*.jsonl")):
        rows = [json.loads(line) for line in file.read_text().splitlines()]
        columns = {
            name: pa.array(
                [list(row[name].items()) for row in rows] if name == "tags" else [row[name] for row in rows],
                pa.map_(pa.string(), pa.string()) if name == "tags" else None,
            )
            for name in rows[0]
        }
        pq.write_table(pa.table(columns), tmp_path / f"{file.stem}.parquet")

    assert records("tensorzero", tmp_path) == records("tensorzero")


def test_openai_completions_carry_their_feedback_in_the_metadata():
    found = records("openai")
    tea, egg = found["openai:chatcmpl-tea00001"], found["openai:chatcmpl-egg00001"]

    assert (tea.type, tea.comment, tea.user_id) == ("thumbs_up", "Short and right.", "guest-1")
    assert (tea.system_prompt, tea.prompt) == ("You teach cooking.", "How long does green tea brew?")
    assert tea.metadata == {"feature": "recipes"}
    assert (egg.type, egg.corrected_response, egg.satisfaction_score) == (
        "correction",
        "Six minutes, for a soft yolk.",
        -0.5,
    )
    assert egg.timestamp.isoformat() == "2026-10-03T08:00:00+00:00"
    assert sorted(reasons("openai").values()) == [
        "Answer calls a tool",
        "Answer has several choices",
        "Its messages are not in the export",
        "Training chat must not be learned from",
    ]


def test_openai_training_files_are_approved_chats_and_corrected_answers():
    found = {record.prompt: record for record in records("openai").values()}

    assert (found["What is a roux?"].type, found["What is a roux?"].response) == (
        "thumbs_up",
        "Flour cooked in fat.",
    )
    simmer = found["How hot is a simmer?"]
    assert (simmer.type, simmer.response) == ("correction", "Very hot.")
    assert simmer.corrected_response == "Just below the boil, about 90 degrees."


def test_litellm_logs_carry_feedback_in_metadata_tags_and_scores():
    found = {id_.rpartition(":")[2]: record for id_, record in records("litellm").items()}

    assert {id_: (record.type, record.satisfaction_score) for id_, record in found.items()} == {
        "chatcmpl-train001": ("thumbs_up", 1.0),
        "chatcmpl-ferry001": ("thumbs_down", -1.0),
        "chatcmpl-muse0001": ("thumbs_up", 1.0),  # 3 of 1 to 3
        "s-bus": ("thumbs_down", -1.0),
    }
    museum = found["chatcmpl-muse0001"]
    assert (museum.prompt, museum.user_id, museum.conversation_id) == (
        "When is the museum closed?",
        "traveller-2",
        "trip-1",
    )
    assert found["chatcmpl-train001"].timestamp.isoformat() == "2026-10-02T10:05:00+00:00"
    assert found["chatcmpl-train001"].request.processing_time_ms == 1500
    assert found["s-bus"].comment == "It is line four."
    assert sorted(reasons("litellm").values()) == [
        "Its request is not in the export",
        "Log holds no messages or no response",
        "Request failed",
    ]


@pytest.mark.parametrize(
    ("value", "scale", "expected"),
    [
        (5, Scale(worst=1, best=5), 1.0),
        (3, Scale(worst=1, best=5), 0.0),
        (0, Scale(worst=1, best=0), 1.0),
        (-1.0, Scale(worst=-1, best=1), -1.0),
        ("good", Scale(categories={"good": 0.7}), 0.7),
    ],
)
def test_a_score_runs_linearly_from_its_worst_to_its_best(value, scale, expected):
    assert satisfaction("s", value, scale) == expected


@pytest.mark.parametrize("value", [0.99, 5.01, float("nan"), float("inf")])
def test_a_score_outside_its_scale_is_never_clipped(value):
    with pytest.raises(UnfitError, match="outside its scale"):
        satisfaction("s", value, Scale(worst=1, best=5))


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("s: {worst: 1}", "s: give both worst and best"),
        ("s: {worst: 1, best: 1}", "must differ"),
        ("s: {}", "give worst and best, or categories"),
        ("s: {categories: {good: 2}}", "between -1 and 1"),
        ("- s", "Scales"),
        ("s: [", "cannot be read"),
    ],
)
def test_scales_that_cannot_work_are_refused_with_their_place(tmp_path, text, fault):
    path = tmp_path / "scales.yaml"
    path.write_text(text)

    with pytest.raises(ConfigurationError, match=fault):
        load_scales(path)


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        ([{"role": "system", "content": "Be kind."}], "holds no user message"),
        ([{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}], "not text alone"),
        ([{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "?"}], "goes on after"),
        ({"question": "Hi", "language": "en"}, "is no chat"),
        (
            {"system": {"shop": "a"}, "messages": [{"role": "user", "content": "Hi"}]},
            "arguments of a template",
        ),
    ],
)
def test_a_request_that_a_record_cannot_hold_is_told(request_, reason):
    with pytest.raises(UnfitError, match=reason):
        request_fields(request_, unwrap=True)


def test_json_that_is_no_chat_is_an_answer_in_json():
    assert answer_text('{"answer": "yes"}') == '{"answer": "yes"}'
    assert answer_text({"answer": "yes"}) == '{"answer": "yes"}'
    assert answer_text('{"answer": "yes"}', unwrap=True) == "yes"


def test_what_a_model_thought_is_no_part_of_its_answer():
    blocks = [{"type": "thought", "text": "hm"}, {"type": "text", "text": "Yes."}]

    assert answer_text(blocks) == "Yes."


def test_a_spool_gives_back_what_it_was_given_in_order():
    keys = [f"k{number}" for number in range(200)]
    random.Random(1).shuffle(keys)
    with Spool() as spool:
        for key in keys:
            spool.keep("row", key, {"key": key, "half": "\ud83d"}, group=key[:2])
            spool.add_statement(RawRow("a", key, {"key": key}))

        assert spool.kept() == 200
        assert spool.find("row", "k7") == {"key": "k7", "half": "\ud83d"}
        assert spool.find("row", "\ud83d") is None
        assert spool.find("other", "k7") is None
        assert [row["key"] for row in spool.group("row", "k0")] == ["k0"]
        assert [row.position for row in spool.statements()] == keys


def test_a_disk_without_room_is_told_with_its_remedy():
    with Spool() as spool:
        spool._database.execute("PRAGMA max_page_count=20")

        with pytest.raises(ConfigurationError, match=r"disk is full.*set SQLITE_TMPDIR"):
            spool.keep("row", "k", {"text": "x" * 1_000_000})


def test_the_command_line_imports_by_the_tool_and_its_scales(tmp_path, monkeypatch):
    monkeypatch.setenv("GATEWAY_TUNING_HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "200")
    path, scales = SAMPLES / "langfuse" / "export", SAMPLES / "langfuse" / "scales.yaml"

    told = CliRunner().invoke(
        app, ["feedback", "import", str(path), "--from", "langfuse", "--scales", str(scales)]
    )
    both = CliRunner().invoke(
        app,
        [
            "feedback",
            "import",
            str(path),
            "--from",
            "langfuse",
            "--mapping",
            "tests/mappings/feedbackqa.yaml",
        ],
    )
    unknown = CliRunner().invoke(app, ["feedback", "import", str(path), "--from", "langsmith"])

    assert re.search(r"imported +8\b", told.output)
    assert re.search(r"Its trace is not in the export +1\b", told.output)
    assert (both.exit_code, unknown.exit_code) == (1, 1)
    assert "leave out the mapping" in both.output
    assert "No importer 'langsmith'" in unknown.output
