"""Does a search beat the default hyperparameters of the local trainer on validation, with the same steps for each trial?

The sample feedback becomes a dataset, every trial is a real job, and trial 0 is the defaults. The rate that is best for
so few steps need not be the default's, so the answer is open; whatever it is, it is printed. `--confirm 3` holds a gain
against the noise of other seeds, at the price of six more jobs.
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

from deployments.embedded_server import embedded_server
from gateway_tuning.cycles.plan import TrainingPlan
from gateway_tuning.training.search import report
from gateway_tuning.training.search.plan import SearchBudget, SearchPlan
from gateway_tuning.training.search.space import Continuous, Discrete, SearchSpace
from gateway_tuning.training.search.store import SearchStore

SPACE = SearchSpace(
    parameters=(
        Continuous(name="learning_rate", min=3e-4, max=3e-2, log_scale=True),
        Discrete(name="rank", min=4, max=32, log_scale=True),
        Continuous(name="alpha", min=8, max=64, log_scale=True),
        Discrete(name="warmup_steps", min=0, max=4),
    )
)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.search", description=__doc__)
    parser.add_argument("--trials", type=int, default=8)
    parser.add_argument("--steps", type=int, default=12, help="Of each job")
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--validation-chats", type=int, default=16)
    parser.add_argument("--sampler", choices=["tpe", "random"], default="tpe")
    parser.add_argument("--confirm", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--home", type=Path, help="Goes on with what is there; default a folder that is thrown away"
    )
    options = parser.parse_args()
    shared = {
        "max_steps": options.steps,
        "batch_size": options.batch_size,
        "validation_chats": options.validation_chats,
        "evaluate_every": 4,
    }
    plan = SearchPlan(
        space=SPACE,
        training=TrainingPlan(hyperparameters=shared),
        sampler=options.sampler,
        startup_trials=4,
        seed=options.seed,
        budget=SearchBudget(trials=options.trials),
        confirm=options.confirm,
    )
    with tempfile.TemporaryDirectory() as folder:
        home = options.home or Path(folder)
        os.environ["GATEWAY_TUNING_HOME"] = str(home.resolve())
        os.environ["PREFECT_LOGGING_LEVEL"] = "WARNING"
        os.environ["PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW"] = "ignore"
        with embedded_server(home / "prefect"):
            return search(plan)


def search(plan: SearchPlan) -> int:
    from deployments.demo import send_what_waits
    from flows.build_dataset import build_dataset
    from flows.import_feedback import import_feedback
    from flows.search_hyperparameters import search_hyperparameters
    from tasks.runtime import runtime

    import_feedback(Path("examples/feedback.jsonl").resolve())
    dataset = build_dataset()
    began = time.monotonic()
    try:
        found = search_hyperparameters(dataset.id, plan)
    finally:
        send_what_waits()
    seconds = time.monotonic() - began
    store = SearchStore(runtime().engine)
    ended, trials = store.get(found.id), store.trials(found.id)
    print(report.markdown(ended, trials))
    print(f"\n{len(trials)} jobs in {seconds:.0f} s")
    print(f"default beaten: {ended.result['verdict'] if ended.result else 'not known'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
