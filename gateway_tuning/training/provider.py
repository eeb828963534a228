"""The contract of a training provider. `tests/contracts/test_providers.py` holds every one to it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from gateway_tuning.errors import ProviderError
from gateway_tuning.training.job import ProviderJob, TrainingFiles, TunedModel, TuningSpec


@dataclass(frozen=True, slots=True)
class Capabilities:
    """`exports` has, by method, the format of its training file (`gateway_tuning.datasets.formats`).

    `is_local`: its workers are this machine's, so a look costs nothing and submit resumes a dead one. `variants` has
    what differs for base models whose name holds a word, by that word.
    """

    exports: Mapping[str, str]
    base_models: frozenset[str] | None  # None: any the provider offers
    min_examples: int
    is_local: bool = False
    variants: Mapping[str, "Capabilities"] = field(default_factory=dict)

    def of_base(self, base_model: str) -> "Capabilities":
        return next((variant for word, variant in self.variants.items() if word in base_model), self)

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


@dataclass(frozen=True, slots=True)
class KnownJob:
    """A job as its provider lists it. `key` is ours, or its beginning where the provider keeps no more of it."""

    key: str
    seen: ProviderJob


@runtime_checkable
class ShowsJobs(Protocol):
    """What a provider may have besides: it lists the jobs that carry a key of ours.

    So a job is found whose id was never recorded, without the risk of creating it, and jobs that nobody asked for
    come to light.
    """

    def known_jobs(self) -> Iterable[KnownJob]:
        """Newest first, as far back as the provider tells. Raises ProviderUnavailableError."""
