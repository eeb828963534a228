"""A base model of the user's own: a local folder with a Llama as safetensors, its tokenizer and its chat template.

It is checked before anything is trained, without loading a weight. Light: imported by forms and checks that never
train.
"""

import hashlib
import json
from functools import lru_cache
from pathlib import Path
from typing import Any

from gateway_tuning.errors import ConfigurationError
from gateway_tuning.storage.object_store import file_sha256

ARCHITECTURE = "LlamaForCausalLM"
_INDEX = "model.safetensors.index.json"
_TEMPLATE = "chat_template.jinja"
_BESIDES = (
    "config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    _TEMPLATE,
    _INDEX,
)


def checked(folder: Path) -> str:
    """The checksum of all that training reads of the model.

    Raises:
        ConfigurationError: a file is missing or damaged, or it is a model that the local trainer does not tune.
    """
    _check_config(folder, _json(folder, "config.json"))
    weights = _weights(folder)
    for name in weights:
        _check_safetensors(folder / name)
    if not (folder / "tokenizer.json").is_file():
        raise ConfigurationError(
            f"{folder} has no tokenizer.json; save the model's fast tokenizer there with save_pretrained"
        )
    has_template = (folder / _TEMPLATE).is_file() or "chat_template" in _json(folder, "tokenizer_config.json")
    if not has_template:
        raise ConfigurationError(
            f"{folder} has no chat template, so nobody knows how a chat becomes text for this model; add "
            f"{_TEMPLATE}, or chat_template in tokenizer_config.json"
        )
    names = [*weights, *(name for name in _BESIDES if (folder / name).is_file())]
    listing = [f"{name} {_sha256(folder / name)}" for name in sorted(names)]
    return hashlib.sha256("\n".join(listing).encode()).hexdigest()


def _check_config(folder: Path, config: dict[str, Any]) -> None:
    architectures = config.get("architectures") or [config.get("model_type", "unknown")]
    if architectures != [ARCHITECTURE]:
        raise ConfigurationError(
            f"{folder} holds a {', '.join(map(str, architectures))}; the local trainer tunes {ARCHITECTURE}"
        )
    if config.get("quantization_config"):
        raise ConfigurationError(f"{folder} holds quantized weights; give the model in bfloat16 or float32")
    if config.get("hidden_act", "silu") != "silu" or config.get("attention_bias") or config.get("mlp_bias"):
        raise ConfigurationError(
            f"{folder} holds a Llama with biases or another activation than silu, which the local trainer does not tune"
        )


def _weights(folder: Path) -> list[str]:
    if (folder / "model.safetensors").is_file():
        return ["model.safetensors"]
    if not (folder / _INDEX).is_file():
        raise ConfigurationError(
            f"{folder} has no model.safetensors; other forms of weights can run code and are not read. Save the model "
            "with save_pretrained"
        )
    names = sorted(set(_json(folder, _INDEX).get("weight_map", {}).values()))
    if missing := [name for name in names if Path(name).name != name or not (folder / name).is_file()]:
        raise ConfigurationError(
            f"{folder / _INDEX} names {', '.join(missing)}, not in this folder; copy it there"
        )
    return names


def _check_safetensors(path: Path) -> None:
    """The header says where the last tensor ends."""
    size = path.stat().st_size
    with path.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if length <= size - 8:
            try:
                header: dict[str, Any] = json.loads(stream.read(length))
                ends = [
                    tensor["data_offsets"][1] for name, tensor in header.items() if name != "__metadata__"
                ]
            except (ValueError, KeyError, TypeError, IndexError, AttributeError):
                ends = []
            if ends and 8 + length + max(ends) == size:
                return
    raise ConfigurationError(
        f"{path} is damaged: its {size} bytes are no whole safetensors file; copy it again"
    )


def _json(folder: Path, name: str) -> dict[str, Any]:
    path = folder / name
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigurationError(
            f"{folder} has no {name}; save the model there with save_pretrained"
        ) from None
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{path} cannot be read as JSON ({error}); copy it again") from error
    if not isinstance(content, dict):
        raise ConfigurationError(f"{path} is no JSON object; copy it again")
    return content


def _sha256(path: Path) -> str:
    found = path.stat()
    return _sha256_of(path, found.st_size, found.st_mtime_ns)


@lru_cache(maxsize=64)  # gigabytes, asked for at every look of one process at the same job
def _sha256_of(path: Path, _size: int, _changed: int) -> str:
    return file_sha256(path)
