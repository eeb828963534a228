"""Every error the project raises on purpose.

A rejected gate, a quarantined record or an inconclusive canary is a result, not an error. Each message names
the object and the remedy. All classes take one message, so that they pickle across processes unchanged.
"""


class GatewayTuningError(Exception):
    """Root of the tree: catch this at a border."""


class ConfigurationError(GatewayTuningError, ValueError):
    """A setting, mapping or policy that cannot work as written."""


class MissingExtraError(ConfigurationError):
    """An optional dependency is needed and not installed; the message carries the install command."""


class InputFileError(GatewayTuningError, ValueError):
    """A file as a whole cannot be read; single bad records are quarantined instead."""


class NotFoundError(GatewayTuningError, LookupError):
    """An id or alias that the store does not know."""


class ConflictError(GatewayTuningError, RuntimeError):
    """Somebody else holds or changed the object: a lease, an alias, a fencing token."""


class UnacceptableError(GatewayTuningError, ValueError):
    """What was set aside is of no use, and no word of a person changes that."""


class IntegrityError(GatewayTuningError, ValueError):
    """Stored bytes do not match their manifest or checksum."""


class ExpectationError(GatewayTuningError, ValueError):
    """What a build made is not what it must be; nothing of it is published."""


class AnonymizationError(GatewayTuningError, RuntimeError):
    """Personal data could not be removed; the text must go nowhere."""


class ProviderError(GatewayTuningError, RuntimeError):
    """A training provider refused or failed, for good."""


class ProviderUnavailableError(ProviderError):
    """A training provider did not answer; trying again may help.

    `retry_after_s` is set on an error whose provider said when to come back.
    """

    retry_after_s: float | None = None


class ClosedError(ProviderError):
    """A provider takes no more jobs for a base model."""


class BudgetError(GatewayTuningError, RuntimeError):
    """A job would cost more than may be spent, or is capped and nobody knows what it costs. Nothing was started."""


class ServingError(GatewayTuningError, RuntimeError):
    """A model endpoint could not be started or reached."""


class StoreBusyError(GatewayTuningError, RuntimeError):
    """The metadata store is locked, gone or behind; trying again helps."""


class StorageUnavailableError(StoreBusyError):
    """Object storage did not answer, broke off or is full; trying again helps once it is back."""


class UnsupportedRequestError(ConfigurationError):
    """The storage server does not know this kind of request."""


class OrchestratorError(GatewayTuningError, RuntimeError):
    """Whatever runs the flows did not answer or refused; trying again may help."""


class ErasedError(GatewayTuningError, RuntimeError):
    """What was asked for held data of a person who was erased, and is gone or must not be made."""


def missing_extra(package: str, extra: str) -> MissingExtraError:
    return MissingExtraError(
        f"{package} is not installed. Install it with: pip install 'llm-gateway-tuning[{extra}]'"
    )
