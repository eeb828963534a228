import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from gateway_tuning.drift.check import check_drift
from gateway_tuning.drift.page import render_html
from gateway_tuning.drift.quality import questionable
from gateway_tuning.drift.report import evidently_html, render_markdown
from gateway_tuning.drift.result import Bin, Classifier, DriftReport, Metric, Unmeasured
from gateway_tuning.drift.settings import DriftSettings
from gateway_tuning.drift.window import Window

BINS = (Bin("<b>refund</b>, & more", 0.1, 0.4), Bin("other", 0.9, 0.6))
REPORT = DriftReport(
    state="drift",
    reasons=("topics: PSI 0.500, by chance 0.020 (p = 0.001)",),
    metrics=(
        Metric("topics", 0.5, 0.02, 0.001, 0.1, drifted=True, n_reference=500, n_current=1_000, bins=BINS),
        Metric("prompt_length", 0.03, 0.02, 0.7, 0.1, drifted=False, n_reference=1_000, n_current=1_000,
               bins=(Bin("up to 10", 0.5, 0.45), Bin("above 10", 0.5, 0.55))),
    ),
    data_quality=(),
    score=0.24,
    reference="ds-1",
    current="ds-2",
    alpha=0.0076,
    check_number=2,
    unmeasured=(Unmeasured("refusal", "all rows of both windows are the same: answered", blocks=False),),
    classifier=Classifier(0.63, 0.21, 0.002, 0.6, 0.08, True, ("order",), ("refund", "tax"), 1_000, 1_000),
    topics=BINS,
)  # fmt: skip


def current(prompts=None, answers=None, kinds=None, groups=None, rows=150):
    texts = [f"a question about subject {row}" for row in range(rows)] if prompts is None else prompts
    replies = [f"a long answer {row}" for row in range(len(texts))] if answers is None else answers
    return Window("new", texts, replies, kinds or ["text"] * len(texts), groups)


def issues(window, reference=None, languages=None):
    return {issue.type for issue in questionable(reference, window, languages)}


@pytest.mark.parametrize(
    ("window", "found"),
    [
        (current(), set()),
        (current(rows=99), {"low_sample_count"}),
        (current([f"q {row}" for row in range(150)]), {"short_prompts"}),
        (current([f"{row} " + "x" * 1_000 for row in range(150)]), {"long_prompts"}),
        (current(answers=["", " "] + ["fine"] * 148), {"empty_answers"}),
        (current(["the same question"] * 150, ["the same answer"] * 150), {"duplicates"}),
        (current(["Ã¼ber die RÃ¼ckgabe"] + [f"a question about {row}" for row in range(149)]), {"damaged_texts"}),
        (current(groups=["loud"] * 30 + [f"user {row}" for row in range(120)]), {"dominating_group"}),
        (current(groups=[f"user {row}" for row in range(150)]), set()),
    ],
)  # fmt: skip
def test_questionable_data_is_named(window, found):
    assert issues(window) == found


def test_feedback_that_no_longer_comes_is_named():
    before = current(kinds=["text"] * 100 + ["correction"] * 50)

    [issue] = questionable(before, current(), None)

    assert issue.description == "new has no feedback of correction, which new has"
    assert issues(current(), replace(before, feedback_types=["text"] * 145 + ["correction"] * 5)) == set()


def test_languages_that_cannot_be_told_are_named():
    assert issues(current(), languages=["en"] * 4 + [None]) == {"unknown_language"}
    assert issues(current(), languages=["en"] * 9 + [None]) == set()
    assert issues(current(), languages=[]) == set()


def test_a_window_without_rows_has_few_rows_and_nothing_else():
    assert issues(Window("nothing", (), (), ())) == {"low_sample_count"}


def test_markdown_tells_columns_words_topics_and_what_was_not_measured():
    page = render_markdown(REPORT)

    assert "**The data has drifted.**" in page
    assert "| topics | 0.500 | 0.020 | 0.001 | 500 and 1000 | yes |" in page
    assert "More users say now: refund, tax." in page
    assert "| other | 90.0% | 60.0% |" in page
    assert "- refusal: all rows of both windows are the same: answered" in page
    assert "Check number 2 against this reference, at alpha 0.0076." in page


@pytest.mark.parametrize("state", ["drift", "no_drift", "inconclusive", "error", "not_applicable"])
def test_every_state_has_a_page_and_text_even_without_any_figure(state):
    bare = DriftReport(state, ("why it is <so>",), (), (), None, None, "ds-2")

    page, text = render_html(bare), render_markdown(bare)

    assert "why it is &lt;so&gt;" in page
    assert "why it is" in text
    assert "no reference" in page


def test_the_page_needs_nothing_else_and_closes_what_it_opens():
    page = render_html(REPORT)
    open_tags = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag, attributes):
            assert not {"src", "href", "onload"} & {name for name, _ in attributes}
            if tag not in {"meta", "rect"}:
                open_tags.append(tag)

        def handle_startendtag(self, tag, attributes):
            pass

        def handle_endtag(self, tag):
            assert open_tags.pop() == tag

    Reader().feed(page)

    assert open_tags == []
    assert "<script" not in page
    assert "&lt;b&gt;refund&lt;/b&gt;, &amp; more" in page
    assert re.search(r"10.0% → 40.0%", page)


@pytest.mark.slow  # evidently takes seconds to import
def test_evidently_writes_a_page_without_the_network(monkeypatch):
    pytest.importorskip("evidently", reason="the reports extra is not installed")

    def refuse(*_):
        raise AssertionError("the network was used")

    monkeypatch.setattr("socket.socket.connect", refuse)
    monkeypatch.setattr("socket.getaddrinfo", refuse)
    constant = Window("constant", ["x"] * 50, ["y"] * 50, ["text"] * 50, numbers={"tokens": [3.0] * 50})

    page = evidently_html(constant, replace(constant, prompts=["x" * 9] * 50))

    assert "prompt_length" in page
    assert "feedback_type" in page
    assert "tokens" in page


def test_evidently_is_not_asked_about_nothing():
    with pytest.raises(ValueError, match="nothing has no rows"):
        evidently_html(Window("nothing", (), (), ()), current())


def test_an_inconclusive_check_still_tells_the_quality_of_the_data():
    report = check_drift(current(), current(rows=50), DriftSettings(permutations=199))

    assert report.state == "inconclusive"
    assert [issue.type for issue in report.data_quality] == ["low_sample_count"]
