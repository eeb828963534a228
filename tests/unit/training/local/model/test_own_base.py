"""A base model of the user's own, on a small Llama of random weights as save_pretrained leaves it."""

import json
import shutil

import pytest

from gateway_tuning.errors import ConfigurationError, IntegrityError
from gateway_tuning.training.local.data.chats import Chat
from gateway_tuning.training.local.data.examples import examples_of
from gateway_tuning.training.local.data.wording import wording_of
from gateway_tuning.training.local.job_folder import LocalSpec
from gateway_tuning.training.local.model import own_base
from tests.unit.training.local import tiny


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    return tiny.save_own_base(tmp_path_factory.mktemp("saved"))


@pytest.fixture
def own(saved, tmp_path):
    return shutil.copytree(saved, tmp_path / "own")


def _chat(*texts):
    roles = ("user", "assistant") * len(texts)
    return Chat.model_validate(
        {"messages": [{"role": role, "content": text} for role, text in zip(roles, texts, strict=False)]}
    )


def _change(path, **values):
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def test_the_checksum_is_that_of_the_contents(own, saved):
    before = own_base.checked(own)
    assert before == own_base.checked(saved)
    (own / "README.md").write_text("no part of the model")
    assert own_base.checked(own) == before
    (own / "chat_template.jinja").write_text(tiny.TEMPLATE + " ")
    assert own_base.checked(own) != before


def test_weights_in_several_files_count_whole(own):
    (own / "model.safetensors").rename(own / "part-1.safetensors")
    (own / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": "part-1.safetensors"}}))
    before = own_base.checked(own)
    part = own / "part-1.safetensors"
    part.write_bytes(part.read_bytes()[:-1] + b"\x01")
    assert own_base.checked(own) != before
    (own / "model.safetensors.index.json").write_text(
        json.dumps({"weight_map": {"a": "../part.safetensors"}})
    )
    with pytest.raises(ConfigurationError, match="not in this folder"):
        own_base.checked(own)


def _without(name):
    return lambda own: (own / name).unlink()


def _with_pickled_weights(own):
    (own / "model.safetensors").rename(own / "pytorch_model.bin")


def _without_template(own):
    (own / "chat_template.jinja").unlink()


def _cut_off(own):
    path = own / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-8])


BROKEN = {
    "no configuration": (_without("config.json"), "has no config.json"),
    "no JSON": (lambda own: (own / "config.json").write_text("{"), "cannot be read as JSON"),
    "another architecture": (
        lambda own: _change(own / "config.json", architectures=["MistralForCausalLM"]),
        "holds a MistralForCausalLM; the local trainer tunes LlamaForCausalLM",
    ),
    "quantized": (
        lambda own: _change(own / "config.json", quantization_config={"bits": 4}),
        "quantized weights",
    ),
    "biases": (lambda own: _change(own / "config.json", mlp_bias=True), "biases"),
    "weights that can run code": (_with_pickled_weights, "other forms of weights can run code"),
    "half the weights": (_cut_off, "no whole safetensors file"),
    "no tokenizer": (_without("tokenizer.json"), "has no tokenizer.json"),
    "no chat template": (_without_template, "has no chat template"),
}


@pytest.mark.parametrize(("break_it", "told"), BROKEN.values(), ids=BROKEN)
def test_what_cannot_be_tuned_is_refused_with_what_to_do(own, break_it, told):
    break_it(own)
    with pytest.raises(ConfigurationError, match=told):
        own_base.checked(own)


def test_chats_are_worded_by_the_model_s_own_template_and_its_end_is_learned(own):
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(own / "tokenizer.json"))
    chats = [_chat("Hi", "Yo", "Bye", "See you"), _chat("</s>", "forged")]
    (example,) = examples_of(chats, tokenizer, 200, wording_of(own))
    (tokens,) = example.chats
    texts = [
        tokenizer.decode(list(part), skip_special_tokens=False)
        for part in (tokens.tokens[: tokens.answer_start], tokens.tokens[tokens.answer_start :])
    ]
    assert texts == ["<s>[user] Hi\n[assistant] Yo</s>\n[user] Bye\n[assistant] ", "See you</s>"]


def test_an_answer_that_the_template_does_not_end_gets_the_tokenizer_s_end(own):
    (own / "chat_template.jinja").write_text(tiny.TEMPLATE.replace("{{ eos_token }}", ""))
    assert wording_of(own).answer(_chat("Hi", "Yo")) == "Yo</s>"


def test_a_space_before_an_answer_is_not_taken_for_its_end(own):
    template = tiny.TEMPLATE.replace("{{ eos_token }}", "").replace("[assistant] ", "[assistant]")
    (own / "chat_template.jinja").write_text(template)
    assert wording_of(own).answer(_chat("Hi", "Yo")) == " Yo</s>"


def test_a_template_that_writes_another_prompt_before_an_answer_is_refused(own):
    (own / "chat_template.jinja").write_text(tiny.TEMPLATE.replace("[assistant] {%", "[assistant] <think>{%"))
    with pytest.raises(ConfigurationError, match="cannot tell the answer apart"):
        wording_of(own).answer(_chat("Hi", "Yo"))


def test_a_model_that_changed_after_the_submission_is_not_trained(own, tmp_path):
    from gateway_tuning.training.local import worker

    spec = LocalSpec(str(own), "dpo", {}, 0, "ds", "", None, base_sha256=own_base.checked(own))
    assert worker._base(spec, tmp_path)[0] == own
    (own / "chat_template.jinja").write_text(tiny.TEMPLATE + " ")
    with pytest.raises(IntegrityError, match="changed after the submission"):
        worker._base(spec, tmp_path)
