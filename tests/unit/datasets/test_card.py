"""The card: what it measures, and that it shows nothing it should not."""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_tuning.anonymization.policy import AnonymizationPolicy
from gateway_tuning.datasets.card import SAMPLE_CHARACTERS, SAMPLES, card, recipe_sha256
from gateway_tuning.datasets.describing.charts import bars, histogram
from gateway_tuning.datasets.describing.lengths import lengths
from gateway_tuning.datasets.describing.page import render_html, render_markdown
from gateway_tuning.datasets.describing.topics import MIN_PROMPTS, Topics
from gateway_tuning.datasets.example import ExampleKind, Turn
from gateway_tuning.datasets.lineage import of_dataset
from gateway_tuning.datasets.recipe import DatasetRecipe
from gateway_tuning.feedback.language import LanguageDetector
from tests.conftest import SHARED_DATA
from tests.unit.datasets.shelf import example

HOSTILE = "</pre><script>alert(1)</script> | `x` <PERSON_1>"


@pytest.fixture
def examples():
    train = [example(n, prompt=f"My parcel number {n} from the blue shop is late") for n in range(8)]
    pairs = [example(n, kind=ExampleKind.PREFERENCE, prompt=HOSTILE) for n in range(20, 22)]
    labelled = [example(n, "test", kind=ExampleKind.LABELLED, prompt="A secret test question") for n in (30,)]
    return [*train, *pairs, *labelled]


def no_language(_text):
    return None


class Page(HTMLParser):
    VOID = frozenset({"meta", "line", "rect", "circle"})

    def __init__(self, text):
        super().__init__()
        self.tags, self.open, self.addresses = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.addresses += [value for name, value in attrs if name in {"src", "href", "xlink:href"}]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_a_card_counts_what_is_in_the_parts_however_they_are_cut(shelf, examples):
    one, three = shelf.publish(examples), shelf.publish(examples, parts=3, entities={"EMAIL_ADDRESS": 1})

    first, second = (card(m, shelf.parts(m), language_of=no_language) for m in (one, three))

    assert first.examples == 11
    assert dict(first.lengths)["answer, characters"].texts == 11
    assert dict(first.shapes) == {"with a system prompt": 0, "of several turns": 0, "with tools": 0}
    assert dict(first.feedback_types) == {"correction": 11}
    names = ("examples", "samples", "feedback_types", "oldest", "newest", "shapes")
    assert [getattr(first, name) for name in names] == [getattr(second, name) for name in names]


def test_a_prompt_with_several_examples_counts_once(shelf, examples):
    manifest = shelf.publish(examples)

    found = card(manifest, shelf.parts(manifest), language_of=no_language)

    assert found.prompts == 10  # the two pairs share theirs
    assert dict(found.lengths)["prompt, words"].texts == 10
    assert sum(count for _, count in found.languages) == 10


def test_samples_are_three_a_kind_of_the_train_split_and_cut(shelf):
    long = [example(n, prompt=f"word {n} " * 100) for n in range(9)]
    manifest = shelf.publish([*long, example(40, "test", kind=ExampleKind.LABELLED)])

    found = card(manifest, shelf.parts(manifest), language_of=no_language)

    assert [sample.kind for sample in found.samples] == [ExampleKind.DEMONSTRATION] * SAMPLES
    assert {len(sample.prompt) for sample in found.samples} == {SAMPLE_CHARACTERS}


def test_languages_are_told_by_the_real_detector(shelf):
    pytest.importorskip("py3langid", reason="the enrichment extra is not installed")
    prompts = [
        "Where is the parcel that I ordered last week, please?",
        "Wo ist das Paket, das ich letzte Woche bestellt habe?",
        "Ok",
    ]
    manifest = shelf.publish([example(n, prompt=prompt) for n, prompt in enumerate(prompts)])

    found = card(manifest, shelf.parts(manifest), language_of=LanguageDetector().language_of)

    assert dict(found.languages) == {"en": 1, "de": 1, "not told": 1}


def test_tools_turns_and_system_prompts_are_counted(shelf):
    talk = (
        Turn("system", "Be brief."),
        Turn("user", "Hello"),
        Turn("assistant", "Hi"),
        Turn("user", "Where?"),
    )
    manifest = shelf.publish([replace(example(1), messages=talk), replace(example(2), tools=("{}",))])

    found = card(manifest, shelf.parts(manifest), language_of=no_language)

    assert dict(found.shapes) == {"with a system prompt": 1, "of several turns": 1, "with tools": 1}


def test_a_recipe_with_another_share_has_another_hash():
    assert recipe_sha256(DatasetRecipe()) != recipe_sha256(DatasetRecipe(test_share=0.2))
    assert recipe_sha256(DatasetRecipe()) == recipe_sha256(DatasetRecipe(test_share=0.15))


@given(st.dictionaries(st.integers(0, 5000), st.integers(1, 50), min_size=1))
def test_every_length_falls_into_one_bin_and_quantiles_occur(counted):
    found = lengths(counted)

    for low_high in found.bins:
        inside = sum(count for length, count in counted.items() if low_high.low <= length <= low_high.high)
        assert inside == low_high.count
    assert sum(one.count for one in found.bins) == found.texts == sum(counted.values())
    assert {found.median, found.p95, found.longest} <= counted.keys()
    assert found.median <= found.p95 <= found.longest
    below = sum(count for length, count in counted.items() if length < found.median)
    assert 2 * below < found.texts


def test_bins_meet_without_gap_or_overlap_and_none_is_wider_than_half_its_lowest_length():
    bins = lengths({0: 1, 5000: 1}).bins

    assert [one.label for one in bins[:7]] == ["0", "1", "2", "3", "4-5", "6-7", "8-11"]
    assert all(after.low == before.high + 1 for before, after in pairwise(bins))
    assert all(one.high - one.low < max(1, one.low / 2) for one in bins)


def test_of_no_text_no_length_is_known():
    assert lengths({}) is None


def test_topics_are_telling_words_and_neither_function_words_nor_placeholders_nor_rare_ones():
    topics = Topics()
    for number in range(20):
        topics.add(
            f"Please tell me about the <PERSON_1> {'refund' if number % 2 else 'delivery'} of order {number}"
        )
    topics.add("quillfeather " * 50)

    words = [topic.word for topic in topics.heaviest(10)]

    assert words[:2] == ["delivery", "refund"]
    assert not {"the", "about", "person", "quillfeather"} & set(words)
    assert all(topic.prompts >= MIN_PROMPTS for topic in topics.heaviest(10))


def test_forgetting_rare_words_keeps_the_frequent_ones(monkeypatch):
    monkeypatch.setattr("gateway_tuning.datasets.describing.topics.MOST_WORDS", 100)
    topics = Topics()
    for number in range(500):
        rare = "".join(chr(97 + int(digit)) for digit in f"{number:05}")
        topics.add(f"{'refund' if number % 2 else 'delivery'} zz{rare}")

    assert [topic.word for topic in topics.heaviest(2)] == ["delivery", "refund"]
    assert len(topics.occurrences) <= 101


@given(
    st.lists(st.tuples(st.text(max_size=30), st.integers(0, 10**9)), max_size=8),
    st.sampled_from([bars, histogram]),
)
def test_a_plot_is_sound_xml_whatever_its_labels_are(rows, plot):
    # XML has no control characters at all, escaped or not.
    rows = [("".join(c for c in label if c.isprintable()), count) for label, count in rows]

    drawn = ET.fromstring(str(plot("A title", rows)))  # noqa: S314 - drawn a line above

    assert len(drawn.findall("rect")) == len(rows)
    widths = [float(rect.get("width").rstrip("%")) for rect in drawn.findall("rect")]
    assert all(0 <= width <= 100 for width in widths)
    assert drawn.get("aria-label").startswith("A title")


def test_the_page_is_whole_loads_nothing_and_runs_nothing_of_the_texts(shelf, examples):
    manifest = shelf.put(examples)
    made = card(
        manifest,
        shelf.parts(manifest),
        language_of=no_language,
        lineage=of_dataset(shelf.engine, manifest.dataset_id),
    )

    text = render_html(made)
    page = Page(text)

    assert page.open == []
    assert "script" not in page.tags
    assert page.addresses == []
    assert not re.search(r"https?://|@import|url\(", text)
    assert "prefers-color-scheme: dark" in text
    # Every plot has its table beside it.
    assert text.count("<svg") == text.count('<section class="figures">\n<h3>') - text.count(
        "<p>None.</p>"
    ) - text.count("<p>No word stands") - text.count("<p>Too few words")
    assert page.tags.count("table") == page.tags.count("svg") + 1


def test_topics_are_learned_from_what_several_users_ask_and_do_not_depend_on_the_parts(shelf):
    subjects = [
        [f"{stem}{end}" for end in ("bread", "cake", "dough", "salt", "oil")] for stem in ("oven", "tax")
    ]
    prompts = [f"{one} or {other} 7" for subject in subjects for one in subject for other in subject]
    made = [example(number, prompt=f"{prompt}{number}") for number, prompt in enumerate(prompts * 2)]
    one, three = shelf.publish(made), shelf.publish(made, parts=3, entities={"EMAIL_ADDRESS": 1})

    first, second = (card(m, shelf.parts(m), language_of=no_language) for m in (one, three))

    assert first.topics == second.topics
    assert sum(count for _, count in first.topics) == 100
    named = [set(name.split(", ")) for name, _ in first.topics if name != "other"]
    assert len(named) > 1
    assert all(any(words <= set(subject) for subject in subjects) for words in named)
    assert first.topics[0][0] in render_markdown(first)


@pytest.mark.parametrize("render", [render_html, render_markdown])
def test_both_forms_tell_what_must_be_known(shelf, examples, render):
    manifest = shelf.put(examples)
    shelf.train(manifest.dataset_id)
    made = card(
        manifest,
        shelf.parts(manifest),
        language_of=no_language,
        lineage=of_dataset(shelf.engine, manifest.dataset_id),
    )

    text = render(made)

    for told in (
        manifest.dataset_id, made.recipe_sha256, "over user cap", "PERSON", "assistant@tuned", "masks-1",
        "0 groups stand in more than one split", "train, demonstration", "parcel", "near_duplicate_threshold",
    ):  # fmt: skip
        assert told in text
    assert "A secret test question" not in text  # the test split is not quoted
    assert "TODO" not in text


@pytest.mark.parametrize("render", [render_html, render_markdown])
def test_words_that_were_denied_or_allowed_are_counted_and_never_shown(shelf, examples, render):
    policy = AnonymizationPolicy(deny=("Quillfeather", "Zebulon"), allow=("Vixenmarsh",))
    manifest = shelf.publish(examples, recipe=DatasetRecipe(anonymization=policy))

    text = render(card(manifest, shelf.parts(manifest), language_of=no_language))

    assert "2 words, not shown" in text
    assert "1 words, not shown" in text
    assert not any(word in text for word in ("Quillfeather", "Zebulon", "Vixenmarsh"))


def test_no_text_of_the_data_becomes_markup_in_the_markdown(shelf, examples):
    manifest = shelf.publish(examples)

    text = render_markdown(card(manifest, shelf.parts(manifest), language_of=no_language))

    quoted = [line for line in text.splitlines() if "script" in line]
    assert quoted
    assert all(line.startswith("    ") for line in quoted)


def test_the_command_writes_markdown_or_a_page(shelf, examples, run, tmp_path):
    pytest.importorskip("py3langid", reason="the enrichment extra is not installed")
    manifest = shelf.put(examples)

    shown, written = (
        run("card", manifest.dataset_id),
        run("card", manifest.dataset_id, "--html", tmp_path / "card.html"),
    )
    both = run("card", manifest.dataset_id, "--html", tmp_path / "card.html", "--markdown")

    assert shown.output.startswith(f"# Dataset `{manifest.dataset_id}`")
    assert written.exit_code == 0
    assert Page((tmp_path / "card.html").read_text(encoding="utf-8")).open == []
    assert both.exit_code == 1
    assert "give one of them" in both.output


def test_the_topics_of_feedbackqa_are_its_subjects():
    path = SHARED_DATA / "feedbackqa" / "WHO_train.json"
    if not path.exists():
        pytest.skip("the shared data is not here")
    topics = Topics()
    for row in json.loads(path.read_text(encoding="utf-8")):
        topics.add(row["question"])

    words = {topic.word for topic in topics.heaviest(10)}

    assert {"covid", "virus", "coronavirus"} & words
