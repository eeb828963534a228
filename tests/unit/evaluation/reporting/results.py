"""Evaluation results that the report's tests are made of."""

from gateway_tuning.evaluation.result import (
    Comparison,
    EvaluationResult,
    JudgeSummary,
    Sample,
    SliceComparison,
    SystemSummary,
)
from gateway_tuning.evaluation.scored import Role
from gateway_tuning.evaluation.scoring.protocol import ScorerCard
from gateway_tuning.evaluation.statistics import Difference

LABELS = {
    "similarity": "Word similarity",
    "refusal": "Refusals",
    "tokens": "Tokens of the answer",
    "json_validity": "JSON validity",
}
BOUNDED, LESS_IS_BETTER = {"similarity", "refusal", "json_validity"}, {"refusal", "tokens"}


def card(name="similarity", **changed):
    values = {
        "name": name,
        "label": LABELS[name],
        "formula": f"formula of {name}",
        "source": f"source of {name}",
        "low": 0.0,
        "high": 1.0 if name in BOUNDED else None,
        "higher_is_better": name not in LESS_IS_BETTER,
        "failed": 0.0,
    }
    return ScorerCard(**values | changed)


def difference(mean=0.08, low=0.05, high=0.11, n=120):
    return Difference(mean, low, high, 0.95, n)


def unknown(n=0):
    return Difference(None, None, None, 0.95, n)


def comparison(metric="similarity", of=None, *, against=Role.STABLE, p=0.004, missing=0, detectable=0.04):
    found = of or difference()
    return Comparison(metric, against, found, missing, p, p, "paired permutation", detectable)


def system(role, failed=0, **means):
    version = {Role.CANDIDATE: "shop@4f2e", Role.STABLE: "shop@a01c", Role.BASE: "small-instruct"}[role]
    return SystemSummary(role, version, 120, failed, means, 210.0, 200.0, 400.0, 40.0, None)


def sample(
    stable="Use the card at the end.", candidate="Use the gift card at checkout.", prompt="Where?", **changed
):
    values = {
        "example_id": "ex-1",
        "prompt": prompt,
        "preferred": "At checkout.",
        "answers": {"stable": stable, "candidate": candidate},
        "errors": {"stable": None, "candidate": None},
        "scores": {"stable": {"similarity": 0.25}, "candidate": {"similarity": 0.75}},
        "notes": {},
    }
    return Sample(**values | changed)


def judge(**changed):
    values = {
        "model": "judge-large",
        "pairs": 100,
        "failed": 2,
        "first_share": 0.61,
        "first_low": 0.54,
        "first_high": 0.68,
        "contradicted": 0.12,
        "agreement": 0.8,
        "agreement_low": 0.7,
        "agreement_high": 0.88,
        "labels": 60,
        "requests": 196,
        "cached": 4,
        "spent": 0.5,
        "currency": "USD",
    }
    return JudgeSummary(**values | changed)


def a_slice(value="correction", of=None, field="feedback_type"):
    return SliceComparison(field, value, comparison(of=of, p=None))


def result(*comparisons, cards=("similarity",), **changed):
    values = {
        "state": "scored",
        "reasons": (),
        "primary": "similarity",
        "cards": {name: card(name) for name in cards},
        "systems": (system(Role.CANDIDATE, similarity=0.52), system(Role.STABLE, similarity=0.44)),
        "comparisons": comparisons or (comparison(),),
        "slices": (),
        "best": (),
        "worst": (),
        "most_changed": (),
        "judge": None,
        "settings": {"seed": 0, "slices": []},
    }
    return EvaluationResult(**values | changed)
