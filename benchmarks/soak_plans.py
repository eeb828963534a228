"""What is run in a soak, with every compression of time in one place."""

from typing import Any

MODEL = "assistant"
THRESHOLD = 40  # new feedback records that announce a cycle

# Seconds between two runs; prefect.yaml has 60, 300 and 300.
INTERVALS = {"advance-canaries": 40.0, "check-threshold": 150.0, "reconcile-runs": 100.0}
COMPRESSED = (
    "A week has the minutes of this run: each of its days is an event of the script, not 24 hours.",
    "advance-canaries runs every 40 s, reconcile-runs every 100 s, check-threshold every 150 s.",
    "A canary has the stages 30 and 50 %, each at least 15 s, with margins wide enough for a hundred users.",
    "40 new feedback records announce a cycle, not 500; 80 records make a dataset, a dozen prompts an evaluation.",
    "The live drift check wants 40 rows, not 300.",
    "Answers have 16 tokens at most, and users rate the beginning that they get.",
    "The metadata store is PostgreSQL. Prefect's server keeps to SQLite, for the packaged PostgreSQL lacks pg_trgm.",
    "The S3 server holds everything in memory: it is stopped for a while (SIGSTOP), never killed.",
)

DRIFT: dict[str, Any] = {"min_rows": 40, "rows_to_measure": 30, "min_groups": 10, "permutations": 499}

CANARY: dict[str, Any] = {
    "stages": [0.3, 0.5],
    "stage_seconds": 15,
    "stage_max_seconds": 900,
    "max_seconds": 1800,
    "stale_seconds": 180,
    "metrics_to_monitor": ["error_rate", "latency", "user_feedback", "token_count"],
    "min_users": 5,
    "min_requests": 20,
    "min_rated_users": 20,
    # Everything shares two cores, and processes are killed while the canary runs.
    "margins": {
        "error_rate": 0.3,
        "latency": 2.0,
        "slow_share": 0.5,
        "user_feedback": 0.3,
        "token_count": 2.0,
        "feedback_rate": 0.5,
    },
    "promotion_threshold": 0.5,
}

# One pass over some fifty chats: enough for the beginning of the house's style.
CYCLE: dict[str, Any] = {
    "model": MODEL,
    "recipe": {"max_records": 80, "test_share": 0.3},
    "training": {
        "provider": "openai",
        "base_model": "smollm2-135m-instruct",
        "hyperparameters": {"n_epochs": 1},
    },
    "evaluation": {"max_examples": 12, "max_tokens": 24, "concurrency": 2, "resamples": 1000},
    "drift": DRIFT,
    # Not worse than by a quarter is enough here: the second candidate meets a stable model that was tuned already.
    "gate": {
        "min_examples": 8,
        "min_improvement": -0.25,
        "guardrails": {},
        "on_drift": "ask",
        "accept_undecided_drift": True,
        "max_failed_share": 0.2,
        "max_personal_data": None,
        "max_more_refusals": None,
    },
    "canary": CANARY,
}
