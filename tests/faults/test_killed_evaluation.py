"""kill -9 in the middle of an evaluation, again and again: what was stored is asked of nobody twice."""

import os
import signal
import time
import traceback
from dataclasses import replace
from datetime import UTC, datetime

import pytest

pytest.importorskip("openai", reason="the openai extra is not installed")

from gateway_tuning.datasets.example import Example, ExampleKind, Turn
from gateway_tuning.evaluation.evaluate import Stores, System, evaluate
from gateway_tuning.evaluation.judging.store import JudgementStore
from gateway_tuning.evaluation.running.store import PredictionStore
from gateway_tuning.evaluation.scored import Role
from gateway_tuning.evaluation.settings import EvaluationSettings
from gateway_tuning.registry.endpoint import Endpoint
from gateway_tuning.storage.database import open_database
from tests.wire.chat import Chat
from tests.wire.server import running

pytestmark = pytest.mark.slow

CONCURRENCY = 4
REQUESTS_A_RUN = 35  # after which it is killed
SETTINGS = EvaluationSettings(concurrency=CONCURRENCY, metrics=("similarity",), resamples=1_000, slices=())
EXAMPLES = [
    Example(
        id=f"ex{number:03}",
        kind=ExampleKind.DEMONSTRATION,
        messages=(Turn("user", f"question {number} of some words"),),
        answer=f"answer {number} of some words",
        rejected=None,
        desirable=None,
        feedback_ids=(f"f{number}",),
        feedback_types=("correction",),
        last_feedback_at=datetime(2025, 1, 1, tzinfo=UTC),
        group_id=f"g{number}",
        split="test",
    )
    for number in range(40)
]


class Runs:
    """Of one evaluation, each in a process of its own, against a server that outlives them."""

    def __init__(self, url, chat, database_url):
        self.systems = [System(role, role.value, Endpoint(f"{url}/v1", f"m-{role.value}")) for role in Role]
        self.chat = chat
        self.database_url = database_url

    def evaluate(self, name="eval-1"):
        engine = open_database(self.database_url)
        stores = Stores(
            PredictionStore(engine, name, "default", "ds-1"), JudgementStore(engine, "default", "ds-1")
        )
        evaluation = evaluate(EXAMPLES, self.systems, SETTINGS, stores=stores)
        engine.dispose()
        return evaluation

    def kill_one(self):
        """A run, killed after so many requests; False when it came to its end before."""
        before = len(self.chat.asked)
        child = os.fork()
        if not child:
            try:
                self.evaluate()
            except BaseException:  # noqa: BLE001 - this process must not go on as a second pytest
                traceback.print_exc()
                os._exit(1)
            os._exit(0)
        while len(self.chat.asked) < before + REQUESTS_A_RUN:
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                assert os.WEXITSTATUS(status) == 0
                return False
            time.sleep(0.005)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        return True

    def settle(self):
        """Until the server has read what the dead have sent."""
        seen = -1
        while seen < len(self.chat.asked):
            seen = len(self.chat.asked)
            time.sleep(0.1)

    def stored(self):
        """What the server was asked, as prompt and model, whose answers are in the store."""
        engine = open_database(self.database_url)
        kept = PredictionStore(engine, "eval-1", "default", "ds-1").read()
        engine.dispose()
        prompts = {example.id: example.prompt for example in EXAMPLES}
        return {(prompts[example_id], f"m-{part}") for example_id, part in kept}


@pytest.fixture
def runs(engine):
    url = engine.url.render_as_string(hide_password=False)
    engine.dispose()  # no connection goes along into another process
    chat = Chat(says=lambda model, prompt: f"{prompt} {model}", delay_s=0.01)
    with running(chat) as address:
        yield Runs(address, chat, url)


def without_clock(evaluation):
    """Texts, errors, tokens and scores of everybody."""
    return [
        replace(one, answers={role: replace(answer, latency_ms=0) for role, answer in one.answers.items()})
        for one in evaluation.examples
    ]


def figures(evaluation):
    return [one for one in evaluation.result.comparisons if one.metric != "latency_ms"]


def test_killed_again_and_again_it_asks_nothing_twice_that_was_stored_and_comes_to_the_same_end(runs):
    asked, stored, kills = 0, set(), 0
    settled = {}
    while runs.kill_one():
        kills += 1
        runs.settle()
        now_stored = runs.stored()
        lost = len(runs.chat.asked) - asked - len(now_stored - stored)
        # Those under way at the kill: their answers had not come, or were not stored.
        assert 0 <= lost <= CONCURRENCY
        settled |= {key: runs.chat.times_asked[key] for key in now_stored - stored}
        asked, stored = len(runs.chat.asked), now_stored
    resumed = runs.evaluate()

    assert kills >= 2
    assert {key: runs.chat.times_asked[key] for key in settled} == settled
    assert len(runs.chat.asked) <= len(EXAMPLES) * len(Role) + kills * CONCURRENCY
    undisturbed = runs.evaluate("eval-2")
    assert without_clock(resumed) == without_clock(undisturbed)
    assert figures(resumed) == figures(undisturbed)
