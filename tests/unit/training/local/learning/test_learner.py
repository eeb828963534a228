"""The packed decoder beside transformers' own padded one, on a small Llama of random weights in float32."""

import pytest

from gateway_tuning.errors import ConfigurationError
from gateway_tuning.training.local.data.batches import TokenizedChat
from gateway_tuning.training.local.data.examples import Example
from tests.unit.training.local import tiny

torch = pytest.importorskip("torch")

on_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


def _states(learner, chats):
    from gateway_tuning.training.local.data.batches import pack
    from gateway_tuning.training.local.model.attention import documents

    learner.decoder.refresh()
    packed = pack(chats)
    within = documents(packed.starts, torch.tensor(packed.starts))
    return learner.decoder.hidden(torch.tensor(packed.inputs), within).split(
        [len(chat) - 1 for chat in chats]
    )


def _padded_loss(parameters, chats):
    logits, rows, is_answer = tiny.padded_logits(parameters, chats)
    labels = rows.masked_fill(~is_answer, -100)[:, 1:]
    return torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), labels.flatten())


def _gradients(learner, chats):
    """Of one step, which leaves the parameters as they were."""
    from gateway_tuning.training.local.learning.supervised import learn

    return tiny.gradients_of(learner, lambda: learn(learner, chats, rate=0.0))


def test_packed_chats_give_the_loss_and_gradients_of_padded_rows():
    chats = tiny.chats(30, 7, 51, 18)
    learner = tiny.learner()
    expected = _padded_loss(learner.parameters, chats)
    names = list(learner.parameters)
    wanted = torch.autograd.grad(expected, [learner.parameters[name] for name in names])
    loss, gradients = _gradients(learner, chats)
    assert loss == pytest.approx(float(expected.detach()), rel=1e-5)
    tiny.assert_close(gradients, dict(zip(names, wanted, strict=True)))


def test_a_chat_does_not_see_the_others_in_its_row():
    first, second, third = tiny.chats(20, 33, 12)
    other = TokenizedChat(
        tuple((token + 1) % tiny.VOCABULARY for token in second.tokens), second.answer_start
    )
    learner = tiny.learner()
    before, after = _states(learner, [first, second, third]), _states(learner, [first, other, third])
    assert torch.equal(before[0], after[0])
    assert torch.equal(before[2], after[2])
    assert not torch.allclose(before[1], after[1])


def test_a_chat_has_the_states_that_it_has_alone():
    chats = tiny.chats(20, 33, 12)
    learner = tiny.learner()
    for together, chat in zip(_states(learner, chats), chats, strict=True):
        torch.testing.assert_close(together, _states(learner, [chat])[0], rtol=1e-4, atol=1e-5)


def test_several_passes_give_the_loss_and_gradients_of_one():
    chats = tiny.chats(30, 7, 51, 18, 44)
    loss, gradients = _gradients(tiny.learner(), chats)
    in_parts = tiny.learner(tiny.HYPERPARAMETERS.model_copy(update={"tokens_per_pass": 55}))
    loss_in_parts, gradients_in_parts = _gradients(in_parts, chats)
    assert loss_in_parts == pytest.approx(loss, rel=1e-6)
    tiny.assert_close(gradients_in_parts, gradients)


@pytest.mark.parametrize("at_a_time", [1, tiny.VOCABULARY * 3, tiny.VOCABULARY * 100])
def test_the_loss_taken_in_parts_is_the_whole_one(monkeypatch, at_a_time):
    from gateway_tuning.training.local.model import loss

    monkeypatch.setitem(loss._ELEMENTS, "cpu", at_a_time)
    torch.manual_seed(0)
    hidden = torch.randn(11, 64, requires_grad=True)
    head, targets = torch.randn(tiny.VOCABULARY, 64), torch.randint(tiny.VOCABULARY, (11,))
    whole = torch.nn.functional.cross_entropy(hidden @ head.T, targets, reduction="sum")
    (expected,) = torch.autograd.grad(2 * whole, hidden)
    in_parts = loss.token_losses(hidden, head, targets).sum()
    (gradient,) = torch.autograd.grad(2 * in_parts, hidden)
    torch.testing.assert_close(in_parts, whole)
    torch.testing.assert_close(gradient, expected, rtol=1e-4, atol=1e-5)


def test_looking_at_the_loss_learns_nothing():
    from gateway_tuning.training.local.learning.supervised import learn, mean_loss

    chats, learner = tiny.chats(30, 7, 51), tiny.learner()
    looked = mean_loss(learner, chats)
    assert mean_loss(learner, chats) == looked
    assert learn(learner, chats, rate=1e-2) == pytest.approx(looked, rel=1e-6)
    assert mean_loss(learner, chats) < looked


def test_a_step_from_parameters_that_diverged_is_told_and_not_taken_for_a_result():
    from gateway_tuning.training.local.learning.supervised import learn

    learner = tiny.learner()
    next(iter(learner.parameters.values())).data.fill_(torch.inf)
    with pytest.raises(ConfigurationError, match="diverged: its loss is nan"):
        learn(learner, tiny.chats(30, 7), rate=1e-2)


def test_memory_that_runs_out_while_looking_is_told_with_the_remedy():
    from gateway_tuning.training.local.learning.learner import look

    def too_much(_part):
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(ConfigurationError, match="lower tokens_per_pass"):
        look(tiny.learner(), tiny.chats(30, 7), too_much)


def test_a_gpu_that_is_not_there_is_named_with_the_remedy():
    from gateway_tuning.training.local.learning.learner import choose_device

    if torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    assert choose_device("auto") == "cpu"
    with pytest.raises(ConfigurationError, match="set device to auto or cpu"):
        choose_device("cuda")


def test_a_base_model_with_biases_is_refused():
    from gateway_tuning.training.local.learning.learner import make_learner

    with pytest.raises(ConfigurationError, match="attention_bias"):
        make_learner(tiny.model(attention_bias=True), tiny.HYPERPARAMETERS, seed=0, compiled=False)


def test_base_weights_in_a_form_that_can_run_code_are_refused(tmp_path):
    from gateway_tuning.training.local.model.lora import load_base

    model = tiny.model()
    model.config.save_pretrained(tmp_path)
    torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(OSError, match="safetensors"):
        load_base(tmp_path, "cpu")
    model.save_pretrained(tmp_path)
    assert load_base(tmp_path, "cpu").dtype is torch.bfloat16


def _trained(weights, checkpoints, *, stop_after=None):
    from gateway_tuning.training.local.learning import trainer
    from gateway_tuning.training.local.learning.supervised import Supervised

    steps = []
    trained = trainer.train(
        weights,
        [Example((chat,)) for chat in tiny.chats(20, 31, 9, 44, 27, 13, 38)],
        [Example((chat,)) for chat in tiny.chats(25, 11)],
        Supervised(),
        tiny.HYPERPARAMETERS.model_copy(
            update={"max_steps": 7, "batch_size": 3, "tokens_per_pass": 60, "evaluate_every": 2}
        ),
        seed=4,
        checkpoint_folder=checkpoints,
        reference_file=checkpoints.with_suffix(".json"),
        on_start=lambda step, of: None,
        on_step=steps.append,
        should_stop=lambda: stop_after is not None and len(steps) + 1 >= stop_after,
    )
    return trained, [step.loss for step in steps]


@pytest.fixture
def small_weights(tmp_path):
    tiny.model().save_pretrained(tmp_path / "weights")
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
    from gateway_tuning.training.local.model.attention import Documents, attend

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
    from gateway_tuning.training.local.learning.learner import make_learner
    from gateway_tuning.training.local.learning.supervised import learn

    batches = [tiny.chats(30, 7, 51), tiny.chats(90), tiny.chats(5, 6, 7, 8, 200)]
    losses = []
    for compiled in (False, True):
        learner = make_learner(
            tiny.model().cuda().bfloat16(), tiny.HYPERPARAMETERS, seed=3, compiled=compiled
        )
        losses.append([learn(learner, batch, rate=1e-3) for batch in batches * 2])
    assert losses[1] == pytest.approx(losses[0], rel=2e-3)


@on_gpu
@pytest.mark.parametrize("compiled", [False, True])
def test_a_run_resumed_on_a_gpu_gives_the_same_bytes(small_weights, tmp_path, monkeypatch, compiled):
    from gateway_tuning.training.local.learning import trainer

    monkeypatch.setattr(trainer, "compiling_pays", lambda _model, _tokens: compiled)
    monkeypatch.setattr(trainer, "choose_device", lambda _wanted: "cuda")
    whole, losses = _trained(small_weights, tmp_path / "whole")
    _, first = _trained(small_weights, tmp_path / "parts", stop_after=3)
    resumed, rest = _trained(small_weights, tmp_path / "parts")
    assert first + rest == losses
    assert all(torch.equal(resumed.parameters[name], tensor) for name, tensor in whole.parameters.items())
