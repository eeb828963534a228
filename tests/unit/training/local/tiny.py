"""A small Llama of random weights in float32, beside what transformers makes of the same chats padded."""

import pytest

from gateway_tuning.training.local.data.batches import TokenizedChat
from gateway_tuning.training.local.hyperparameters import LoraHyperparameters

torch = pytest.importorskip("torch")

HYPERPARAMETERS = LoraHyperparameters(rank=4, learning_rate=1e-2, device="cpu", max_gradient_norm=1e9)
VOCABULARY = 199


def model(**changes):
    from transformers import LlamaConfig, LlamaForCausalLM

    shape = {
        "vocab_size": VOCABULARY,
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 256,
        "tie_word_embeddings": True,
        "attn_implementation": "sdpa",
    }
    config = LlamaConfig(**(shape | changes))
    torch.manual_seed(1)
    return LlamaForCausalLM(config).requires_grad_(requires_grad=False).eval()


TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}[{{ message['role'] }}] {{ message['content'] | trim }}"
    "{% if message['role'] == 'assistant' %}{{ eos_token }}{% endif %}{{ '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}[assistant] {% endif %}"
)


def save_own_base(folder, template=TEMPLATE):
    """A model's folder as save_pretrained leaves it: one token a byte, and the ends of a text."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={byte: place for place, byte in enumerate(alphabet)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    ends = {"bos_token": "<s>", "eos_token": "</s>"}
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, **ends)
    fast.chat_template = template
    fast.save_pretrained(folder)
    model(vocab_size=len(fast)).save_pretrained(folder)
    return folder


def learner(hyperparameters=HYPERPARAMETERS):
    """With adapters that already change the model: a fresh B is zero and would hide A's gradient."""
    from gateway_tuning.training.local.learning.learner import make_learner

    made = make_learner(model(), hyperparameters, seed=3, compiled=False)
    generator = torch.Generator().manual_seed(5)
    for parameter in made.parameters.values():
        parameter.data.uniform_(-0.1, 0.1, generator=generator)
    return made


def chats(*lengths):
    generator = torch.Generator().manual_seed(len(lengths))
    return [
        TokenizedChat(tuple(torch.randint(VOCABULARY, (length,), generator=generator).tolist()), length // 3)
        for length in lengths
    ]


def merged(parameters):
    """transformers' model with the adapters added to its weights, differentiable by A and B."""
    scale = HYPERPARAMETERS.alpha / HYPERPARAMETERS.rank
    weights = {name: weight for name, weight in model().state_dict().items() if name != "lm_head.weight"}
    for name, b in parameters.items():
        if name.endswith("lora_B.weight"):
            a = parameters[name.replace("lora_B", "lora_A")]
            layer = name.removeprefix("base_model.model.").replace("lora_B.weight", "weight")
            weights[layer] = weights[layer] + scale * b @ a
    return weights


def padded_logits(parameters, chats):
    """As transformers computes them: rows padded to one length and a mask. Also the rows and where answers are."""
    width = max(map(len, chats))
    rows = torch.zeros(len(chats), width, dtype=torch.long)
    is_answer = torch.zeros_like(rows, dtype=torch.bool)
    for row, chat in enumerate(chats):
        rows[row, : len(chat)] = torch.tensor(chat.tokens)
        is_answer[row, chat.answer_start : len(chat)] = True
    mask = torch.tensor([[1] * len(chat) + [0] * (width - len(chat)) for chat in chats])
    arguments = {"input_ids": rows, "attention_mask": mask}
    return torch.func.functional_call(model(), merged(parameters), (), arguments).logits, rows, is_answer


def padded_log_probabilities(parameters, chats):
    """Of each chat's answer."""
    logits, rows, is_answer = padded_logits(parameters, chats)
    each = logits[:, :-1].log_softmax(-1).gather(2, rows[:, 1:, None])[:, :, 0]
    return (each * is_answer[:, 1:]).sum(1)


def gradients_of(learner, step):
    """Those of each parameter while `step` runs, and what it returns."""
    found = {}
    hooks = [
        parameter.register_hook(lambda gradient, name=name: found.setdefault(name, []).append(gradient))
        for name, parameter in learner.parameters.items()
    ]
    result = step()
    for hook in hooks:
        hook.remove()
    return result, {name: sum(parts) for name, parts in found.items()}


def assert_close(gradients, expected):
    assert gradients.keys() == expected.keys()
    for name, gradient in gradients.items():
        torch.testing.assert_close(
            gradient, expected[name], rtol=1e-3, atol=1e-6, msg=lambda m, n=name: n + m
        )
