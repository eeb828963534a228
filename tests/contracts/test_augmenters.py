"""What every augmenter keeps to."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway_tuning.datasets.augmentation import catalog
from gateway_tuning.datasets.augmentation.policy import AugmentationPolicy
from gateway_tuning.datasets.augmentation.protected import addresses, numbers, placeholders
from gateway_tuning.datasets.augmentation.protocol import Lost, Variant
from tests.unit.datasets.augmentation.conftest import make_example, variants_of
from tests.unit.datasets.augmentation.paraphrase_server import paraphrase_server

PROMPTS = [
    "Where is my parcel?",
    "Bitte sagen Sie <PERSON_1> und <PERSON_2>, wo Paket 4711 für 1.299,50 € geblieben ist!",
    "Où est <LOCATION_1>, s'il vous plaît ? Écrivez à aide@boutique.example avant le 2026-11-01.",
    "see https://shop.example/a?b=1 and `pip install x`\n```\ncode stays\n```\nplease do help",
    "Где моя посылка <SECRET_x7k2ab>?",
    "退货需要多长时间\uff1f",
    "مرحبا أين طردي؟",
    "cafe\u0301 au lait \U0001f469\u200d\U0001f469\u200d\U0001f467 pour <PERSON_1>\u00a0!",
    "İstanbul'da KIRMIZI \u0131ş\u0131k straße ﬁne ǅungla",
    "?",
    "🙂",
    "4711",
    "<PERSON_1>",
    "ends in half a pair \ud83d",
    "nul \0 and \x07 bell",
    "  white   space\t\n around  ",
]

every_augmenter = pytest.mark.parametrize("name", ["noise", "paraphrase"])


@pytest.fixture(scope="module")
def policy():
    with paraphrase_server() as running:
        yield AugmentationPolicy(paraphrase={"base_url": running.url, "model": "rewriter"})


@pytest.fixture
def augmenter(name, policy):
    if name == "paraphrase":
        pytest.importorskip("openai", reason="the openai extra is not installed")
    return catalog.augmenter(name, policy, lambda _text: None)


def texts_of(found):
    return [one.text for one in found if isinstance(one, Variant)]


def test_every_augmenter_is_held_to_the_contract():
    assert set(catalog.names()) == {"noise", "paraphrase"}


@every_augmenter
def test_it_is_known_by_the_name_it_is_opened_by(augmenter, name):
    assert augmenter.name == name
    assert isinstance(augmenter.invents, bool)


@every_augmenter
def test_an_ordinary_question_has_as_many_variants_as_are_asked_for(augmenter):
    found = variants_of(augmenter, make_example(prompt="Could anybody tell me where the parcel is now?"), 3)

    assert len(texts_of(found)) == 3
    assert all(one.how for one in found)


@every_augmenter
@pytest.mark.parametrize("prompt", PROMPTS)
@pytest.mark.parametrize("count", [0, 1, 4])
def test_variants_are_few_different_and_of_the_same_persons_numbers_and_addresses(augmenter, prompt, count):
    found = variants_of(augmenter, make_example(prompt=prompt), count)
    texts = texts_of(found)

    assert len(found) <= count
    assert len(set(texts)) == len(texts)
    for text in texts:
        assert text.strip()
        assert text != prompt
        assert placeholders(text) == placeholders(prompt)
        assert numbers(text) == numbers(prompt)
        assert addresses(text) == addresses(prompt)


@every_augmenter
def test_the_same_is_made_whatever_else_is_asked_for(augmenter):
    examples = [make_example(f"e{number}", prompt) for number, prompt in enumerate(PROMPTS)]

    async def together(chosen):
        try:
            found = await asyncio.gather(*(augmenter.variants(one, 2, 7) for one in chosen))
        finally:
            await augmenter.close()
        return {one.id: variants for one, variants in zip(chosen, found, strict=True)}

    at_once = asyncio.run(together(examples))
    assert any(texts_of(found) for found in at_once.values())
    assert asyncio.run(together(examples[::-1])) == at_once
    assert asyncio.run(together(examples[:1])) == {"e0": at_once["e0"]}


@every_augmenter
def test_variants_hang_on_seed_and_example(augmenter):
    prompt = "Could anybody tell me where the parcel is that I ordered last week?"
    found = [
        tuple(texts_of(variants_of(augmenter, make_example(f"e{number}", prompt), 1, seed)))
        for number in range(4)
        for seed in range(4)
    ]

    assert len(set(found)) > 1


@every_augmenter
@given(prompt=st.text(max_size=60), count=st.integers(0, 3))
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_no_text_is_too_odd(augmenter, prompt, count):
    found = variants_of(augmenter, make_example(prompt=prompt), count)

    assert len(found) <= count
    assert all(one.text.strip() and one.text != prompt for one in found if isinstance(one, Variant))
    assert all(one.reason.isidentifier() for one in found if isinstance(one, Lost))


PLUG_IN = """
from gateway_tuning.datasets.augmentation.protocol import Variant

class Polite:
    name, invents = "polite", False

    async def variants(self, example, count, seed):
        return [Variant(f"Please: {example.prompt}", "asked kindly")][:count]

    async def close(self):
        pass

def build(policy, language_of):
    return Polite()
"""
USE = """
import numpy as np
from datetime import UTC, datetime
from gateway_tuning.datasets.augmentation import catalog
from gateway_tuning.datasets.augmentation.augment import augment
from gateway_tuning.datasets.augmentation.held_out import HeldOut
from gateway_tuning.datasets.augmentation.policy import AugmentationPolicy
from gateway_tuning.datasets.example import Example, ExampleKind, Turn

policy = AugmentationPolicy(augmenters=[{"name": "polite"}])
example = Example(
    "e1", ExampleKind.DEMONSTRATION, (Turn("user", "Why?"),), "So.", None, None, ("f",), ("correction",),
    datetime(2026, 1, 1, tzinfo=UTC), "g", "train",
)
found = augment(
    [example], policy, catalog.augmenters(policy, lambda text: None),
    held_out=HeldOut.of([]), known=np.empty(0, np.uint64), is_clean=lambda texts: [],
)
print(",".join(catalog.names()), found.examples[0].prompt, found.examples[0].augmented_by)
"""


def test_an_installed_plug_in_is_an_augmenter_like_ours(tmp_path):
    # The metadata that an installation leaves: enough for entry points, and nothing is fetched to build it.
    metadata = tmp_path / "gateway_tuning_polite-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: gateway-tuning-polite\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(
        "[gateway_tuning.augmenters]\npolite = gateway_tuning_polite:build\n"
    )
    (tmp_path / "gateway_tuning_polite.py").write_text(PLUG_IN)
    root = Path(__file__).parents[2]

    output = subprocess.run(
        [sys.executable, "-c", USE],
        env={"PYTHONPATH": f"{root}:{tmp_path}"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout

    assert output.strip() == "noise,paraphrase,polite Please: Why? polite: asked kindly"
