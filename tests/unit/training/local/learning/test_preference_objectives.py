"""DPO and KTO on packed chats beside TRL's formulas on padded ones, on a small Llama of random weights."""

import json

import pytest

from gateway_tuning.training.local.data.batches import TokenizedChat
from gateway_tuning.training.local.data.examples import Example
from tests.unit.training.local import tiny

torch = pytest.importorskip("torch")

BETA, SMOOTHING, DESIRABLE, UNDESIRABLE = 0.3, 0.1, 1.5, 0.7
LABELS = (True, False, False, True)


def _dpo(smoothing=SMOOTHING):
    from gateway_tuning.training.local.learning.dpo import Dpo

    return Dpo(BETA, smoothing)


def _kto():
    from gateway_tuning.training.local.learning.kto import Kto

    return Kto(BETA, DESIRABLE, UNDESIRABLE)


def _base_log_probabilities(chats):
    with torch.no_grad():
        return tiny.padded_log_probabilities({}, chats)


def _referenced(*groups, labels=(None,) * 9):
    """Examples of these groups of chats, with references from the padded base."""
    return [
        Example(tuple(chats), label, tuple(_base_log_probabilities(chats).tolist()))
        for chats, label in zip(groups, labels, strict=False)
    ]


def _pairs():
    chosen, rejected = tiny.chats(30, 7, 51, 18), tiny.chats(22, 19, 12)
    return _referenced(*zip(chosen, [*rejected, chosen[0]], strict=True))


def _labelled():
    answers, others = tiny.chats(30, 7, 51, 18), tiny.chats(22, 19, 12)
    return _referenced(*zip(answers, [*others, answers[0]], strict=True), labels=LABELS)


def _column(examples, parameters, chat):
    """Log ratios on padded rows, differentiable by A and B."""
    reference = torch.tensor([example.reference[chat] for example in examples])
    return tiny.padded_log_probabilities(parameters, [e.chats[chat] for e in examples]) - reference


def _trl_dpo_loss(examples, parameters):
    """`DPOTrainer`, loss type sigmoid, with the label smoothing of releases before 1.0."""
    logits = _column(examples, parameters, 0) - _column(examples, parameters, 1)
    log_sigmoid = torch.nn.functional.logsigmoid
    losses = -log_sigmoid(BETA * logits) * (1 - SMOOTHING) - log_sigmoid(-BETA * logits) * SMOOTHING
    return losses.mean()


def _trl_kto_loss(examples, parameters):
    """`KTOTrainer`, loss type kto: the chosen ones first, then the rejected, then the mean of all."""
    kl = _column(examples, parameters, 1).mean().detach().clamp(min=0)
    ratios, is_desirable = _column(examples, parameters, 0), torch.tensor(LABELS)
    chosen = 1 - torch.sigmoid(BETA * (ratios[is_desirable] - kl))
    rejected = 1 - torch.sigmoid(BETA * (kl - ratios[~is_desirable]))
    return torch.cat((DESIRABLE * chosen, UNDESIRABLE * rejected)).mean()


CASES = {"dpo": (_dpo, _pairs, _trl_dpo_loss), "kto": (_kto, _labelled, _trl_kto_loss)}


@pytest.fixture(params=sorted(CASES))
def case(request):
    objective, examples, formula = CASES[request.param]
    return objective(), examples(), formula


@pytest.mark.parametrize("tokens_per_pass", [16, 10_000])
def test_packed_chats_give_the_loss_and_gradients_of_trl_s_formula_on_padded_rows(case, tokens_per_pass):
    objective, examples, formula = case
    learner = tiny.learner(tiny.HYPERPARAMETERS.model_copy(update={"tokens_per_pass": tokens_per_pass}))
    names = list(learner.parameters)
    expected = formula(examples, learner.parameters)
    wanted = torch.autograd.grad(expected, [learner.parameters[name] for name in names])

    figures, gradients = tiny.gradients_of(learner, lambda: objective.learn(learner, examples, 0.0))

    assert figures["loss"] == pytest.approx(float(expected.detach()), rel=1e-5)
    tiny.assert_close(gradients, dict(zip(names, wanted, strict=True)))


def test_looking_gives_the_figures_of_a_step_and_learns_nothing(case):
    objective, examples, _ = case
    learner = tiny.learner()
    looked = objective.look(learner, examples)
    assert objective.look(learner, examples) == looked
    assert objective.learn(learner, examples, 1e-2) == pytest.approx(looked, rel=1e-6)
    assert objective.look(learner, examples)["loss"] < looked["loss"]


def test_rewards_margin_and_accuracy_are_those_of_the_log_ratios():
    learner, pairs = tiny.learner(), _pairs()
    figures = _dpo().look(learner, pairs)
    with torch.no_grad():
        chosen, rejected = (BETA * _column(pairs, learner.parameters, chat) for chat in (0, 1))
    assert figures["reward_chosen"] == pytest.approx(float(chosen.mean()), rel=1e-4)
    assert figures["reward_rejected"] == pytest.approx(float(rejected.mean()), rel=1e-4)
    assert figures["reward_margin"] == pytest.approx(float((chosen - rejected).mean()), rel=1e-4)
    assert figures["reward_accuracy"] == float((chosen > rejected).float().mean())
    assert 0 < figures["reward_accuracy"] < 1


def test_a_batch_of_one_kind_tells_no_margin():
    learner, examples = tiny.learner(), [one for one in _labelled() if one.desirable]
    figures = _kto().look(learner, examples)
    assert figures.keys() == {"loss", "divergence", "reward_chosen"}


def test_the_reference_is_the_base_without_its_adapter(tmp_path):
    from gateway_tuning.training.local.learning.reference import with_reference

    learner = tiny.learner()
    bare = [Example(one.chats) for one in _pairs()]
    (found,) = with_reference(learner, [bare], tmp_path / "reference.json", lambda: False)
    for given, wanted in zip(found, _pairs(), strict=True):
        assert given.reference == pytest.approx(wanted.reference, rel=1e-5)


def test_the_reference_is_computed_once_and_again_where_its_file_is_damaged(tmp_path):
    from gateway_tuning.training.local.learning.reference import with_reference

    kept, bare = tmp_path / "reference.json", [Example(one.chats) for one in _pairs()]
    first = with_reference(tiny.learner(), [bare, bare[:1]], kept, lambda: False)

    def not_needed():
        raise AssertionError("it was computed again")

    assert with_reference(tiny.learner(), [bare, bare[:1]], kept, not_needed) == first
    for damage in (kept.read_text()[:-9], json.dumps([[[0.0]]])):
        kept.write_text(damage)
        assert with_reference(tiny.learner(), [bare, bare[:1]], kept, lambda: False) == first


def test_a_wish_to_stop_is_heard_before_the_reference_is_whole(tmp_path):
    from gateway_tuning.training.local.learning.reference import with_reference

    kept = tmp_path / "reference.json"
    assert with_reference(tiny.learner(), [[Example(_pairs()[0].chats)]], kept, lambda: True) is None
    assert not kept.exists()


def _trained(weights, folder, objective, examples, *, stop_after=None):
    from gateway_tuning.training.local.learning import trainer

    steps = []
    trained = trainer.train(
        weights,
        examples,
        examples[:2],
        objective,
        tiny.HYPERPARAMETERS.model_copy(
            update={"max_steps": 4, "batch_size": 3, "tokens_per_pass": 80, "evaluate_every": 2}
        ),
        seed=4,
        checkpoint_folder=folder,
        reference_file=folder.with_suffix(".json"),
        on_start=lambda step, of: None,
        on_step=steps.append,
        should_stop=lambda: stop_after is not None and len(steps) + 1 >= stop_after,
    )
    return trained, [step.figures for step in steps]


@pytest.fixture(scope="module")
def small_weights(tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights")
    tiny.model().save_pretrained(folder)
    yield folder
    torch.use_deterministic_algorithms(mode=False)  # the trainer sets it for its whole process


def test_a_resumed_run_gives_the_bytes_of_one_without_interruption(case, small_weights, tmp_path):
    objective, examples, _ = case
    whole, figures = _trained(small_weights, tmp_path / "whole", objective, examples)
    _, first = _trained(small_weights, tmp_path / "parts", objective, examples, stop_after=2)
    before = (tmp_path / "parts.json").stat().st_mtime_ns
    resumed, rest = _trained(small_weights, tmp_path / "parts", objective, examples)
    assert first + rest == figures
    assert (tmp_path / "parts.json").stat().st_mtime_ns == before
    assert all(torch.equal(resumed.parameters[name], tensor) for name, tensor in whole.parameters.items())
    assert resumed.train_figures == whole.train_figures
    assert resumed.counters.best_validation == whole.counters.best_validation


def test_the_first_step_begins_at_the_base_where_nothing_is_preferred(small_weights, tmp_path):
    _, figures = _trained(small_weights, tmp_path / "run", _dpo(smoothing=0.0), _pairs())
    assert figures[0]["loss"] == pytest.approx(0.6931, abs=1e-3)  # log 2
    assert figures[0]["reward_margin"] == pytest.approx(0, abs=1e-3)
    assert figures[-1]["reward_margin"] > 0


PLAIN = {
    "dpo": [
        {"prompt": "where is it", "chosen": " here", "rejected": " nowhere at all"},
        {"prompt": "when", "chosen": " at noon today", "rejected": " no"},
        {"prompt": "who is that", "chosen": " a friend", "rejected": " go away"},
    ],
    "kto": [
        {"prompt": "where is it", "completion": " here", "label": True},
        {"prompt": "when", "completion": " no", "label": False},
        {"prompt": "who is that", "completion": " go away", "label": False},
    ],
}


def _of_trl(name, folder):
    """Its trainer over a policy with the tiny learner's adapter merged, the bare model as its reference."""
    reason = "TRL is a peer to compare with, no dependency; pip install trl datasets"
    trl, datasets = pytest.importorskip("trl", reason=reason), pytest.importorskip("datasets", reason=reason)
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = {byte: place for place, byte in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet())[:150])}
    tokenizer = Tokenizer(models.BPE(vocab=words | {"<end>": 150}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    policy = tiny.model()
    merged = tiny.merged(tiny.learner().parameters)
    policy.load_state_dict({key: weight.detach() for key, weight in merged.items()}, strict=False)
    config = getattr(trl, f"{name.upper()}Config")(
        str(folder), beta=BETA, report_to=[], use_cpu=True, bf16=False, per_device_train_batch_size=3
    )
    if name == "kto":
        config.desirable_weight, config.undesirable_weight = DESIRABLE, UNDESIRABLE
    return getattr(trl, f"{name.upper()}Trainer")(
        policy,
        tiny.model(),
        config,
        train_dataset=datasets.Dataset.from_list(PLAIN[name]),
        processing_class=PreTrainedTokenizerFast(
            tokenizer_object=tokenizer, **dict.fromkeys(("eos_token", "pad_token"), "<end>")
        ),
    )


def _answers(rows, column):
    return [TokenizedChat((*row["prompt_ids"], *row[column]), len(row["prompt_ids"])) for row in rows]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "columns"),
    [("dpo", ("chosen_ids", "rejected_ids")), ("kto", ("completion_ids", "KL_completion_ids"))],
)
def test_the_losses_are_those_of_trl_itself(name, columns, tmp_path):
    trainer = _of_trl(name, tmp_path)
    rows = list(trainer.train_dataset)
    with torch.no_grad():
        expected = trainer.compute_loss(trainer.model, next(iter(trainer.get_train_dataloader())))
    groups = zip(*(_answers(rows, column) for column in columns), strict=True)
    examples = _referenced(*groups, labels=[row.get("label") for row in rows])
    figures = (_kto() if name == "kto" else _dpo(smoothing=0.0)).look(tiny.learner(), examples)
    assert figures["loss"] == pytest.approx(float(expected), rel=1e-4)
