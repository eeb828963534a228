"""Scored answers of candidate and stable system, made from numbers."""

from dataclasses import replace

from gateway_tuning.datasets.example import Turn
from gateway_tuning.evaluation.scored import Answer, Role, ScoredExample
from gateway_tuning.evaluation.scoring.protocol import Score, ScorerCard
from tests.unit.datasets.test_formats import example as any_example

CANDIDATE, STABLE, BASE = Role.CANDIDATE, Role.STABLE, Role.BASE
VERSIONS = {CANDIDATE: "assistant@2", STABLE: "assistant@1"}


def card(name, *, higher_is_better=True, failed=0.0, low=0.0, high=1.0):
    return ScorerCard(name, name.capitalize(), "formula", "source", low, high, higher_is_better, failed)


def cards(*names, **fields):
    return {name: card(name, **fields) for name in names}


def answer(role, text="Yes.", latency_ms=100.0, tokens=10):
    error = "Timeout" if text is None else None
    return Answer(role, f"v-{role.value}", text, error, latency_ms, 5, None if text is None else tokens)


def scored(number, values, *, group=None, failed=(), facets=None, **answers):
    """`values` by role: a number or None for `similarity`, or numbers by metric."""
    example = replace(
        any_example((Turn("user", f"Question {number}?"),)),
        id=f"e{number:03}",
        group_id=group or f"g{number}",
    )
    by_role = {
        role: value if isinstance(value, dict) else {"similarity": value} for role, value in values.items()
    }
    return ScoredExample(
        example,
        {
            role: answer(role, None if role in failed else "Yes.", **answers.get(role.value, {}))
            for role in values
        },
        {
            role: {name: Score(value, () if value is not None else ("why",)) for name, value in found.items()}
            for role, found in by_role.items()
        },
        facets or {},
    )


def pairs(ours, theirs, **fields):
    return [
        scored(number, {CANDIDATE: mine, STABLE: other}, **fields)
        for number, (mine, other) in enumerate(zip(ours, theirs, strict=True))
    ]
