"""`python -m gateway_tuning.training.local.worker JOB_FOLDER CACHE_FOLDER`: trains one job, or goes on with it.

The worker ends when its parent does, and on SIGTERM, after a checkpoint: such a job is interrupted, and a new
submission resumes it. Only the `cancel` file ends it for good. Two workers never train one job: the second finds
the lock taken and leaves.
"""

import os
import signal
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from gateway_tuning import processes
from gateway_tuning.errors import ConfigurationError, GatewayTuningError, IntegrityError, missing_extra
from gateway_tuning.storage.object_store import file_sha256
from gateway_tuning.training.job import JobStatus
from gateway_tuning.training.local.data.examples import examples_of, read
from gateway_tuning.training.local.data.wording import PACKAGED, Wording, wording_of
from gateway_tuning.training.local.hyperparameters import LoraHyperparameters
from gateway_tuning.training.local.job_folder import JobFolder, LocalSpec
from gateway_tuning.training.local.model import own_base
from gateway_tuning.training.local.model.weights import converted_weights
from gateway_tuning.training.local.serving.gguf_adapter import write_gguf_adapter

if TYPE_CHECKING:
    from gateway_tuning.training.local.learning.trainer import Step, Trained

MODULE = "gateway_tuning.training.local.worker"
ENVIRONMENT = {
    # Threads that wait for each other by spinning make two of them five times slower than one on a busy machine;
    # libgomp's short spin keeps most of the speed of a quiet one.
    "OMP_WAIT_POLICY": "PASSIVE",
    "GOMP_SPINCOUNT": "2000",
    "CUBLAS_WORKSPACE_CONFIG": ":4096:8",  # equal bytes on CUDA
    "TOKENIZERS_PARALLELISM": "false",
}
"""Variables that must be set before torch is loaded."""

_LOCK_SECONDS = 2.0
_STOP_SECONDS = 120.0


def main() -> None:
    folder = JobFolder(Path(sys.argv[1]))
    interrupted = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: interrupted.set())
    processes.when_parent_ends(lambda: _end_soon(interrupted))
    deadline = time.monotonic() + _LOCK_SECONDS
    while True:  # somebody who only looks whether the job is worked on holds the lock for an instant
        with folder.lock() as mine:
            if mine:
                _work(folder, Path(sys.argv[2]), interrupted)
                return
        if time.monotonic() > deadline:
            return
        time.sleep(0.05)


def _end_soon(interrupted: threading.Event) -> None:
    """Let the step in hand end with a checkpoint; never outlive the parent for long."""
    interrupted.set()
    time.sleep(_STOP_SECONDS)
    os._exit(1)


def _work(folder: JobFolder, cache: Path, interrupted: threading.Event) -> None:
    state = folder.read_state()
    spec = folder.read_spec()
    if state.status.is_terminal or spec is None:
        return
    folder.write_state(replace(state, status=JobStatus.RUNNING, message="loading the base model"))
    try:
        _train(folder, spec, cache, interrupted)
    except Exception as error:  # the job's end must be told, whatever it was; the trace goes to the log
        # The state outlives the data, and an error of others may quote a chat; the log is discarded with it.
        reason = (
            str(error)
            if isinstance(error, GatewayTuningError)
            else f"the worker broke off: {type(error).__name__}"
        )
        folder.end(JobStatus.FAILED, f"{reason} (log: {folder.log.name} in the job's folder)")
        raise


def _train(folder: JobFolder, spec: LocalSpec, cache: Path, interrupted: threading.Event) -> None:
    try:
        import gguf  # noqa: F401 - used after the training, which would have been for nothing without it
        from tokenizers import Tokenizer

        from gateway_tuning.training.local.learning import trainer
        from gateway_tuning.training.local.learning.objective import objective_of
    except ImportError as error:
        raise missing_extra(error.name or "torch", "train") from error

    _verify(folder.train, spec.train_sha256)
    if spec.validation_sha256:
        _verify(folder.validation, spec.validation_sha256)
    hyperparameters = LoraHyperparameters.model_validate(spec.hyperparameters)
    weights, wording = _base(spec, cache)
    tokenizer = Tokenizer.from_file(str(weights / "tokenizer.json"))
    lines = read(spec.method, folder.train)
    examples = examples_of(lines, tokenizer, hyperparameters.max_tokens, wording)
    held_out = read(spec.method, folder.validation) if spec.validation_sha256 else []
    validation = examples_of(held_out, tokenizer, hyperparameters.max_tokens, wording)
    if not examples:
        raise ConfigurationError(
            f"All {len(lines)} examples are longer than max_tokens={hyperparameters.max_tokens} or hold control words "
            "or tools; raise max_tokens"
        )

    def on_start(step: int, of: int) -> None:
        folder.log_event("resumed" if step else "started", step=step, of=of, examples=len(examples))
        folder.write_state(
            replace(folder.read_state(), status=JobStatus.RUNNING, step=step, of=of, message="training")
        )

    trained = trainer.train(
        weights,
        examples,
        validation,
        objective_of(spec.method, hyperparameters),
        hyperparameters,
        seed=spec.seed,
        checkpoint_folder=folder.checkpoints,
        reference_file=folder.reference,
        on_start=on_start,
        on_step=lambda step: _tell(folder, step),
        should_stop=lambda: interrupted.is_set() or folder.cancel.exists(),
    )
    if trained.ending is trainer.Ending.STOPPED:
        if folder.cancel.exists():
            folder.end(JobStatus.CANCELLED, f"cancelled after step {trained.counters.step}")
        else:
            folder.log_event("interrupted", step=trained.counters.step)
    elif trained.ending is trainer.Ending.OUT_OF_TIME:
        raise ConfigurationError(
            f"Training passed max_training_seconds={hyperparameters.max_training_seconds:.0f} at step "
            f"{trained.counters.step}; raise it, or lower max_steps"
        )
    else:
        _finish(folder, spec, weights, trained, hyperparameters, left_out=len(lines) - len(examples))


def _base(spec: LocalSpec, cache: Path) -> tuple[Path, Wording]:
    """The folder of the weights and how chats are worded for them."""
    if spec.base_sha256 is None:
        return converted_weights(cache), PACKAGED
    own = Path(spec.base_model)
    if own_base.checked(own) != spec.base_sha256:
        raise IntegrityError(f"{own} changed after the submission; submit it under a new key")
    return own, wording_of(own)


def _verify(export: Path, sha256: str) -> None:
    if file_sha256(export) != sha256:
        raise IntegrityError(
            f"{export.name} changed after its submission; submit the dataset under a new key"
        )


def _tell(folder: JobFolder, step: "Step") -> None:
    validation = _named("validation_", step.validation or {})
    folder.log_event(
        "step", step=step.step, of=step.of, **step.figures, seconds=round(step.seconds, 3), **validation
    )
    state = folder.read_state()
    metrics = {**state.metrics, **_named("train_", step.figures), **validation}
    folder.write_state(replace(state, step=step.step, of=step.of, message="training", metrics=metrics))


def _named(prefix: str, figures: dict[str, float]) -> dict[str, float]:
    return {f"{prefix}{name}": value for name, value in figures.items()}


def _finish(
    folder: JobFolder,
    spec: LocalSpec,
    weights: Path,
    trained: "Trained",
    hyperparameters: LoraHyperparameters,
    *,
    left_out: int,
) -> None:
    from gateway_tuning.training.local.model import lora

    lora.save_adapter(trained.parameters, hyperparameters, folder.result, base_model=spec.base_model)
    write_gguf_adapter(folder.result, weights / "config.json", folder.result / "adapter.gguf")
    counters = trained.counters
    metrics = {
        "train_loss": trained.train_loss,
        **_named("train_", trained.train_figures),
        "steps": float(counters.step),
        "train_seconds": counters.seconds,
        "tokens": float(counters.tokens),
        "examples_left_out": float(left_out),
    }
    if counters.best_validation_loss is not None:
        metrics["validation_loss"] = counters.best_validation_loss
        metrics |= _named("validation_", counters.best_validation)
    folder.write_state(replace(folder.read_state(), metrics=metrics))
    folder.end(JobStatus.SUCCEEDED, f"finished after step {counters.step}")


if __name__ == "__main__":
    main()
