"""The loop around the steps, on a small Llama of random weights."""

import pytest

from gateway_tuning.errors import ConfigurationError
from gateway_tuning.storage.object_store import file_sha256
from gateway_tuning.training.local.data.examples import Example
from gateway_tuning.training.local.hyperparameters import LoraHyperparameters
from tests.unit.training.local import tiny

torch = pytest.importorskip("torch")

SHORT = LoraHyperparameters(
    rank=4,
    max_steps=5,
    batch_size=2,
    warmup_steps=1,
    checkpoint_every=2,
    evaluate_every=2,
    validation_chats=2,
    device="cpu",
)


@pytest.fixture(scope="module")
def run_training(tmp_path_factory):
    """`stop_after` ends the run with a checkpoint after so many steps; it looks at chats that it learns."""
    from gateway_tuning.training.local.learning import trainer
    from gateway_tuning.training.local.learning.supervised import Supervised

    weights = tmp_path_factory.mktemp("weights")
    tiny.model().save_pretrained(weights)
    examples = [Example((chat,)) for chat in tiny.chats(20, 31, 9, 44, 27, 13, 38)]

    def train(hyperparameters, checkpoint_folder, *, stop_after=None):
        steps = []
        trained = trainer.train(
            weights,
            examples,
            examples[:2],
            Supervised(),
            hyperparameters,
            seed=0,
            checkpoint_folder=checkpoint_folder,
            reference_file=checkpoint_folder.with_suffix(".json"),
            on_start=lambda step, of: None,
            on_step=steps.append,
            should_stop=lambda: stop_after is not None and len(steps) + 1 >= stop_after,
        )
        return trained, steps

    yield train
    torch.use_deterministic_algorithms(mode=False)  # the trainer sets it for its whole process


@pytest.fixture(scope="module")
def adapter_sha256(run_training, tmp_path_factory):
    """Checksum of the adapter that a run, in so many parts, leaves."""
    from gateway_tuning.training.local.model import lora

    def run(*stops, damage=None):
        folder = tmp_path_factory.mktemp("run")
        for stop in (*stops, None):
            trained, _ = run_training(SHORT, folder / "checkpoints", stop_after=stop)
            if stop is not None and damage is not None:
                damage(folder / "checkpoints")
        lora.save_adapter(trained.parameters, SHORT, folder)
        return file_sha256(folder / lora.TENSORS_FILE), trained

    return run


@pytest.fixture(scope="module")
def undisturbed(adapter_sha256):
    return adapter_sha256()


def test_the_same_run_gives_the_same_bytes(adapter_sha256, undisturbed):
    assert adapter_sha256()[0] == undisturbed[0]


def test_a_resumed_run_gives_the_bytes_of_one_without_interruption(adapter_sha256, undisturbed):
    checksum, trained = adapter_sha256(3)
    assert checksum == undisturbed[0]
    assert trained.counters.tokens == undisturbed[1].counters.tokens
    assert trained.train_loss == undisturbed[1].train_loss


def test_a_run_resumed_behind_a_damaged_checkpoint_gives_the_same_bytes(adapter_sha256, undisturbed):
    def damage(folder):
        newest = max(folder.glob("*.safetensors"))
        newest.write_bytes(newest.read_bytes()[:-8])

    assert adapter_sha256(3, damage=damage)[0] == undisturbed[0]


def test_the_loss_falls_and_the_validation_loss_is_looked_at_on_time(run_training, tmp_path):
    trained, steps = run_training(SHORT, tmp_path)
    assert steps[-1].loss < steps[0].loss
    assert [step.step for step in steps if step.validation_loss is not None] == [2, 4, 5]
    assert trained.counters.best_validation_loss == min(s.validation_loss for s in steps if s.validation_loss)


def test_a_validation_loss_that_is_no_number_is_never_the_best(run_training, tmp_path, monkeypatch):
    from gateway_tuning.training.local.learning.supervised import Supervised

    monkeypatch.setattr(Supervised, "look", lambda *_: {"loss": float("nan")})
    with pytest.raises(ConfigurationError, match="validation loss is nan after step 2"):
        run_training(SHORT, tmp_path)


def test_a_run_that_no_longer_gains_stops_early_and_keeps_its_best_adapter(run_training, tmp_path):
    diverging = SHORT.model_copy(
        update={
            "learning_rate": 0.1,
            "max_gradient_norm": 100.0,
            "evaluate_every": 1,
            "early_stopping_patience": 1,
        }
    )
    diverging = diverging.model_copy(update={"max_steps": 8})
    trained, steps = run_training(diverging, tmp_path)
    losses = [step.validation_loss for step in steps]
    assert len(steps) < 8
    assert losses[-1] >= losses[-2]
    assert trained.counters.best_validation_loss == min(losses)
