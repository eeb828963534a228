"""Checkpoints of a job under way as adapters that can be served. Needs no torch."""

import json
import tempfile
from pathlib import Path
from typing import Any

from gateway_tuning.errors import missing_extra
from gateway_tuning.training.local.serving.gguf_adapter import write_gguf_adapter

_NOW = "now/"  # before the names of the parameters; the rest is the optimizer's state


def steps_in(training: Path) -> list[int]:
    """Of the checkpoints that the worker keeps at the moment, but for those of an interruption at any step."""
    found = sorted((training / "checkpoints").glob("step-*.json"))
    steps = [int(path.stem.removeprefix("step-")) for path in found]
    every = _hyperparameters(training)["checkpoint_every"] if steps else 1
    return [step for step in steps if step % every == 0]


def write_adapter(training: Path, step: int, base_config: Path, target: Path) -> bool:
    """False: the worker has replaced the checkpoint by later ones meanwhile, or passes it over as damaged."""
    try:
        from safetensors import SafetensorError, safe_open
        from safetensors.numpy import save_file
    except ImportError as error:
        raise missing_extra(error.name or "safetensors", "train") from error

    checkpoint = training / "checkpoints" / f"step-{step:06d}.safetensors"
    try:
        with safe_open(checkpoint, framework="numpy") as tensors:
            names = [name for name in tensors.keys() if name.startswith(_NOW)]  # noqa: SIM118 - no mapping
            parameters = {name.removeprefix(_NOW): tensors.get_tensor(name) for name in names}
    except (FileNotFoundError, SafetensorError):
        return False
    alpha = _hyperparameters(training)["alpha"]
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        save_file(parameters, Path(folder) / "adapter_model.safetensors")
        (Path(folder) / "adapter_config.json").write_text(json.dumps({"lora_alpha": alpha}))
        write_gguf_adapter(Path(folder), base_config, target)
    return True


def _hyperparameters(training: Path) -> dict[str, Any]:
    chosen: dict[str, Any] = json.loads((training / "spec.json").read_text())["hyperparameters"]
    return chosen
