"""The contract of a training provider. `tests/contracts/test_providers.py` holds every one to it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from gateway_tuning.errors import ProviderError
from gateway_tuning.training.job import ProviderJob, TrainingFiles, TunedModel, TuningSpec


@dataclass(frozen=True, slots=True)
class Capabilities:
    """`exports` has, by method, the format of its training file (`gateway_tuning.datasets.formats`)."""

    exports: Mapping[str, str]
    base_models: frozenset[str] | None  # None: any the provider offers
    min_examples: int

    def export_of(self, method: str) -> str:
        """Raises ProviderError for a method that the provider does not have."""
        try:
            return self.exports[method]
        except KeyError:
            raise ProviderError(
                f"The provider has no method {method}; use {' or '.join(sorted(self.exports))}"
            ) from None


class Provider(Protocol):
    """Every method may be called again after a crash; `key` is the idempotency key of the job."""

    @property
    def capabilities(self) -> Capabilities: ...

    def submit(self, key: str, spec: TuningSpec, files: TrainingFiles) -> ProviderJob:
        """Find the job with this key, or create it; an interrupted local job is resumed.

        Raises:
            ProviderError: the provider refuses the spec or the files.
            ProviderUnavailableError: no answer; nothing is known about the job.
        """

    def poll(self, job_id: str) -> ProviderJob: ...

    def cancel(self, job_id: str) -> None:
        """Ask the provider to stop. Poll tells when it has; cancelling an ended job changes nothing."""

    def collect(self, job_id: str) -> TunedModel:
        """The result of a succeeded job. Raises ProviderError for any other status."""

    def discard(self, job_id: str) -> None:
        """Delete the files that were given to an ended job, and every working copy of their content, for good.

        The job stays known and so does the model it made. Discarding again changes nothing. What an interrupted
        submission left under this id goes too.

        Raises:
            ConflictError: the job has not ended; cancel it and wait for its end.
            NotFoundError: nothing is known under this id.
        """
