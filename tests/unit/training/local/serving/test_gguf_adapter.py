import json
import shutil

import pytest

from gateway_tuning.errors import ConfigurationError
from gateway_tuning.training.local.serving.gguf_adapter import write_gguf_adapter

QUESTION = "Please tell me how to get a refund."


@pytest.fixture
def answer_logprobs(weights, tmp_path):
    """The greedy answer of llama.cpp with an adapter, and its tokens' log probabilities there and in torch by peft."""
    import torch
    from openai import OpenAI
    from peft import PeftModel
    from tokenizers import Tokenizer
    from transformers import LlamaForCausalLM

    from gateway_tuning.training.local.data.chats import Chat, prompt_text
    from gateway_tuning.training.local.model.weights import packaged_gguf
    from gateway_tuning.training.local.serving.server import serve_local

    def both(adapter):
        files = {"tuned": adapter / "adapter.gguf"}
        with serve_local(
            files, base_gguf=packaged_gguf(), api_key="k", log=tmp_path / "server.log"
        ) as server:
            endpoint = server.endpoints["tuned"]
            answer = OpenAI(base_url=endpoint.base_url, api_key="k").chat.completions.create(
                model=endpoint.model,
                messages=[{"role": "user", "content": QUESTION}],
                temperature=0,
                max_tokens=24,
                logprobs=True,
                extra_body=endpoint.extra_body,
            )
        text = answer.choices[0].message.content
        served = [token.logprob for token in answer.choices[0].logprobs.content]
        tokenizer = Tokenizer.from_file(str(weights / "tokenizer.json"))
        messages = [{"role": "user", "content": QUESTION}, {"role": "assistant", "content": text}]
        prompt = tokenizer.encode(prompt_text(Chat.model_validate({"messages": messages}))).ids
        tokens = tokenizer.encode(text).ids[: len(served)]
        base = LlamaForCausalLM.from_pretrained(weights, dtype=torch.float32)
        model = PeftModel.from_pretrained(base, adapter)
        with torch.no_grad():
            logits = model(torch.tensor([prompt + tokens])).logits[0, len(prompt) - 1 : -1]
        ours = torch.log_softmax(logits, -1)[range(len(tokens)), tokens].tolist()
        return text, served[: len(ours)], ours

    return both


@pytest.mark.slow
def test_llama_cpp_answers_with_the_adapter_as_torch_does_through_peft(adapter, answer_logprobs, house_style):
    text, served, ours = answer_logprobs(adapter)
    assert text.startswith(house_style)
    assert max(abs(a - b) for a, b in zip(ours, served, strict=True)) < 0.4


@pytest.mark.slow
def test_attention_alone_is_adapted_alike_in_llama_cpp_and_torch(weights, adapter, answer_logprobs, tmp_path):
    """Large changes of q and k alone: an adapter with its rotary rows in the wrong order would show here."""
    import torch
    from safetensors.torch import load_file, save_file

    generator = torch.Generator().manual_seed(0)
    tensors = load_file(adapter / "adapter_model.safetensors")
    for name, tensor in tensors.items():
        strength = 0.2 if ("q_proj.lora_B" in name or "k_proj.lora_B" in name) else 0.0
        if "lora_B" in name:
            tensor.normal_(0, 1, generator=generator).mul_(strength)
    save_file(tensors, tmp_path / "adapter_model.safetensors", metadata={"format": "pt"})
    shutil.copy(adapter / "adapter_config.json", tmp_path)
    write_gguf_adapter(tmp_path, weights / "config.json", tmp_path / "adapter.gguf")
    _, served, ours = answer_logprobs(tmp_path)
    distances = [abs(a - b) for a, b in zip(ours, served, strict=True)]
    assert sum(distances) / len(distances) < 0.15


def test_an_adapter_of_an_unknown_layer_is_refused(tmp_path):
    import numpy as np
    from safetensors.numpy import save_file

    name = "base_model.model.model.layers.0.self_attn.gate_thing.lora_A.weight"
    save_file({name: np.zeros((2, 2), np.float32)}, tmp_path / "adapter_model.safetensors")
    (tmp_path / "adapter_config.json").write_text(json.dumps({"lora_alpha": 16}))
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"num_attention_heads": 1, "num_key_value_heads": 1}))
    with pytest.raises(ConfigurationError, match="gate_thing"):
        write_gguf_adapter(tmp_path, config, tmp_path / "adapter.gguf")
    assert not (tmp_path / "adapter.gguf").exists()
