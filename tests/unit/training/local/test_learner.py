"""The packed decoder beside transformers' own padded one, on a small Llama of random weights in float32."""

import pytest

from gateway_tuning.errors import ConfigurationError
from gateway_tuning.training.local.batches import TokenizedChat
from gateway_tuning.training.local.hyperparameters import LoraHyperparameters

torch = pytest.importorskip("torch")

HYPERPARAMETERS = LoraHyperparameters(rank=4, learning_rate=1e-2, device="cpu", max_gradient_norm=1e9)
VOCABULARY = 199


on_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


def _model(**changes):
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
        tie_word_embeddings=True,
        attn_implementation="sdpa",
        **changes,
    )
    torch.manual_seed(1)
    return LlamaForCausalLM(config).requires_grad_(requires_grad=False).eval()


def _learner(hyperparameters=HYPERPARAMETERS):
    """With adapters that already change the model: a fresh B is zero and would hide A's gradient."""
    from gateway_tuning.training.local.learner import make_learner

    learner = make_learner(_model(), hyperparameters, seed=3, compiled=False)
    generator = torch.Generator().manual_seed(5)
    for parameter in learner.parameters.values():
        parameter.data.uniform_(-0.1, 0.1, generator=generator)
    return learner


def _chats(*lengths):
    generator = torch.Generator().manual_seed(len(lengths))
    return [
        TokenizedChat(tuple(torch.randint(VOCABULARY, (length,), generator=generator).tolist()), length // 3)
        for length in lengths
    ]


def _states(learner, chats):
    from gateway_tuning.training.local.attention import documents
    from gateway_tuning.training.local.batches import pack

    learner.decoder.refresh()
    packed = pack(chats)
    within = documents(packed.starts, torch.tensor(packed.starts))
    return learner.decoder.hidden(torch.tensor(packed.inputs), within).split(
        [len(chat) - 1 for chat in chats]
    )


def _merged(parameters):
    """transformers' model with the adapters added to its weights, differentiable by A and B."""
    scale = HYPERPARAMETERS.alpha / HYPERPARAMETERS.rank
    weights = {name: weight for name, weight in _model().state_dict().items() if name != "lm_head.weight"}
    for name, b in parameters.items():
        if name.endswith("lora_B.weight"):
            a = parameters[name.replace("lora_B", "lora_A")]
            layer = name.removeprefix("base_model.model.").replace("lora_B.weight", "weight")
            weights[layer] = weights[layer] + scale * b @ a
    return weights


def _padded_loss(parameters, chats):
    """As transformers computes it: rows padded to one length, a mask, and logits of every position."""
    width = max(map(len, chats))
    rows = torch.zeros(len(chats), width, dtype=torch.long)
    labels = torch.full_like(rows, -100)
    for row, chat in enumerate(chats):
        rows[row, : len(chat)] = torch.tensor(chat.tokens)
        labels[row, chat.answer_start : len(chat)] = rows[row, chat.answer_start : len(chat)]
    mask = torch.tensor([[1] * len(chat) + [0] * (width - len(chat)) for chat in chats])
    arguments = {"input_ids": rows, "attention_mask": mask, "labels": labels}
    return torch.func.functional_call(_model(), _merged(parameters), (), arguments).loss


def _gradients(learner, chats):
    """Of one step, which leaves the parameters as they were."""
    from gateway_tuning.training.local import learner as module

    found = {}
    for name, parameter in learner.parameters.items():
        parameter.register_hook(lambda gradient, name=name: found.setdefault(name, []).append(gradient))
    loss = module.learn(learner, chats, rate=0.0)
    return loss, {name: sum(parts) for name, parts in found.items()}


def _assert_close(gradients, expected):
    assert gradients.keys() == expected.keys()
    for name, gradient in gradients.items():
        torch.testing.assert_close(
            gradient, expected[name], rtol=1e-3, atol=1e-6, msg=lambda m, n=name: n + m
        )


def test_packed_chats_give_the_loss_and_gradients_of_padded_rows():
    chats = _chats(30, 7, 51, 18)
    learner = _learner()
    expected = _padded_loss(learner.parameters, chats)
    names = list(learner.parameters)
    wanted = torch.autograd.grad(expected, [learner.parameters[name] for name in names])
    loss, gradients = _gradients(learner, chats)
    assert loss == pytest.approx(float(expected.detach()), rel=1e-5)
    _assert_close(gradients, dict(zip(names, wanted, strict=True)))


def test_a_chat_does_not_see_the_others_in_its_row():
    first, second, third = _chats(20, 33, 12)
    other = TokenizedChat(tuple((token + 1) % VOCABULARY for token in second.tokens), second.answer_start)
    learner = _learner()
    before, after = _states(learner, [first, second, third]), _states(learner, [first, other, third])
    assert torch.equal(before[0], after[0])
    assert torch.equal(before[2], after[2])
    assert not torch.allclose(before[1], after[1])


def test_a_chat_has_the_states_that_it_has_alone():
    chats = _chats(20, 33, 12)
    learner = _learner()
    for together, chat in zip(_states(learner, chats), chats, strict=True):
        torch.testing.assert_close(together, _states(learner, [chat])[0], rtol=1e-4, atol=1e-5)


def test_several_passes_give_the_loss_and_gradients_of_one():
    chats = _chats(30, 7, 51, 18, 44)
    loss, gradients = _gradients(_learner(), chats)
    in_parts = _learner(HYPERPARAMETERS.model_copy(update={"tokens_per_pass": 55}))
    loss_in_parts, gradients_in_parts = _gradients(in_parts, chats)
    assert loss_in_parts == pytest.approx(loss, rel=1e-6)
    _assert_close(gradients_in_parts, gradients)


@pytest.mark.parametrize("at_a_time", [1, VOCABULARY * 3, VOCABULARY * 100])
def test_the_loss_taken_in_parts_is_the_whole_one(monkeypatch, at_a_time):
    from gateway_tuning.training.local import loss

    monkeypatch.setitem(loss._ELEMENTS, "cpu", at_a_time)
    torch.manual_seed(0)
    hidden = torch.randn(11, 64, requires_grad=True)
    head, targets = torch.randn(VOCABULARY, 64), torch.randint(VOCABULARY, (11,))
    whole = torch.nn.functional.cross_entropy(hidden @ head.T, targets, reduction="sum")
    (expected,) = torch.autograd.grad(2 * whole, hidden)
    in_parts = loss.summed_loss(hidden, head, targets)
    (gradient,) = torch.autograd.grad(2 * in_parts, hidden)
    torch.testing.assert_close(in_parts, whole)
    torch.testing.assert_close(gradient, expected, rtol=1e-4, atol=1e-5)


def test_looking_at_the_loss_learns_nothing():
    from gateway_tuning.training.local.learner import learn, mean_loss

    chats, learner = _chats(30, 7, 51), _learner()
    looked = mean_loss(learner, chats)
    assert mean_loss(learner, chats) == looked
    assert learn(learner, chats, rate=1e-2) == pytest.approx(looked, rel=1e-6)
    assert mean_loss(learner, chats) < looked


def test_a_gpu_that_is_not_there_is_named_with_the_remedy():
    from gateway_tuning.training.local.learner import choose_device

    if torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    assert choose_device("auto") == "cpu"
    with pytest.raises(ConfigurationError, match="set device to auto or cpu"):
        choose_device("cuda")


def test_a_base_model_with_biases_is_refused():
    from gateway_tuning.training.local.learner import make_learner

    with pytest.raises(ConfigurationError, match="attention_bias"):
        make_learner(_model(attention_bias=True), HYPERPARAMETERS, seed=0, compiled=False)


def test_base_weights_in_a_form_that_can_run_code_are_refused(tmp_path):
    from gateway_tuning.training.local.lora import load_base

    model = _model()
    model.config.save_pretrained(tmp_path)
    torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(OSError, match="safetensors"):
        load_base(tmp_path, "cpu")
    model.save_pretrained(tmp_path)
    assert load_base(tmp_path, "cpu").dtype is torch.bfloat16


def _trained(weights, checkpoints, *, stop_after=None):
    from gateway_tuning.training.local import trainer

    steps = []
    trained = trainer.train(
        weights,
        _chats(20, 31, 9, 44, 27, 13, 38),
        _chats(25, 11),
        HYPERPARAMETERS.model_copy(
            update={"max_steps": 7, "batch_size": 3, "tokens_per_pass": 60, "evaluate_every": 2}
        ),
        seed=4,
        checkpoint_folder=checkpoints,
        on_start=lambda step, of: None,
        on_step=steps.append,
        should_stop=lambda: stop_after is not None and len(steps) + 1 >= stop_after,
    )
    return trained, [step.loss for step in steps]


@pytest.fixture
def small_weights(tmp_path):
    _model().save_pretrained(tmp_path / "weights")
    yield tmp_path / "weights"
    torch.use_deterministic_algorithms(mode=False)  # the trainer sets it for its whole process


@pytest.mark.parametrize("stop", [1, 2, 5])
def test_a_run_stopped_in_mid_epoch_goes_on_as_if_it_had_not_been(small_weights, tmp_path, stop):
    whole, losses = _trained(small_weights, tmp_path / "whole")
    _, first = _trained(small_weights, tmp_path / "parts", stop_after=stop)
    resumed, rest = _trained(small_weights, tmp_path / "parts")
    assert len(first) == stop
    assert first + rest == losses
    assert all(torch.equal(resumed.parameters[name], tensor) for name, tensor in whole.parameters.items())
    assert {path.suffix for path in (tmp_path / "parts").iterdir()} == {".safetensors", ".json"}


@on_gpu
def test_flash_attention_stays_within_a_document_and_is_right():
    from gateway_tuning.training.local.attention import Documents, attend

    torch.manual_seed(0)
    starts = [0, 33, 40, 190]
    within = Documents(starts, 150, torch.tensor(starts, dtype=torch.int32, device="cuda"))
    query, key, value = (
        torch.randn(190, heads, 64, device="cuda", requires_grad=True) for heads in (8, 2, 2)
    )
    slope = torch.randn(190, 8, 64, device="cuda")
    exact = attend(query, key, value, within)
    flash = attend(query.bfloat16(), key.bfloat16(), value.bfloat16(), within)
    wanted = torch.autograd.grad(exact, (query, key, value), slope)
    found = torch.autograd.grad(flash, (query, key, value), slope.bfloat16())
    for one, other in zip((flash, *found), (exact, *wanted), strict=True):
        assert (one - other).norm() < 1e-2 * other.norm()


@on_gpu
def test_compiled_layers_learn_as_the_others_do_whatever_the_number_of_tokens():
    from gateway_tuning.training.local.learner import learn, make_learner

    batches = [_chats(30, 7, 51), _chats(90), _chats(5, 6, 7, 8, 200)]
    losses = []
    for compiled in (False, True):
        learner = make_learner(_model().cuda().bfloat16(), HYPERPARAMETERS, seed=3, compiled=compiled)
        losses.append([learn(learner, batch, rate=1e-3) for batch in batches * 2])
    assert losses[1] == pytest.approx(losses[0], rel=2e-3)


@on_gpu
@pytest.mark.parametrize("compiled", [False, True])
def test_a_run_resumed_on_a_gpu_gives_the_same_bytes(small_weights, tmp_path, monkeypatch, compiled):
    from gateway_tuning.training.local import trainer

    monkeypatch.setattr(trainer, "compiling_pays", lambda _model, _tokens: compiled)
    monkeypatch.setattr(trainer, "choose_device", lambda _wanted: "cuda")
    whole, losses = _trained(small_weights, tmp_path / "whole")
    _, first = _trained(small_weights, tmp_path / "parts", stop_after=3)
    resumed, rest = _trained(small_weights, tmp_path / "parts")
    assert first + rest == losses
    assert all(torch.equal(resumed.parameters[name], tensor) for name, tensor in whole.parameters.items())
