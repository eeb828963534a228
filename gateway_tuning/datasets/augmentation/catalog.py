"""Every augmenter by name, loaded when it is asked for. Others add theirs by an entry point.

An entry point is a function of policy and `language_of` that gives an augmenter.
"""

from collections.abc import Callable
from importlib.metadata import entry_points

from gateway_tuning.datasets.augmentation.policy import NOISE, PARAPHRASE, AugmentationPolicy
from gateway_tuning.datasets.augmentation.protocol import Augmenter, LanguageOf
from gateway_tuning.errors import ConfigurationError

ENTRY_POINT_GROUP = "gateway_tuning.augmenters"
Build = Callable[[AugmentationPolicy, LanguageOf], Augmenter]


def _noise(policy: AugmentationPolicy, language_of: LanguageOf) -> Augmenter:
    from gateway_tuning.datasets.augmentation.noise import NoiseAugmenter

    return NoiseAugmenter(policy.noise_rate, language_of)


def _paraphrase(policy: AugmentationPolicy, language_of: LanguageOf) -> Augmenter:
    from gateway_tuning.datasets.augmentation.paraphrase import ParaphraseAugmenter

    if policy.paraphrase is None:
        raise ConfigurationError(
            "The augmenter paraphrase has no endpoint; name one in the policy's paraphrase"
        )
    return ParaphraseAugmenter(policy.paraphrase, language_of)


_BUILT_IN: dict[str, Build] = {NOISE: _noise, PARAPHRASE: _paraphrase}


def augmenter(name: str, policy: AugmentationPolicy, language_of: LanguageOf) -> Augmenter:
    """One augmenter.

    Raises:
        ConfigurationError: neither we nor an installed package has the name, or it lacks what it needs.
    """
    if name in _BUILT_IN:
        return _BUILT_IN[name](policy, language_of)
    for entry in entry_points(group=ENTRY_POINT_GROUP):
        if entry.name == name:
            build: Build = entry.load()
            return build(policy, language_of)
    raise ConfigurationError(f"No augmenter {name!r}; there are: {', '.join(names())}")


def augmenters(policy: AugmentationPolicy, language_of: LanguageOf) -> list[Augmenter]:
    """Those that the policy names, in its order. Raises as `augmenter`."""
    return [augmenter(one.name, policy, language_of) for one in policy.augmenters]


def names() -> list[str]:
    return sorted({*_BUILT_IN, *(entry.name for entry in entry_points(group=ENTRY_POINT_GROUP))})
