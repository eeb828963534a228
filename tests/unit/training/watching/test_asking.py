import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_tuning.errors import NotFoundError, ProviderError, ProviderUnavailableError
from gateway_tuning.training.watching.asking import Line
from gateway_tuning.training.watching.circuit import COOLDOWN_S, FAILURES, Circuit
from gateway_tuning.training.watching.pace import FAR_AWAY, Pace
from tests.unit.training.watching.scripted import Clock, unavailable


class Questions:
    """Answers with each of these in turn, and counts how often it was asked."""

    def __init__(self, *answers):
        self.answers, self.asked = list(answers), 0

    def __call__(self):
        self.asked += 1
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


@given(st.integers(0, 10_000), st.floats(0, 1, exclude_max=True))
def test_a_wait_stays_between_its_bounds_however_often_it_was_drawn(n, draw):
    assert FAR_AWAY.least_s <= FAR_AWAY.wait(n, draw) <= FAR_AWAY.longest_s


def test_waits_double_up_to_the_longest_and_jitter_takes_all_of_it():
    pace = Pace(first_s=1, longest_s=10)

    assert [pace.wait(n, 1.0) for n in range(6)] == [1, 2, 4, 8, 10, 10]
    assert pace.wait(5, 0.0) == 0


def test_silence_is_asked_again_until_there_is_an_answer(clock):
    question = Questions(unavailable(), unavailable(), "yes")

    assert Line("far", Circuit(), clock.time).ask(question) == "yes"
    assert clock.waits == [0.5, 1.0]


@pytest.mark.parametrize("answer", [ProviderError("422: too few examples"), NotFoundError("no job")])
def test_a_refusal_is_final_at_once(clock, answer):
    question = Questions(answer)

    with pytest.raises(type(answer)):
        Line("far", Circuit(), clock.time).ask(question)
    assert question.asked == 1


def test_nobody_is_asked_before_the_time_they_named(clock):
    Line("far", Circuit(), clock.time).ask(Questions(unavailable(retry_after_s=40), "yes"))

    assert clock.seconds == pytest.approx(40)


def test_a_pause_longer_than_the_patience_is_told_and_not_waited_for(clock):
    with pytest.raises(ProviderUnavailableError, match=r"asked again in \d+ s.*not lost"):
        Line("far", Circuit(), clock.time).ask(Questions(unavailable(retry_after_s=86_400)))
    assert clock.seconds < 10


def test_an_outage_is_waited_out_for_so_long_and_no_longer(clock):
    line = Line("far", Circuit(), clock.time, longest_outage_s=900)

    with pytest.raises(ProviderUnavailableError, match="no answer"):
        line.ask(Questions(unavailable()))
    assert 300 < clock.seconds <= 900


def test_after_failures_in_a_row_the_circuit_opens_and_lets_one_probe_through(clock):
    circuit = Circuit()
    for _ in range(FAILURES):
        assert circuit.wait(0) == 0
        circuit.failed(0)

    assert circuit.wait(0) == COOLDOWN_S
    assert circuit.wait(COOLDOWN_S) == 0
    assert circuit.wait(COOLDOWN_S) > 0
    circuit.answered()
    assert circuit.wait(COOLDOWN_S) == 0


def test_each_probe_that_fails_doubles_the_pause():
    circuit, now, pauses = Circuit(), 0.0, []
    for _ in range(FAILURES + 3):
        now += circuit.wait(now)
        circuit.failed(now)
        pauses.append(circuit.wait(now))

    assert pauses[-4:] == [COOLDOWN_S, 2 * COOLDOWN_S, 4 * COOLDOWN_S, 8 * COOLDOWN_S]


def test_a_refusal_closes_the_circuit_for_the_provider_is_there(clock):
    circuit = Circuit()
    line = Line("far", circuit, clock.time)
    with pytest.raises(ProviderError):
        line.ask(Questions(*[unavailable()] * FAILURES, ProviderError("403")))

    assert circuit.is_closed


def test_an_open_circuit_spares_the_provider_the_questions_of_others():
    clock, circuit = Clock(), Circuit()
    down, other = Questions(unavailable()), Questions(unavailable())
    with pytest.raises(ProviderUnavailableError):
        Line("far", circuit, clock.time).ask(down)

    with pytest.raises(ProviderUnavailableError):
        Line("far", circuit, clock.time, longest_outage_s=10).ask(other)

    assert other.asked == 0
