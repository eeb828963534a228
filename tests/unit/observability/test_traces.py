"""The loop as a trace: the same one from every process and every attempt."""

import os
import subprocess
import sys
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_tuning.cycles.cycle import Cycle, CycleOutcome, CycleStatus, Stage, StageResult
from gateway_tuning.observability.spans import (
    MOST_LINKS,
    canary_context,
    canary_span,
    cycle_context,
    cycle_span,
    feedback_context,
    feedback_span,
    stage_span,
)
from gateway_tuning.observability.traces import is_wanted, name_collector, open_tracing
from gateway_tuning.rollout.canary import Look, begin
from gateway_tuning.rollout.policy import CanaryPolicy
from tests.conftest import NOW
from tests.unit.observability.collector import collector, spans_of

VARIABLES = (
    "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_SDK_DISABLED", "OTEL_TRACES_EXPORTER",
    "OTEL_TRACES_SAMPLER", "OTEL_TRACES_SAMPLER_ARG",
)  # fmt: skip
CYCLE = Cycle(
    id="0a1b", tenant="default", model="assistant", plan_hash="p", plan={}, watermark=7, incumbent="v1",
    started_by="x", status=CycleStatus.FINISHED, outcome=CycleOutcome.PROMOTED, reasons=(), created_at=NOW,
    finished_at=NOW + timedelta(hours=1),
)  # fmt: skip
DATASET = Stage("dataset", StageResult(id="ds-1"), 12.5, NOW + timedelta(minutes=5))
CANARY = replace(
    begin(
        "canary-0a1b", tenant="default", model="assistant", candidate="v2", control="v1", policy=CanaryPolicy(),
        salt="s", now=NOW,
    ),
    state="promoted",
    finished_at=NOW + timedelta(minutes=50),
)  # fmt: skip
LOOK = Look("canary-0a1b", 1, NOW + timedelta(minutes=1), 0, 0.05, "hold", (), {})


@pytest.fixture(autouse=True)
def clean(monkeypatch):
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def send(monkeypatch):
    """Sends spans to a collector as a process would, and returns what came there, by name."""

    def send(*sent, **variables):
        with collector() as (address, bodies):
            monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", address)
            for name, value in variables.items():
                monkeypatch.setenv(name, value)
            tracing = open_tracing()
            tracing.send(sent)
            tracing.flush()
            tracing.close()
        return spans_of(bodies)

    return send


def test_a_cycle_is_one_trace_from_its_records_to_its_promotion(send):
    came = send(
        cycle_span(CYCLE, now=NOW),
        stage_span(CYCLE, DATASET, feedback_ids=["f1", "f2"]),
        canary_span(CANARY, [LOOK], now=NOW),
        feedback_span("default", "f1", "thumbs_up", begun=NOW, ended=NOW),
    )
    root, dataset, canary = came["tune assistant"], came["dataset"], came["canary assistant"]
    assert root.trace_id == dataset.trace_id == canary.trace_id
    assert root.parent_span_id == b""
    assert dataset.parent_span_id == canary.parent_span_id == root.span_id
    assert (dataset.end_time_unix_nano - dataset.start_time_unix_nano) / 1e9 == 12.5
    assert dataset.links[0].trace_id == came["feedback thumbs_up"].trace_id
    assert [event.name for event in canary.events] == ["look"]
    told = {one.key: one.value.string_value for one in root.attributes}
    assert told["gateway_tuning.outcome"] == "promoted"


def test_another_process_tells_the_same_ids():
    program = (
        "from gateway_tuning.observability.spans import cycle_context, canary_context, feedback_context\n"
        "print(cycle_context('0a1b'), canary_context('canary-0a1b'), feedback_context('t', 'f'), sep='')"
    )
    there = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    here = (cycle_context("0a1b"), canary_context("canary-0a1b"), feedback_context("t", "f"))
    assert there.stdout.strip() == "".join(str(context) for context in here)


@given(st.text(), st.text())
def test_ids_fit_opentelemetry_and_differ_by_object(one, other):
    first, second = cycle_context(one), cycle_context(other)
    assert 0 < first.trace_id < 1 << 128
    assert 0 < first.span_id < 1 << 64
    assert (first == second) is (one == other)
    assert feedback_context("t", one).trace_id != first.trace_id


def test_a_canary_of_nobodys_cycle_is_a_trace_of_its_own():
    alone = replace(CANARY, id="by-hand")
    span = canary_span(alone, [], now=NOW)
    assert span.parent is None
    assert span.context.trace_id not in {cycle_context("by-hand").trace_id, cycle_context("0a1b").trace_id}


def test_a_canary_that_was_taken_back_is_an_error(send):
    [span] = send(canary_span(replace(CANARY, state="rolled_back"), [], now=NOW)).values()
    assert span.status.code == 2


def test_a_dataset_of_many_records_links_to_as_many_as_are_kept():
    span = stage_span(CYCLE, DATASET, feedback_ids=[str(number) for number in range(1000)])
    assert len(span.links) == MOST_LINKS


def test_a_sampler_keeps_or_leaves_whole_traces(send):
    sent = [cycle_span(CYCLE, now=NOW), stage_span(CYCLE, DATASET)]
    assert send(*sent, OTEL_TRACES_SAMPLER="always_off") == {}
    assert len(send(*sent, OTEL_TRACES_SAMPLER="traceidratio", OTEL_TRACES_SAMPLER_ARG="0.5")) in {0, 2}


def test_a_collector_that_is_away_fails_nothing(monkeypatch):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
    tracing = open_tracing()
    tracing.send([cycle_span(CYCLE, now=NOW)])
    tracing.close()


def test_the_setting_names_the_collector_unless_the_standard_variable_does(monkeypatch):
    assert not is_wanted()
    assert open_tracing() is None
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://standard")
    name_collector("http://ours")

    assert os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] == "http://standard"
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_ENDPOINT")
    name_collector("http://ours")
    assert is_wanted()
    assert os.environ.pop("OTEL_EXPORTER_OTLP_ENDPOINT") == "http://ours"


def test_without_a_collector_nothing_of_opentelemetry_is_loaded():
    program = (
        "import sys\n"
        "from gateway_tuning.observability import logs, traces\n"
        "assert traces.open_tracing() is None\n"
        "print([name for name in sys.modules if name.startswith(('opentelemetry', 'scipy', 'sqlalchemy'))])"
    )
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "[]"
