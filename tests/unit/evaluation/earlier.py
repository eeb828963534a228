"""What the version before stored for an evaluation."""


def stored(**changed):
    figures = {
        "n": 40,
        "errors": 1,
        "similarity": 0.61,
        "accuracy": 0.3,
        "latency_ms_mean": 20.0,
        "latency_ms_median": 18.0,
        "latency_ms_p95": 30.0,
        "prompt_tokens_mean": 7.0,
        "completion_tokens_mean": 9.0,
    }
    sample = {
        "example_id": "e1",
        "prompt": "When?",
        "preferred": "At noon, on Monday.",
        "candidate_answer": "At noon.",
        "baseline_answer": None,
        "candidate_error": None,
        "baseline_error": "Timeout",
        "candidate_similarity": 0.6,
        "baseline_similarity": 0.0,
    }
    return {
        "state": "scored",
        "reasons": ["a reason"],
        "candidate": figures | {"model": "tuned"},
        "baseline": figures | {"model": "small", "errors": 0, "similarity": 0.5, "accuracy": 0.2},
        "similarity": {"mean": 0.11, "low": 0.04, "high": 0.18, "level": 0.95, "n": 40},
        "accuracy": {"mean": 0.1, "low": -0.04, "high": 0.2, "level": 0.95, "n": 40},
        "best": [sample],
        "worst": [sample],
        "most_changed": [],
        "settings": {"seed": 3},
    } | changed
