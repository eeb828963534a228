"""Every scorer by name, loaded when it is asked for. Others add theirs by an entry point.

An entry point is a function of the evaluation's settings that gives a scorer.
"""

from collections.abc import Callable
from importlib import import_module
from importlib.metadata import entry_points

from gateway_tuning.errors import ConfigurationError
from gateway_tuning.evaluation.scoring.protocol import LEXICAL, Scorer
from gateway_tuning.evaluation.settings import EvaluationSettings

ENTRY_POINT_GROUP = "gateway_tuning.scorers"
DEFAULT = (
    "similarity",
    "accuracy",
    "semantic_similarity",
    "relevance",
    "factuality",
    "json_validity",
    "refusal",
    "personal_data",
)
"""What is measured where the settings name nothing.

`benchmarks/metrics` holds measures of quality against human ratings; the last four are checks, which look for faults.
"""

Build = Callable[[EvaluationSettings], Scorer]
_HERE = __package__


def _ready(place: str) -> Build:
    """A scorer that stands in a module of this folder, as `module:NAME`."""

    def build(_settings: EvaluationSettings) -> Scorer:
        module, _, name = place.partition(":")
        found: Scorer = getattr(import_module(f"{_HERE}.{module}"), name)
        return found

    return build


def _made(place: str) -> Build:
    """One that a class without arguments makes."""

    def build(_settings: EvaluationSettings) -> Scorer:
        module, _, name = place.partition(":")
        made: Scorer = getattr(import_module(f"{_HERE}.{module}"), name)()
        return made

    return build


def _by_meaning(name: str, *, lexical: bool = False) -> Build:
    def build(_settings: EvaluationSettings) -> Scorer:
        from gateway_tuning.evaluation.scoring.meaning import scorers
        from gateway_tuning.evaluation.scoring.meaning.embedder import best_embedder, lexical_embedder

        made: Scorer = getattr(scorers, name)(lexical_embedder() if lexical else best_embedder())
        return made

    return build


def _accuracy(settings: EvaluationSettings) -> Scorer:
    from gateway_tuning.evaluation.scoring.words.similarity import accuracy_above

    return accuracy_above(settings.similarity_threshold)


_BUILT_IN: dict[str, Build] = {
    "similarity": _ready("words.similarity:SIMILARITY"),
    "accuracy": _accuracy,
    "token_f1": _ready("words.similarity:TOKEN_F1"),
    "exact_match": _ready("words.similarity:EXACT_MATCH"),
    "length_ratio": _ready("words.similarity:LENGTH_RATIO"),
    "rouge_l": _ready("words.sequences:ROUGE_L"),
    "chrf": _ready("words.sequences:CHRF"),
    "json_validity": _ready("form.validity:JSON_VALIDITY"),
    "json_schema": _ready("form.shapes:JSON_SCHEMA"),
    "refusal": _ready("form.refusal:REFUSAL"),
    "factuality": _made("factuality.scorer:FactualityScorer"),
    "personal_data": _made("safety:PersonalDataScorer"),
    **{name: _by_meaning(name) for name in ("semantic_similarity", "relevance", "coherence")},
    **{
        f"{name}{LEXICAL}": _by_meaning(name, lexical=True)
        for name in ("semantic_similarity", "relevance", "coherence")
    },
}


def scorer(name: str, settings: EvaluationSettings | None = None) -> Scorer:
    """One scorer, whose card may have another name than the one asked for.

    `relevance` is `relevance_lexical` where the sentence model is not installed. Figures go by the card's name.

    Raises:
        ConfigurationError: neither we nor an installed package has the name, or it lacks what it needs.
    """
    chosen = settings or EvaluationSettings()
    if name in _BUILT_IN:
        return _BUILT_IN[name](chosen)
    for entry in entry_points(group=ENTRY_POINT_GROUP):
        if entry.name == name:
            build: Build = entry.load()
            return build(chosen)
    raise ConfigurationError(f"No scorer {name!r}; there are: {', '.join(names())}")


def names() -> list[str]:
    return sorted({*_BUILT_IN, *(entry.name for entry in entry_points(group=ENTRY_POINT_GROUP))})
