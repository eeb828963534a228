import base64
import hashlib
import re
from html.parser import HTMLParser

import pytest

from gateway_tuning.datasets.example import Example, ExampleKind, Turn
from gateway_tuning.evaluation.reporting.markdown import render_markdown
from gateway_tuning.evaluation.reporting.page import render_html
from gateway_tuning.evaluation.scored import Answer, Role, ScoredExample
from gateway_tuning.evaluation.scoring.protocol import Score
from gateway_tuning.evaluation.settings import EvaluationSettings
from gateway_tuning.evaluation.summary import summarize
from gateway_tuning.rollout.gate import GateDecision, GateOutcome
from tests.conftest import NOW
from tests.unit.evaluation.reporting.results import (
    a_slice,
    card,
    comparison,
    difference,
    judge,
    result,
    sample,
    system,
    unknown,
)

EVIL = '<script>alert(1)</script><img src="https://evil.example/x" onerror=x> & "quoted" \'too\' {{ 7 * 7 }}'
VOID = {"meta", "br", "img", "link", "input"}


class Elements(HTMLParser):
    """All elements with their attributes; `unclosed` is not empty where tags do not match."""

    def __init__(self, page):
        super().__init__()
        self.found, self.text, self.unclosed = [], [], []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        if tag not in VOID:
            self.unclosed.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.unclosed.pop() == tag

    def handle_data(self, data):
        self.text.append(data)

    def named(self, tag):
        return [attrs for name, attrs in self.found if name == tag]


def whole(**changed):
    """A result that has every part."""
    values = {
        "cards": ("similarity", "refusal", "tokens"),
        "systems": (
            system(Role.CANDIDATE, failed=1, similarity=0.52, refusal=0.1, tokens=46.9),
            system(Role.STABLE, similarity=0.44, refusal=0.2, tokens=40.0),
            system(Role.BASE, similarity=0.3, refusal=0.2, tokens=40.0),
        ),
        "slices": (a_slice(), a_slice("thumbs_up", difference(0.0, -0.1, 0.1, n=14))),
        "best": (sample(),),
        "worst": (sample(candidate=None, errors={"candidate": "timed out", "stable": None}),),
        "most_changed": (sample(),),
        "judge": judge(),
    }
    return result(
        comparison(),
        comparison("refusal", difference(-0.1, -0.2, -0.05)),
        comparison("tokens", difference(6.9, 2.0, 9.0)),
        comparison(against=Role.BASE),
        **values | changed,
    )


def test_the_page_needs_nothing_else_and_may_do_nothing():
    page = render_html(whole(), scores={"similarity": {"candidate": [0.1, 0.9], "stable": [0.1, 0.2]}})

    elements = Elements(page)
    assert elements.unclosed == []
    assert {"script", "link", "img", "iframe", "form", "base"} & {tag for tag, _ in elements.found} == set()
    links = [value for _, attrs in elements.found for name, value in attrs.items() if name in {"href", "src"}]
    assert all(link.startswith("#") for link in links)
    assert {link[1:] for link in links} <= {attrs.get("id") for _, attrs in elements.found}
    assert not any(name == "style" or name.startswith("on") for _, attrs in elements.found for name in attrs)
    assert "url(" not in page


def test_the_policy_of_the_page_allows_its_own_style_and_nothing_more():
    page = render_html(whole())

    policy = next(meta["content"] for meta in Elements(page).named("meta") if "http-equiv" in meta)
    style = re.search(r"<style>(.*?)</style>", page, re.DOTALL)[1]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policy == (f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'")


def test_what_people_and_models_wrote_never_becomes_markup():
    telling = sample(
        f"Both say this much: {EVIL}",
        "Both say this much: <script>alert(1)</script><b>and more</b>",
        prompt=EVIL,
        preferred=EVIL,
        notes={"candidate": {"similarity": (EVIL,)}},
    )
    failed = sample(candidate=None, errors={"candidate": EVIL, "stable": None})
    page = render_html(
        whole(
            reasons=(EVIL,),
            best=(telling, failed),
            slices=(a_slice(EVIL, field="topic"),),
            judge=judge(model=EVIL),
            settings={"judge": {"rubric": EVIL}},
        ),
        title=EVIL,
        subtitle=EVIL,
        gate=GateDecision(GateOutcome.FAIL, (EVIL,)),
    )

    elements = Elements(page)
    assert elements.unclosed == []
    assert {"script", "img"} & {tag for tag, _ in elements.found} == set()
    assert "{{ 7 * 7 }}" in "".join(elements.text)
    assert "49" not in "".join(elements.text).replace("0.49", "")
    assert page.count("&lt;script&gt;alert(1)&lt;/script&gt;") >= 10


def test_differences_are_marked_and_told_in_words():
    page = render_html(result(best=(sample(),)))

    assert (
        '<ins><span class="told">[added: </span>gift <'.replace("gift <", "gift")
        + '<span class="told">]</span></ins> card'
        in page
    )
    assert '<del><span class="told">[removed: </span>the end<span class="told">]</span></del>' in page


def test_marked_words_are_escaped():
    page = render_html(result(best=(sample("one two three four", "one two three four <i>five</i>"),)))

    assert "[added: </span>&lt;i&gt;five&lt;/i&gt;<" in page


def test_a_failed_answer_says_why_and_an_unsupported_claim_is_noted():
    told = sample(notes={"candidate": {"similarity": ("not supported: 45 EUR",)}})
    failed = sample(candidate=None, errors={"candidate": "timed out", "stable": None})

    page = render_html(result(best=(told,), worst=(failed,)))

    assert "<li>Word similarity: not supported: 45 EUR</li>" in page
    assert "No answer: timed out" in page


def test_why_a_score_is_unknown_stands_below_the_scores():
    found = sample(
        scores={"stable": {"similarity": None}, "candidate": {"similarity": None}},
        notes={
            "candidate": {"similarity": ("nothing to compare",)},
            "stable": {"similarity": ("nothing to compare",)},
        },
    )

    page = render_html(result(best=(found,)))

    assert page.count("nothing to compare") == 1
    assert "Unknown: Word similarity: nothing to compare." in page


def test_tables_can_be_heard_and_reached_by_the_keyboard():
    elements = Elements(render_html(whole()))

    assert all(attrs.get("scope") in {"row", "col"} for attrs in elements.named("th"))
    scrolling = [attrs for _, attrs in elements.found if "scroll" in (attrs.get("class") or "").split()]
    assert len(scrolling) == len(elements.named("table")) > 5
    assert all(attrs["tabindex"] == "0" and attrs["aria-label"] for attrs in scrolling)
    pictures = [attrs for _, attrs in elements.found if attrs.get("role") == "img"]
    assert pictures
    assert all(attrs["aria-label"] for attrs in pictures)


def test_every_metric_has_its_figures_and_its_finding():
    page = render_html(whole())

    cells = [re.sub(r"<[^>]*>", " ", row).split() for row in re.findall(r"<tr>.*?</tr>", page)]
    assert ["Refusals", "less", "is", "better", "better", "0.100", "0.200"] in [row[:7] for row in cells]
    assert ["Tokens", "of", "the", "answer", "less", "is", "better", "worse", "46.9", "40.0", "+6.9"] in [
        row[:11] for row in cells
    ]
    assert ["thumbs_up", "undecided", "0.000"] in [row[:3] for row in cells]


def test_a_finding_that_chance_among_many_metrics_explains_is_said_so():
    page = render_html(result(comparison(p=0.2)))

    assert "better, not after correction" in page


def test_an_unknown_figure_is_called_unknown_and_never_zero():
    found = result(comparison(of=unknown(), p=None, detectable=None), systems=(system(Role.CANDIDATE),))

    row = re.search(r"<tr><th scope=\"row\">Word similarity.*?</tr>", render_html(found))[0]

    assert row.count("unknown") == 7
    assert "0.000" not in row


def test_the_judge_is_shown_with_its_bias_agreement_and_cost():
    page = render_html(result(judge=judge()))

    assert "61 % (interval 54 % to 68 %) of the decided; 50 % without bias" in page
    assert "61 % (interval unknown) of the decided" in render_html(result(judge=judge(first_low=None)))
    assert "of the decided" not in render_html(result(judge=judge(first_share=None)))
    assert "80 % (interval 70 % to 88 %) of 60" in page
    assert "0.5 USD" in page
    assert "unknown" in render_html(result(judge=judge(spent=None)))


@pytest.mark.parametrize(("state", "words"), [("no_data", "Nothing was evaluated"), ("invalid", "invalid")])
def test_an_evaluation_without_a_result_says_so_first(state, words):
    page = render_html(result(state=state, reasons=("the endpoint was down",)))

    first = re.search(r'<p class="state[^>]*>(.*?)</p>', page)[1]
    assert words in first
    assert "the endpoint was down" in page


def test_the_markdown_is_short_and_holds_no_text_of_users():
    found = whole(best=(sample("SECRET stable", "SECRET candidate", "SECRET prompt"),))

    said = render_markdown(found, gate=GateDecision(GateOutcome.PASS, ("a|b <i>",)), link="https://x/report")

    assert "**Passed: the candidate is better" in said
    assert "| Refusals | 0.100 | 0.200 | " in said
    assert "- a\\|b &lt;i>" in said
    assert "[The whole report](https://x/report)" in said
    assert "SECRET" not in said
    assert len(said.splitlines()) < 40


def test_what_summarize_makes_can_be_shown():
    def scored(number):
        example = Example(
            f"ex-{number}", ExampleKind.DEMONSTRATION, (Turn("user", "How?"),), "So it is.", None, None,
            ("f",), ("correction",), NOW, f"g{number}", "test",
        )  # fmt: skip
        texts = {Role.CANDIDATE: f"So it is {number}", Role.STABLE: f"Not so {number}"}
        return ScoredExample(
            example,
            {role: Answer(role, role.value, text, None, 10.0 + number) for role, text in texts.items()},
            {role: {"similarity": Score(0.8 if role is Role.CANDIDATE else 0.1)} for role in texts},
            {"feedback_type": "correction"},
        )

    found = summarize(
        [scored(number) for number in range(12)],
        {"similarity": card()},
        EvaluationSettings(resamples=1000),
        versions={Role.CANDIDATE: "shop@2", Role.STABLE: "shop@1"},
    )

    page = render_html(found)
    assert "The candidate is better than the stable model in Word similarity, 0.800 against 0.100" in page
    assert "By feedback type" in page
    assert Elements(page).unclosed == []
