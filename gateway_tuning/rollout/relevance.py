"""Online relevance as the canary sees it: which answers are scored, and by which scorer."""

from functools import cache
from typing import TYPE_CHECKING, cast

from gateway_tuning.rollout.assignment import bucket

if TYPE_CHECKING:
    from gateway_tuning.evaluation.scoring.meaning.embedder import Embedder


def is_sampled(answer_id: str, share: float) -> bool:
    """By the answer's id alone, which is random: an answer's arm, version and user have no say in it."""
    return bucket("", "relevance", answer_id) < share


@cache
def relevance_version() -> str:
    """Name and version of the scorer that is installed here: changes whenever values may. Part of a canary's hash.

    `relevance_lexical` instead of `relevance` where the sentence model is missing, so that gateway and judge must have
    the same packages.
    """
    from gateway_tuning.evaluation.scoring.meaning import minilm, scorers
    from gateway_tuning.evaluation.scoring.meaning.grams import CharacterGrams

    # A scorer asks the class for its version, too: loading the model would take a second and 80 MB.
    embedder = minilm.MiniLM if minilm.is_installed() else CharacterGrams
    found = scorers.relevance(cast("Embedder", embedder))
    return f"{found.card.name} {found.version}"
