"""What an example is told apart by. A facet that cannot be told of an example is absent, and it is in no slice of it."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache

from gateway_tuning.datasets.example import Example
from gateway_tuning.evaluation.settings import Facet

FacetOf = Callable[[Example], str | None]

SHORT, LONG = 12, 40  # words
TOPICS = 8  # more would leave too few examples in each
# Scripts that put no spaces between words: a character counts as one.
_WORD = re.compile(r"[\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff]|[^\W\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff]+")


def facets_of(
    example: Example, fields: Iterable[Facet], told: Mapping[Facet, FacetOf] | None = None
) -> dict[str, str]:
    """Those of `fields` that can be told, by `told` first: language, topic and segment are known to nobody else."""
    tellers = {"feedback_type": feedback_type, "length": length, **(told or {})}
    found = {field: tellers[field](example) for field in fields if field in tellers}
    return {field: value for field, value in found.items() if value}


def feedback_type(example: Example) -> str | None:
    """Several are joined by `+`."""
    return "+".join(sorted(set(example.feedback_types))) or None


def length(example: Example) -> str:
    """Of the last prompt: short below 12 words, long above 40; the same bounds in every evaluation."""
    words = sum(1 for _ in _WORD.finditer(example.prompt))
    return "short" if words < SHORT else "medium" if words <= LONG else "long"


@cache
def language_of_prompt() -> FacetOf | None:
    """By py3langid, which needs some 20 letters; None where it is not installed. Loaded once."""
    from importlib.util import find_spec

    if find_spec("py3langid") is None:
        return None
    from gateway_tuning.feedback.language import LanguageDetector

    detector = LanguageDetector()
    return lambda example: detector.language_of(example.prompt)


def topic_of_prompt(prompts: Sequence[str], groups: Sequence[str], *, seed: int) -> FacetOf:
    """By topics learned on `prompts`, which should be others than are asked; `groups` are their conversations.

    A topic is named by its commonest words; a prompt that is far from all of them is `other`.

    Raises:
        ValueError: the prompts have too little in common to learn topics from.
    """
    from gateway_tuning.drift.texts.topics import TopicModel

    model = TopicModel.fit(prompts, topics=TOPICS, seed=seed, groups=groups)
    names = [*(", ".join(model.top_words(topic)) for topic in range(model.topics)), "other"]
    return lambda example: names[int(model.assign([example.prompt])[0])]
