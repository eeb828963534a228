"""A Llama decoder over packed rows, with LoRA in every linear layer.

transformers' own forward pads, splits what could be one product and leaves much between two products unfused.
Imports torch: for the worker only.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch.nn.functional import embedding, silu

from gateway_tuning.errors import ConfigurationError
from gateway_tuning.training.local.model.adapted import Adapted, apply, refresh, stack
from gateway_tuning.training.local.model.attention import Documents, attend
from gateway_tuning.training.local.model.compiling import compile_for_any_length
from gateway_tuning.training.local.model.lora import Parameters


class Layer(NamedTuple):
    attention_norm: torch.Tensor
    qkv: Adapted
    out: Adapted
    mlp_norm: torch.Tensor
    gate_up: Adapted
    down: Adapted


class Shape(NamedTuple):
    """What the parts of a layer need beside tensors. `scale` multiplies every adapter's output."""

    heads: int
    key_heads: int
    head_size: int
    epsilon: float
    scale: float


@dataclass(frozen=True, slots=True)
class Decoder:
    """`head` is the output layer, (vocabulary, width). `before` and `after` enclose a layer's attention."""

    embedding: torch.Tensor
    layers: tuple[Layer, ...]
    norm: torch.Tensor
    head: torch.Tensor
    rotary: Any
    shape: Shape
    before: Callable[..., tuple[torch.Tensor, torch.Tensor, torch.Tensor]]
    after: Callable[..., torch.Tensor]

    def refresh(self, *, adapted: bool = True) -> None:
        """To be called whenever the adapter has changed. Without it, passes that take no gradient see the base alone."""
        for layer in self.layers:
            for part in (layer.qkv, layer.out, layer.gate_up, layer.down):
                refresh(part, self.shape.scale if adapted else 0.0)

    def hidden(self, inputs: torch.Tensor, within: Documents) -> torch.Tensor:
        """Normalized states of shape (tokens, width), to be multiplied by `head`."""
        x = embedding(inputs, self.embedding)
        cos, sin = self.rotary(x, _positions(within)[None])
        cos, sin = cos[0, :, None], sin[0, :, None]
        # Further programs, for a first layer without gradient or for the few passes without any, would cost more
        # to compile than they save.
        x.requires_grad_(torch.is_grad_enabled())
        before, after = (self.before, self.after) if torch.is_grad_enabled() else (_before, _after)
        for layer in self.layers:
            query, key, value = before(x, cos, sin, layer, self.shape)
            x = after(x, attend(query, key, value, within), layer, self.shape)
        return _normalized(x, self.norm, self.shape.epsilon)


def take_apart(model: Any, parameters: Parameters, scale: float, *, compiled: bool) -> Decoder:
    """The decoder of a transformers Llama and its adapter. The model's layers are given up one by one.

    Raises:
        ConfigurationError: the model has biases in its linear layers, which this decoder leaves out.
    """
    config = model.config
    if config.attention_bias or config.mlp_bias:
        raise ConfigurationError(
            "The local trainer tunes Llama models without biases; this base model has attention_bias or mlp_bias set"
        )
    layers = []
    for index in range(len(model.model.layers)):
        layers.append(_layer(model.model.layers[index], f"base_model.model.model.layers.{index}", parameters))
        model.model.layers[index] = torch.nn.Identity()
    head_size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return Decoder(
        model.model.embed_tokens.weight,
        tuple(layers),
        model.model.norm.weight,
        model.lm_head.weight,
        model.model.rotary_emb,
        Shape(config.num_attention_heads, config.num_key_value_heads, head_size, config.rms_norm_eps, scale),
        compile_for_any_length(_before, 3) if compiled else _before,
        compile_for_any_length(_after, 2) if compiled else _after,
    )


def _layer(module: Any, prefix: str, parameters: Parameters) -> Layer:
    def adapted(*names: str) -> Adapted:
        return stack(
            [module.get_submodule(name).weight for name in names],
            [parameters[f"{prefix}.{name}.lora_A.weight"] for name in names],
            [parameters[f"{prefix}.{name}.lora_B.weight"] for name in names],
        )

    return Layer(
        module.input_layernorm.weight,
        adapted("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
        adapted("self_attn.o_proj"),
        module.post_attention_layernorm.weight,
        adapted("mlp.gate_proj", "mlp.up_proj"),
        adapted("mlp.down_proj"),
    )


def _before(
    x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, layer: Layer, shape: Shape
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    qkv = apply(_normalized(x, layer.attention_norm, shape.epsilon), layer.qkv, shape.scale)
    heads = qkv.unflatten(1, (shape.heads + 2 * shape.key_heads, shape.head_size))
    query, key, value = heads.split([shape.heads, shape.key_heads, shape.key_heads], dim=1)
    return _rotated(query, cos, sin), _rotated(key, cos, sin), value


def _after(x: torch.Tensor, attended: torch.Tensor, layer: Layer, shape: Shape) -> torch.Tensor:
    x = x + apply(attended.flatten(1), layer.out, shape.scale)
    gate, up = apply(_normalized(x, layer.mlp_norm, shape.epsilon), layer.gate_up, shape.scale).chunk(2, 1)
    return x + apply(silu(gate) * up, layer.down, shape.scale)


def _normalized(x: torch.Tensor, weight: torch.Tensor, epsilon: float) -> torch.Tensor:
    wide = x.float()
    return weight * (wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + epsilon)).to(x.dtype)


def _rotated(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat((-second, first), dim=-1) * sin


def _positions(within: Documents) -> torch.Tensor:
    """Counted anew from 0 in every document."""
    starts = within.on_device
    ends = starts[1:]
    place = torch.arange(within.starts[-1], device=starts.device)
    return place - starts[torch.searchsorted(ends, place, right=True)]
