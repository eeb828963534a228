import pytest

from gateway_tuning.storage.object_store import file_sha256
from gateway_tuning.training.local.hyperparameters import LoraHyperparameters

pytestmark = pytest.mark.slow

SHORT = LoraHyperparameters(
    rank=4,
    max_steps=5,
    batch_size=2,
    warmup_steps=1,
    checkpoint_every=2,
    evaluate_every=2,
    validation_chats=2,
)


@pytest.fixture(scope="module")
def adapter_sha256(run_training, tmp_path_factory):
    """Checksum of the adapter that a run, in so many parts, leaves."""
    from gateway_tuning.training.local import lora

    def run(*stops, damage=None):
        folder = tmp_path_factory.mktemp("run")
        for stop in (*stops, None):
            trained, _ = run_training(SHORT, folder / "checkpoints", stop_after=stop, validation="same")
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
    trained, steps = run_training(SHORT, tmp_path, validation="same")
    assert steps[-1].loss < steps[0].loss
    assert [step.step for step in steps if step.validation_loss is not None] == [2, 4, 5]
    assert trained.counters.best_validation_loss == min(s.validation_loss for s in steps if s.validation_loss)


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
    trained, steps = run_training(diverging, tmp_path, validation="same")
    losses = [step.validation_loss for step in steps]
    assert len(steps) < 8
    assert losses[-1] >= losses[-2]
    assert trained.counters.best_validation_loss == min(losses)
