"""Each filter looks at one example and gives a reason to leave it out, or None. Pure.

They are asked in the order of `FILTERS`; the first reason counts.

| code | left out |
|---|---|
| `only_placeholders` | prompt or answer holds nothing besides placeholders after masking |
| `prompt_too_short`, `prompt_too_long`, `answer_too_short`, `answer_too_long` | outside the policy's characters or words |
| `encoding_damage` | any text has traces of a wrong decoding |
| `prompt_injection` | any text but the system prompt gives orders to a model or hides characters |
| `repetitive_answer` | a target answer says the same over and over |
| `refusal` | a demonstration or chosen answer declines, unless a human wrote it |
| `language` | prompt or answer is known to be in a language that the policy does not allow |

Answers that were found bad are kept with their faults in language and style: they are there to be avoided. Repetition is
measured as in Rae et al. 2021 ("Scaling Language Models", appendix A.1.1), with higher limits, as answers hold lists.
"""

import re
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass

from gateway_tuning.datasets.example import ExampleKind
from gateway_tuning.datasets.quality.markers import damage, injection, refusal
from gateway_tuning.datasets.quality.policy import QualityPolicy
from gateway_tuning.datasets.quality.sample import Sample
from gateway_tuning.datasets.quality.shingles import split_words

LanguageOf = Callable[[str], str | None]  # ISO 639-1, None where it cannot be told
_PLACEHOLDER = re.compile(r"<[A-Z][A-Z0-9_]*>")
_LONG_WORD = 40  # characters
_SAME_CHARACTER = re.compile(rf"([^\W_])\1{{{_LONG_WORD - 1},}}")
_ORNAMENT = " \t-*_=|#>.:+~"  # what rules and tables are drawn with
_LINES = 4  # fewer are too few to repeat themselves


@dataclass(frozen=True, slots=True)
class Reason:
    """`code` is counted; `text` explains, quoting a marker at the most."""

    code: str
    text: str


Filter = Callable[[Sample, QualityPolicy, LanguageOf], Reason | None]


@dataclass(frozen=True, slots=True)
class Filtered:
    """In the order of the samples. `counts` are by code."""

    kept: tuple[Sample, ...]
    rejected: tuple[tuple[Sample, Reason], ...]

    @property
    def counts(self) -> dict[str, int]:
        return dict(sorted(Counter(reason.code for _, reason in self.rejected).items()))


def filter_samples(samples: Iterable[Sample], policy: QualityPolicy, language_of: LanguageOf) -> Filtered:
    kept: list[Sample] = []
    rejected: list[tuple[Sample, Reason]] = []
    for sample in samples:
        reason = first_reason(sample, policy, language_of)
        if reason is None:
            kept.append(sample)
        else:
            rejected.append((sample, reason))
    return Filtered(tuple(kept), tuple(rejected))


def first_reason(sample: Sample, policy: QualityPolicy, language_of: LanguageOf) -> Reason | None:
    """`language_of` is asked only where the policy names languages and nothing else speaks against the sample."""
    found = (check(sample, policy, language_of) for check in FILTERS)
    return next((reason for reason in found if reason is not None), None)


def only_placeholders(sample: Sample, _policy: QualityPolicy, _language_of: LanguageOf) -> Reason | None:
    for name, text in (("prompt", sample.prompt), ("answer", sample.answer)):
        left, masked = _PLACEHOLDER.subn(" ", text)
        if masked and not split_words(left):
            return Reason("only_placeholders", f"the {name} is {masked} placeholders and nothing else")
    return None


def length(sample: Sample, policy: QualityPolicy, _language_of: LanguageOf) -> Reason | None:
    for name, text in (("prompt", sample.prompt), ("answer", sample.answer)):
        sizes = {"characters": len(text.strip()), "words": len(split_words(text))}
        for unit, size in sizes.items():
            least: int = getattr(policy, f"min_{name}_{unit}")
            most: int = getattr(policy, f"max_{name}_{unit}")
            if size < least:
                return Reason(f"{name}_too_short", f"the {name} has {size} {unit}, fewer than {least}")
            if size > most:
                return Reason(f"{name}_too_long", f"the {name} has {size} {unit}, more than {most}")
    return None


def encoding(sample: Sample, policy: QualityPolicy, _language_of: LanguageOf) -> Reason | None:
    worst = max(map(damage, sample.texts))
    if worst <= policy.max_damaged_characters:
        return None
    return Reason("encoding_damage", f"a text has {worst} traces of a wrong decoding")


def orders(sample: Sample, policy: QualityPolicy, _language_of: LanguageOf) -> Reason | None:
    if not policy.injections:
        return None
    for text in sample.texts:
        if found := injection(text, max_hidden=policy.max_hidden_characters):
            return Reason("prompt_injection", found)
    return None


def repetition(sample: Sample, policy: QualityPolicy, _language_of: LanguageOf) -> Reason | None:
    if not sample.is_target:
        return None
    words = split_words(sample.answer)
    if max(map(len, words), default=0) >= _LONG_WORD and (found := _SAME_CHARACTER.search(sample.answer)):
        return Reason("repetitive_answer", f"one character {len(found.group())} times in a row")
    if len(words) < policy.min_words_to_repeat:
        return None
    lines = [bare for line in sample.answer.splitlines() if (bare := line.strip(_ORNAMENT))]
    share = _repeated(lines) if len(lines) >= _LINES else 0.0
    if share > policy.max_repeated_lines:
        return Reason("repetitive_answer", f"{share:.0%} of its lines repeat others")
    share = _repeated(list(zip(words, words[1:], words[2:], words[3:], strict=False)))
    if share > policy.max_repeated_ngrams:
        return Reason("repetitive_answer", f"{share:.0%} of its 4-grams repeat others")
    return None


def refusals(sample: Sample, policy: QualityPolicy, _language_of: LanguageOf) -> Reason | None:
    if not policy.refusals or sample.kind is ExampleKind.LABELLED or sample.rating.corrected:
        return None
    found = refusal(sample.answer)
    return None if found is None else Reason("refusal", found)


def language(sample: Sample, policy: QualityPolicy, language_of: LanguageOf) -> Reason | None:
    if not policy.languages or not sample.is_target:
        return None
    for name, text in (("prompt", sample.prompt), ("answer", sample.answer)):
        found = language_of(text)
        if found is not None and found not in policy.languages:
            return Reason("language", f"the {name} is in {found!r}; allowed: {', '.join(policy.languages)}")
    return None


FILTERS: tuple[Filter, ...] = (only_placeholders, length, encoding, orders, repetition, refusals, language)


def _repeated(pieces: Sequence[Hashable]) -> float:
    """Share of the pieces that stand before in the list."""
    return 1 - len(set(pieces)) / len(pieces)
