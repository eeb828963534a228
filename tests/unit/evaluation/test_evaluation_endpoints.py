"""Against a real HTTP server that answers from what it is asked; the official client talks to it."""

import asyncio
import dataclasses
import json
import threading
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import pytest

pytest.importorskip("openai", reason="the openai extra is not installed")

from gateway_tuning.datasets.example import Example, ExampleKind, Turn
from gateway_tuning.errors import ConfigurationError
from gateway_tuning.evaluation.evaluate import choose, evaluate, predictions_table
from gateway_tuning.evaluation.predict import predict, predict_sync
from gateway_tuning.evaluation.report import render_html, render_markdown
from gateway_tuning.evaluation.settings import EvaluationSettings
from gateway_tuning.registry.endpoint import Endpoint


class Handler(BaseHTTPRequestHandler):
    """Model `echo` repeats the last turn, `half` its first half, `broken` fails, `mute` has no text."""

    seen: ClassVar[list[dict]] = []
    keys: ClassVar[list[str]] = []

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.seen.append(asked)
        self.keys.append(self.headers["Authorization"])
        words = asked["messages"][-1]["content"].split()
        text = {"echo": " ".join(words), "half": " ".join(words[: len(words) // 2]), "mute": None}.get(
            asked["model"], ""
        )
        body = {
            "id": "1",
            "object": "chat.completion",
            "created": 0,
            "model": asked["model"],
            "choices": [
                {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
            ],
            "usage": {"prompt_tokens": len(words), "completion_tokens": 1, "total_tokens": len(words) + 1},
        }
        if asked["model"] == "bare":
            body["usage"] = None
        broken = asked["model"] == "broken" or "unanswerable" in words
        payload = json.dumps({"error": {"message": "context too long"}} if broken else body).encode()
        self.send_response(400 if broken else 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    def log_message(self, *_):
        """Keep the test output clean."""


@pytest.fixture
def server():
    Handler.seen.clear()
    Handler.keys.clear()
    running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=running.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{running.server_port}/v1"
    running.shutdown()
    running.server_close()


def example(number: int, text: str = "", kind: ExampleKind = ExampleKind.DEMONSTRATION) -> Example:
    prompt = text or f"one two three four {number}"
    return Example(
        id=f"ex{number:03}",
        kind=kind,
        messages=(Turn("system", "Be kind"), Turn("user", prompt)),
        answer=prompt,
        rejected=None,
        desirable=None,
        feedback_ids=(f"f{number}",),
        feedback_types=("correction",),
        last_feedback_at=datetime(2025, 1, 1, tzinfo=UTC),
        group_id=f"g{number}",
        split="test",
    )


def test_predictions_come_in_order_with_tokens_and_the_whole_conversation_is_sent(server):
    conversations = [example(number).messages for number in range(20)]
    endpoint = Endpoint(server, "echo", {"lora": [{"id": 0, "scale": 1}]})

    predictions = predict_sync(endpoint, conversations, concurrency=7, max_tokens=5, seed=3)

    assert [prediction.text for prediction in predictions] == [turns[-1].content for turns in conversations]
    assert {(p.error, p.prompt_tokens, p.completion_tokens) for p in predictions} == {(None, 5, 1)}
    assert all(prediction.latency_ms > 0 for prediction in predictions)
    [first] = [asked for asked in Handler.seen if asked["messages"][-1]["content"].endswith("four 0")]
    assert first["messages"][0] == {"role": "system", "content": "Be kind"}
    assert (first["lora"], first["max_tokens"], first["seed"], first["temperature"]) == (
        [{"id": 0, "scale": 1}],
        5,
        3,
        0,
    )


def test_an_unknown_token_count_is_none(server):
    [prediction] = predict_sync(Endpoint(server, "bare"), [example(1).messages])

    assert (prediction.text, prediction.prompt_tokens, prediction.completion_tokens) == ("", None, None)


def test_a_failed_answer_carries_its_reason():
    async def nobody_listens():
        return await predict(Endpoint("http://127.0.0.1:9/v1", "echo"), [example(1).messages], timeout_s=2)

    [prediction] = asyncio.run(nobody_listens())

    assert prediction.text is None
    assert prediction.error == "APIConnectionError: Connection error."


def test_an_answer_without_text_and_a_refused_request_are_failures(server):
    [mute] = predict_sync(Endpoint(server, "mute"), [example(1).messages])
    [refused] = predict_sync(Endpoint(server, "broken"), [example(1).messages])

    assert mute.error == "The answer has no text (stop)"
    assert "BadRequestError" in refused.error
    assert "context too long" in refused.error


def test_the_key_is_read_from_the_named_variable_and_its_absence_is_told(server, monkeypatch):
    endpoint = Endpoint(server, "echo", api_key_env="SOME_MODEL_KEY")
    monkeypatch.setenv("SOME_MODEL_KEY", "s3cret")

    predict_sync(endpoint, [example(1).messages])

    assert Handler.keys == ["Bearer s3cret"]
    monkeypatch.delenv("SOME_MODEL_KEY")
    with pytest.raises(ConfigurationError, match="SOME_MODEL_KEY, which is not set"):
        predict_sync(endpoint, [example(1).messages])


def test_a_better_candidate_has_an_interval_above_zero(server):
    evaluation = evaluate(
        [example(number) for number in range(30)],
        Endpoint(server, "echo"),
        Endpoint(server, "half"),
        EvaluationSettings(),
    )

    result = evaluation.result
    assert result.state == "scored"
    assert (result.candidate.similarity, result.candidate.accuracy) == (1.0, 1.0)
    assert result.baseline.similarity == pytest.approx(0.4)
    assert result.similarity.low > 0
    assert result.accuracy.mean == 1.0
    assert len(result.best) == len(result.worst) == len(result.most_changed) == 5
    assert json.loads(json.dumps(dataclasses.asdict(result)))["candidate"]["n"] == 30
    rows = predictions_table(evaluation, "ds-1").to_pylist()
    assert len(rows) == 60
    assert {(row["system"], row["model"]) for row in rows} == {("candidate", "echo"), ("baseline", "half")}
    assert all(row["similarity"] == 1.0 for row in rows if row["system"] == "candidate")


def test_a_failed_answer_of_the_candidate_counts_as_zero_and_as_an_error(server):
    examples = [example(number) for number in range(9)] + [example(9, "unanswerable question")]

    result = evaluate(
        examples, Endpoint(server, "echo"), Endpoint(server, "bare"), EvaluationSettings()
    ).result

    assert result.candidate.errors == 1
    assert result.candidate.similarity == pytest.approx(0.9)
    assert result.worst[0].candidate_answer is None
    assert "context too long" in result.worst[0].candidate_error


def test_a_broken_baseline_makes_the_comparison_invalid_not_the_candidate_better(server):
    examples = [example(number) for number in range(10)]

    result = evaluate(
        examples, Endpoint(server, "echo"), Endpoint(server, "broken"), EvaluationSettings()
    ).result

    assert result.state == "invalid"
    assert "10 of 10 baseline answers failed" in result.reasons[0]
    assert "invalid" in render_markdown(result)


def test_a_split_without_demonstrations_is_no_data(server):
    examples = [example(1, kind=ExampleKind.PREFERENCE)]

    evaluation = evaluate(examples, Endpoint(server, "echo"), Endpoint(server, "half"), EvaluationSettings())

    assert evaluation.result.state == "no_data"
    assert evaluation.result.candidate.similarity is None
    assert evaluation.result.similarity.mean is None
    assert predictions_table(evaluation, "ds-1").num_rows == 0
    assert "Nothing was evaluated" in render_html(evaluation.result)


def test_both_systems_take_turns_in_going_first(server):
    evaluate(
        [example(number) for number in range(4)],
        Endpoint(server, "echo"),
        Endpoint(server, "half"),
        EvaluationSettings(concurrency=1),
    )

    assert [asked["model"] for asked in Handler.seen] == [
        "echo",
        "half",
        "half",
        "echo",
        "echo",
        "half",
        "half",
        "echo",
    ]


def test_the_choice_of_examples_does_not_depend_on_their_order():
    examples = [example(number) for number in range(50)]
    settings = EvaluationSettings(max_examples=10)

    assert choose(examples, settings) == choose(examples[::-1], settings)
    assert len(choose(examples, settings)) == 10
    assert choose(examples, EvaluationSettings(max_examples=10, seed=1)) != choose(examples, settings)


def test_the_page_escapes_what_people_wrote_and_loads_nothing(server):
    examples = [example(1, "<script>alert(1)</script> & more"), example(2)]

    page = render_html(
        evaluate(examples, Endpoint(server, "echo"), Endpoint(server, "half"), EvaluationSettings()).result
    )

    assert "<script" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; more" in page
    assert "http" not in page.replace("http-equiv", "")
    assert "prefers-color-scheme: dark" in page
