"""Models that come with packages: what finds personal data, what compares meanings, what is tuned on this machine."""

from collections.abc import Iterator

from gateway_tuning.doctor.finding import Finding, fault, not_configured, ok, warning
from gateway_tuning.errors import GatewayTuningError, MissingExtraError
from gateway_tuning.settings import Settings

_SAID = "Clara Oswald wrote to clara.oswald@example.com about order 4711."
_NAMES = ("Clara Oswald", "clara.oswald@example.com")


def check_models(settings: Settings) -> Iterator[Finding]:
    yield _anonymization(settings)
    yield _meaning()
    yield _base_model()


def _anonymization(settings: Settings) -> Finding:
    """Loaded and tried: a dataset with names in it is worse than none."""
    from gateway_tuning.anonymization.anonymizer import Anonymizer
    from gateway_tuning.anonymization.masking import AnonymizedRecord

    check, remedy = "anonymization", "Install the package that GATEWAY_TUNING_SPACY_MODEL names"
    try:
        (found,) = Anonymizer(settings.spacy_model).anonymize([{"prompt": _SAID}])
    except (GatewayTuningError, OSError, ImportError) as error:
        return fault(check, str(error), remedy)
    if not isinstance(found, AnonymizedRecord):
        return fault(check, f"a sentence could not be anonymized: {found.reason}", remedy)
    left = [name for name in _NAMES if name in found.fields["prompt"]]
    if left:
        return fault(check, f"{settings.spacy_model} leaves a name or address in a plain sentence", remedy)
    return ok(check, f"{settings.spacy_model} finds a name and an address")


def _meaning() -> Finding:
    from gateway_tuning.evaluation.scoring.meaning.minilm import WIDTH, MiniLM

    check = "sentence model"
    try:
        vectors = MiniLM().embed(["Where is my order?"])
    except MissingExtraError as error:
        return warning(check, str(error), "Without it meanings are compared by words, which finds less")
    except (GatewayTuningError, OSError) as error:
        return fault(check, str(error), "Install the package anew")
    if vectors.shape != (1, WIDTH):
        return fault(check, f"it gives {vectors.shape} numbers for a text", "Install the package anew")
    return ok(check, f"{MiniLM.version} answers")


def _base_model() -> Finding:
    from gateway_tuning.training.local.model.weights import BASE_MODEL, packaged_gguf

    check = "local base model"
    try:
        path = packaged_gguf()
    except MissingExtraError as error:
        return not_configured(check, str(error), "Needed only where models are tuned on this machine")
    except (GatewayTuningError, OSError) as error:
        return fault(check, str(error), "Install the package anew")
    return ok(check, f"{BASE_MODEL} is there, {path.stat().st_size / 1e6:.0f} MB")
