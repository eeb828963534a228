"""Causal attention within each document of a packed row: no token sees another document's.

Imports torch: for the worker only.
"""

import inspect
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch.nn.attention.varlen import varlen_attn
from torch.nn.functional import scaled_dot_product_attention

# Older releases share key heads among query heads without being asked to.
_SHARED_HEADS = {"enable_gqa": True} if "enable_gqa" in inspect.signature(varlen_attn).parameters else {}


@dataclass(frozen=True, slots=True)
class Documents:
    """Where the documents of a row begin; the last entry is the row's length. `longest` in tokens."""

    starts: list[int]
    longest: int
    on_device: torch.Tensor  # `starts` as int32


def documents(starts: list[int], on_device: torch.Tensor) -> Documents:
    longest = max(end - start for start, end in pairwise(starts))
    return Documents(starts, longest, on_device.int())


def on_device(numbers: list[int], device: torch.device) -> torch.Tensor:
    """A copy that does not wait for what the GPU is still doing, so that the next pass is ready when it is."""
    tensor = torch.tensor(numbers)
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor


def attend(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, within: Documents) -> torch.Tensor:
    """All of shape (tokens, heads, head size); key and value may have fewer heads, each shared by a group."""
    if query.is_cuda and query.dtype in {torch.bfloat16, torch.float16}:
        return _flash(query, key, value, within)
    return _one_by_one(query, key, value, within)


def _flash(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, within: Documents) -> torch.Tensor:
    starts, longest = within.on_device, within.longest
    attended: torch.Tensor = varlen_attn(
        query, key, value, starts, starts, longest, longest, window_size=(-1, 0), **_SHARED_HEADS
    )
    return attended


def _one_by_one(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, within: Documents
) -> torch.Tensor:
    sizes = [end - start for start, end in pairwise(within.starts)]
    parts = zip(query.split(sizes), key.split(sizes), value.split(sizes), strict=True)
    return torch.cat([_dense(*part) for part in parts])


def _dense(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    q, k, v = (part.transpose(0, 1)[None] for part in (query, key, value))
    shared = query.shape[1] != key.shape[1]
    return scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=shared)[0].transpose(0, 1)
