"""A peft-style LoRA adapter as GGUF, the form in which llama.cpp applies it beside the base model."""

import json
from pathlib import Path

from gateway_tuning.errors import ConfigurationError, missing_extra
from gateway_tuning.training.local.model.weights import PROJECTIONS, swap_rotary_halves

_PREFIX = "base_model.model.model.layers."
_GGUF_NAMES = {ours: theirs for theirs, ours in PROJECTIONS.items()}


def write_gguf_adapter(adapter: Path, base_config: Path, target: Path) -> None:
    """Convert the folder of a peft adapter; the file gets its name when it is whole.

    `base_config` is the base model's `config.json`: the q and k rows of lora_B are reordered by its head counts.

    Raises:
        ConfigurationError: the adapter changes a part of the model that this conversion does not know.
    """
    try:
        import gguf
        from safetensors.numpy import load_file
    except ImportError as error:
        raise missing_extra(error.name or "gguf", "train") from error

    base = json.loads(base_config.read_text())
    lora = json.loads((adapter / "adapter_config.json").read_text())
    heads = {"attn_q": base["num_attention_heads"], "attn_k": base["num_key_value_heads"]}
    partial = target.with_name(target.name + ".partial")
    writer = gguf.GGUFWriter(partial, "llama")
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", float(lora["lora_alpha"]))
    for name, tensor in sorted(load_file(adapter / "adapter_model.safetensors").items()):
        block, projection, side = _split(name)
        rows = tensor
        if side == "lora_b" and projection in heads:
            rows = swap_rotary_halves(tensor, heads[projection], to_gguf=True)
        writer.add_tensor(f"blk.{block}.{projection}.weight.{side}", rows)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    partial.replace(target)


def _split(name: str) -> tuple[str, str, str]:
    """From `base_model.model.model.layers.3.self_attn.q_proj.lora_A.weight` to `("3", "attn_q", "lora_a")`."""
    block, _, rest = name.removeprefix(_PREFIX).partition(".")
    layer, _, side = rest.removesuffix(".weight").rpartition(".")
    if not name.startswith(_PREFIX) or layer not in _GGUF_NAMES or side not in {"lora_A", "lora_B"}:
        raise ConfigurationError(
            f"The adapter's tensor {name} has no place in llama.cpp's LoRA format; "
            f"adapt only {', '.join(sorted(_GGUF_NAMES))}"
        )
    return block, _GGUF_NAMES[layer], side.lower()
