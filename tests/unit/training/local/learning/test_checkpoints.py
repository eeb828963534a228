import pytest
import torch

from gateway_tuning.training.local.learning.checkpoints import Counters, load_newest, save


@pytest.fixture
def folder(tmp_path):
    for step in (2, 4, 6):
        save(tmp_path, {"a": torch.full((3,), float(step))}, Counters(step=step, recent_losses=(0.1, 0.2)))
    return tmp_path


def test_the_newest_checkpoint_comes_back_whole(folder):
    tensors, counters = load_newest(folder)
    assert tensors["a"].tolist() == [6.0, 6.0, 6.0]
    assert counters == Counters(step=6, recent_losses=(0.1, 0.2))


def test_only_two_checkpoints_are_kept(folder):
    assert sorted(path.name for path in folder.iterdir()) == [
        "step-000004.json",
        "step-000004.safetensors",
        "step-000006.json",
        "step-000006.safetensors",
    ]


@pytest.mark.parametrize("damage", ["flipped bit", "no tensors", "half a record"])
def test_a_damaged_newest_checkpoint_is_passed_over(folder, damage):
    tensors, record = folder / "step-000006.safetensors", folder / "step-000006.json"
    if damage == "flipped bit":
        data = bytearray(tensors.read_bytes())
        data[-1] ^= 1
        tensors.write_bytes(data)
    elif damage == "no tensors":
        tensors.unlink()
    else:
        record.write_text(record.read_text()[:20])
    _, counters = load_newest(folder)
    assert counters.step == 4


def test_no_checkpoint_means_a_fresh_start(tmp_path):
    assert load_newest(tmp_path / "none") is None
