"""Answers of a served model against the preferred ones, over real HTTP."""

import pytest
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

from gateway_tuning.datasets.example import Example, ExampleKind, Turn
from gateway_tuning.errors import ConfigurationError, ServingError
from gateway_tuning.settings import Settings
from gateway_tuning.training.job import TunedModel
from gateway_tuning.training.search.measuring import served, similarity
from gateway_tuning.training.search.plan import Objective
from tests.conftest import NOW
from tests.wire.server import running


@pytest.fixture(scope="module")
def echo():
    """Answers with the question; not to one that says so."""

    async def complete(request):
        body = await request.json()
        asked = body["messages"][-1]["content"]
        if "silence" in asked:
            return JSONResponse({"error": {"message": "no"}}, status_code=400)
        message = {"role": "assistant", "content": asked}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        return JSONResponse(
            {
                "id": "c",
                "object": "chat.completion",
                "created": 1,
                "model": body["model"],
                "choices": [choice],
            }
        )

    with running(Starlette(routes=[Route("/v1/chat/completions", complete, methods=["POST"])])) as url:
        yield f"{url}/v1"


def example(number, asked, answer):
    return Example(
        id=f"e{number}",
        kind=ExampleKind.DEMONSTRATION,
        messages=(Turn("user", asked),),
        answer=answer,
        rejected=None,
        desirable=None,
        feedback_ids=(f"f{number}",),
        feedback_types=("correction",),
        last_feedback_at=NOW,
        group_id=f"g{number}",
        split="validation",
    )


def measured(url, examples, tmp_path, **fields):
    objective = Objective(metric="similarity", base_url=url, **fields)
    tuned = TunedModel(served_model="tuned-1")
    with served(tuned, objective, name="t-0", settings=Settings(home=tmp_path)) as endpoint:
        assert endpoint.model == "tuned-1"
        return similarity(examples, endpoint, objective)


def test_similarity_is_the_mean_over_answers(echo, tmp_path):
    examples = [example(1, "the blue door", "the blue door"), example(2, "green", "red")]

    assert measured(echo, examples, tmp_path) == pytest.approx(0.5)


def test_answers_that_do_not_come_are_no_zeros(echo, tmp_path):
    examples = [example(1, "the blue door", "the blue door"), example(2, "silence", "red")]

    with pytest.raises(ServingError, match=r"1 of 2 validation answers of tuned-1 did not come .* resume"):
        measured(echo, examples, tmp_path)


def test_without_an_example_there_is_no_similarity(echo, tmp_path):
    assert measured(echo, [], tmp_path) is None


def test_a_model_that_is_served_nowhere_is_not_guessed_at(tmp_path):
    objective = Objective(metric="similarity")

    with (
        pytest.raises(ConfigurationError, match=r"set objective\.base_url"),
        served(TunedModel(served_model="m"), objective, name="t", settings=Settings(home=tmp_path)),
    ):
        pass
