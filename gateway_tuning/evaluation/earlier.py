"""Results as they were stored while an evaluation had two metrics and two systems."""

from collections.abc import Mapping
from typing import Any

_ROLES = {"candidate": "candidate", "baseline": "stable"}
_CARDS = {
    "similarity": {
        "name": "similarity",
        "label": "Similarity",
        "formula": "|A and B| / |A or B|, A and B the word sets of the answer and the preferred answer",
        "source": "Jaccard index",
    },
    "accuracy": {
        "name": "accuracy",
        "label": "Accuracy",
        "formula": "1 where the similarity is above the threshold, else 0",
        "source": "threshold in the settings",
    },
}
_BOUNDS = {"low": 0.0, "high": 1.0, "higher_is_better": True, "failed": 0.0, "needs_reference": True}
_FIGURES = (
    *("latency_ms_mean", "latency_ms_median", "latency_ms_p95"),
    *("prompt_tokens_mean", "completion_tokens_mean"),
)


def converted(stored: Mapping[str, Any]) -> dict[str, Any]:
    """The present form of JSON with the keys candidate, baseline, similarity and accuracy.

    The baseline is the stable system, the served names are the versions. Tests were not made then: p-values and the
    detectable difference are unknown.
    """
    return {
        "state": stored["state"],
        "reasons": stored["reasons"],
        "primary": "similarity",
        "cards": {name: card | _BOUNDS for name, card in _CARDS.items()},
        "systems": [_system(role, stored[name]) for name, role in _ROLES.items()],
        "comparisons": [_comparison(metric, stored[metric]) for metric in _CARDS],
        "slices": [],
        **{name: [_sample(one) for one in stored[name]] for name in ("best", "worst", "most_changed")},
        "judge": None,
        "settings": stored["settings"],
    }


def _system(role: str, scores: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "role": role,
        "version": scores["model"],
        "asked": scores["n"],
        "failed": scores["errors"],
        "means": {metric: scores[metric] for metric in _CARDS},
        **{name: scores[name] for name in _FIGURES},
    }


def _comparison(metric: str, difference: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "metric": metric,
        "against": "stable",
        "difference": difference,
        "missing": 0,
        "p_value": None,
        "p_adjusted": None,
        "test": "none",
        "detectable": None,
    }


def _sample(stored: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **{name: stored[name] for name in ("example_id", "prompt", "preferred")},
        "answers": {role: stored[f"{name}_answer"] for name, role in _ROLES.items()},
        "errors": {role: stored[f"{name}_error"] for name, role in _ROLES.items()},
        "scores": {role: {"similarity": stored[f"{name}_similarity"]} for name, role in _ROLES.items()},
        "notes": {role: {} for role in _ROLES.values()},
    }
