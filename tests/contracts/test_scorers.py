"""What every scorer keeps to, that of a package from outside too."""

import json
import math
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway_tuning.datasets.example import Turn
from gateway_tuning.errors import ConfigurationError
from gateway_tuning.evaluation.scoring import catalog
from gateway_tuning.evaluation.scoring.protocol import Item
from gateway_tuning.evaluation.settings import EvaluationSettings

ROOT = Path(__file__).parents[2]
NAMES = [
    *(
        "accuracy",
        "brevity",
        "chrf",
        "coherence",
        "coherence_lexical",
        "exact_match",
        "factuality",
        "json_schema",
    ),
    *(
        "json_validity",
        "length_ratio",
        "personal_data",
        "refusal",
        "relevance",
        "relevance_lexical",
        "rouge_l",
    ),
    *("semantic_similarity", "semantic_similarity_lexical", "similarity", "token_f1"),
]
AGAINST_REFERENCE = [
    *(
        "accuracy",
        "chrf",
        "exact_match",
        "factuality",
        "json_schema",
        "json_validity",
        "length_ratio",
        "refusal",
    ),
    *("rouge_l", "semantic_similarity", "semantic_similarity_lexical", "similarity", "token_f1"),
]
every_scorer = pytest.mark.parametrize("name", NAMES)


def item(answer, reference=None, prompt="How do I reset my router?", context=None):
    return Item(prompt, answer, reference, context, (Turn("user", prompt),))


STEPS = "Hold the reset button for 10 seconds. The router restarts. Then wait until its light is green."
ITEMS = [
    item(STEPS, "Press the button for 10 s until the router restarts on 3 May 2026."),
    item("It costs 1.299,50 €. Rufen Sie 030 1234567 an.", "Das kostet 1.299,50 €.", "Was kostet das?"),
    item(STEPS),
    item(STEPS, None, context=f"The manual says: {STEPS}"),
    item('{"a": 1, "b": [2]}', '{"a": 5, "b": []}', "As JSON"),
    item("no JSON at all", '{"a": 5}', "As JSON"),
    item("I'm sorry, but I can't help with that request.", STEPS),
    item("退货需要七天。然后退款到账。", "七天内可以退货。", "退货需要多长时间\uff1f"),
    item("أعد تشغيل الجهاز. انتظر دقيقة.", "انتظر دقيقة.", "كيف أعيد تشغيل الجهاز؟"),
    item("cafe\u0301 \U0001f469\u200d\U0001f469\u200d\U0001f467 ﬁne", "café fine"),
    item("ends in half a pair \ud83d and nul \0", "ends \ud83d"),
    item("", "something"),
    item("", ""),
    item("?!", "...", "?"),
    item(" \n\t", None, " "),
    item("same. same. same. same.", "same."),
    item("```py\nprint(1)\n```", "```py\nprint(2)\n```", "Write code"),
]


@pytest.fixture(scope="module", autouse=True)
def plug_in(tmp_path_factory):
    # The metadata that an installation leaves: enough for entry points, and nothing is fetched to build it.
    site = tmp_path_factory.mktemp("site")
    metadata = site / "gateway_tuning_brevity-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: gateway-tuning-brevity\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(
        "[gateway_tuning.scorers]\nbrevity = gateway_tuning_brevity:build\n"
    )
    shutil.copy(ROOT / "tests" / "plugin" / "gateway_tuning_brevity.py", site)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(site))
        yield site


@cache
def opened(name):
    return catalog.scorer(name)


def same(scores, others):
    return len(scores) == len(others) and all(
        one.notes == other.notes
        and (one.value is None) is (other.value is None)
        and (one.value is None or one.value == pytest.approx(other.value, abs=1e-5))
        for one, other in zip(scores, others, strict=True)
    )


def check(score, card):
    if score.value is None:
        assert score.notes
    else:
        assert math.isfinite(score.value)
        assert card.low is None or score.value >= card.low
        assert card.high is None or score.value <= card.high
    assert all(note.strip() and len(note) <= 400 for note in score.notes)
    assert len(score.notes) <= 12


def test_every_scorer_is_held_to_the_contract():
    assert catalog.names() == sorted(NAMES)
    assert set(catalog.DEFAULT) <= set(NAMES)
    assert EvaluationSettings().primary in catalog.DEFAULT


def test_an_unknown_name_is_told_with_the_known_ones():
    with pytest.raises(
        ConfigurationError, match=r"No scorer 'bleu'; there are: accuracy, .*brevity.*token_f1"
    ):
        catalog.scorer("bleu")


def test_a_scorer_from_outside_is_given_the_settings(plug_in):
    del plug_in
    (score,) = catalog.scorer("brevity", EvaluationSettings(max_tokens=4)).score([item("one two three four")])

    assert score.value == 0.5


def test_a_scorer_of_ours_is_given_the_settings():
    half = [item("a b", "a b c d e")]

    assert (
        catalog.scorer("accuracy", EvaluationSettings(similarity_threshold=0.3)).score(half)[0].value == 1.0
    )
    assert catalog.scorer("accuracy").score(half)[0].value == 0.0


@every_scorer
def test_its_card_tells_what_a_reader_must_know(name):
    card = opened(name).card

    assert card.name in {name, f"{name}_lexical"}
    assert all(text.strip() for text in (card.label, card.formula, card.source, opened(name).version))
    assert card.low is None or card.high is None or card.low < card.high
    worst = card.low if card.higher_is_better else card.high
    assert card.failed is None or card.failed == worst or worst is None


@every_scorer
def test_there_is_one_score_an_item_in_order_whatever_else_is_asked(name):
    scorer = opened(name)
    scores = scorer.score(ITEMS)

    assert len(scores) == len(ITEMS)
    for score in scores:
        check(score, scorer.card)
    assert same([scorer.score([one])[0] for one in ITEMS], scores)
    assert same(scorer.score(ITEMS[::-1])[::-1], scores)
    assert same(scorer.score([*ITEMS, *ITEMS]), [*scores, *scores])
    assert scorer.score([]) == []


@every_scorer
def test_where_its_card_says_that_the_question_decides_an_empty_answer_tells_that_too(name):
    scorer = opened(name)
    empty = scorer.score([replace(one, answer="") for one in ITEMS])

    if scorer.card.applies_by_question:
        for score, nothing in zip(scorer.score(ITEMS), empty, strict=True):
            assert nothing.value is not None or score.value is None
    else:
        assert name in {"brevity", "coherence", "coherence_lexical", "factuality", "personal_data"}


@every_scorer
def test_it_tells_at_least_two_answers_apart_or_knows_none(name):
    values = [score.value for score in opened(name).score(ITEMS) if score.value is not None]

    assert len({round(value, 6) for value in values}) > 1


@every_scorer
@given(
    st.lists(
        st.builds(item, st.text(max_size=80), st.none() | st.text(max_size=80), st.text(max_size=40)),
        max_size=4,
    )
)
@settings(max_examples=15)
def test_no_text_is_too_odd(name, items):
    scorer = opened(name)

    for score in scorer.score(items):
        check(score, scorer.card)


@pytest.mark.parametrize("name", AGAINST_REFERENCE)
@given(st.text(max_size=60), st.text(max_size=60))
@settings(max_examples=30)
def test_no_answer_is_better_than_the_preferred_one(name, reference, other):
    scorer = opened(name)
    perfect, unrelated = (
        score.value for score in scorer.score([item(reference, reference), item(other, reference)])
    )

    if perfect is not None and unrelated is not None:
        assert (perfect - unrelated) * (1 if scorer.card.higher_is_better else -1) >= -1e-5


@every_scorer
@pytest.mark.parametrize(
    "text",
    [
        "The router restarts, and its light turns green; wait 10 s. " * 1_700,
        "word" * 25_000,
        "(" * 100_000,
        '{"description": ' * 6_500,
        "漢字。" * 33_000,
        "." * 100_000 + "x",
        "```\n" + " " * 100_000 + "x",
        "\n" * 100_000 + "x",
    ],
    ids=["prose", "one word", "brackets", "json", "chinese", "dots", "fence", "lines"],
)
def test_a_text_of_100_kb_is_scored(name, text):
    scorer = opened(name)
    small = item(STEPS, STEPS, context=STEPS)

    for score in scorer.score([item(text, STEPS, context=STEPS), item(STEPS, text), small]):
        check(score, scorer.card)


CHILD = """
import json, sys
from gateway_tuning.evaluation.scoring import catalog
from tests.contracts.test_scorers import ITEMS
print(json.dumps({
    name: [(score.value, score.notes) for score in catalog.scorer(name).score(ITEMS)]
    for name in sys.argv[1:]
}))
"""


@pytest.mark.slow
def test_another_process_gives_the_same_scores(plug_in):
    environment = {
        **os.environ,
        "PYTHONPATH": f"{ROOT}:{plug_in}",
        "PYTHONHASHSEED": "4711",
        "OPENBLAS_NUM_THREADS": "1",
    }
    output = subprocess.run(
        [sys.executable, "-c", CHILD, *NAMES], env=environment, capture_output=True, text=True, check=True
    ).stdout

    for name, theirs in json.loads(output).items():
        ours = opened(name).score(ITEMS)
        assert [list(score.notes) for score in ours] == [notes for _, notes in theirs]
        assert [score.value for score in ours] == [
            value if value is None else pytest.approx(value, abs=1e-5) for value, _ in theirs
        ]
