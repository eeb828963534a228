"""LoRA parameters for a frozen transformers model, in peft's names and file format.

The base weights stay bfloat16; A and B are float32 and multiplied in bfloat16 (`decoder.py`). Imports torch: for
the worker only.
"""

import json
import math
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from gateway_tuning.training.local.hyperparameters import LoraHyperparameters
from gateway_tuning.training.local.model.weights import BASE_MODEL, PROJECTIONS

TENSORS_FILE = "adapter_model.safetensors"
CONFIG_FILE = "adapter_config.json"
_TARGETS = tuple(name.rsplit(".", maxsplit=1)[-1] for name in PROJECTIONS.values())

Parameters = dict[str, torch.Tensor]
"""peft's tensor names -> A of shape (rank, inputs) or B of shape (outputs, rank), float32."""


def load_base(weights: Path, device: str) -> Any:
    """The frozen base model in bfloat16. Read from safetensors alone: other forms of weights can run code."""
    from transformers import LlamaForCausalLM
    from transformers.utils import logging

    logging.disable_progress_bar()
    model = LlamaForCausalLM.from_pretrained(
        weights, dtype=torch.bfloat16, attn_implementation="sdpa", use_safetensors=True
    )
    return model.requires_grad_(requires_grad=False).eval().to(device)


def attach(model: Any, hyperparameters: LoraHyperparameters, seed: int) -> Parameters:
    """Trainable A and B for every linear layer of the blocks. B starts at zero: the adapter changes nothing yet."""
    generator = torch.Generator().manual_seed(seed)
    parameters: Parameters = {}
    for name, layer in model.named_modules():
        if not name.endswith(_TARGETS):
            continue
        bound = 1 / math.sqrt(layer.in_features)  # peft's kaiming_uniform_(a=sqrt(5))
        a = torch.empty(hyperparameters.rank, layer.in_features).uniform_(-bound, bound, generator=generator)
        b = torch.zeros(layer.out_features, hyperparameters.rank)
        a, b = (tensor.to(layer.weight.device).requires_grad_() for tensor in (a, b))
        parameters[f"base_model.model.{name}.lora_A.weight"] = a
        parameters[f"base_model.model.{name}.lora_B.weight"] = b
    return parameters


def save_adapter(
    parameters: Parameters,
    hyperparameters: LoraHyperparameters,
    folder: Path,
    *,
    base_model: str = BASE_MODEL,
) -> None:
    """Write the adapter so that peft loads it. Equal parameters give equal bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in parameters.items()}
    save_file(tensors, folder / TENSORS_FILE, metadata={"format": "pt"})
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base_model,
        "r": hyperparameters.rank,
        "lora_alpha": hyperparameters.alpha,
        "lora_dropout": 0.0,
        "target_modules": sorted(_TARGETS),
        "bias": "none",
        "inference_mode": True,
    }
    (folder / CONFIG_FILE).write_text(json.dumps(config, indent=1))
