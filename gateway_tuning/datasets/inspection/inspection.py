"""A build under inspection: its page grows with each stage, and a stage that must not go on ends the build."""

from dataclasses import dataclass, field
from datetime import datetime

from gateway_tuning.datasets.building.evidence import Evidence, Written
from gateway_tuning.datasets.expectations import StageExpectations, check, refuse_failed
from gateway_tuning.datasets.inspection.suites import Bounds
from gateway_tuning.errors import ExpectationError
from gateway_tuning.expectations.page import render_html
from gateway_tuning.storage import layout
from gateway_tuning.storage.object_store import ObjectStore


@dataclass(frozen=True, slots=True)
class Inspection:
    """Hand `inspect` to `datasets.build.build` as its check. `found` has the stages that were looked at."""

    objects: ObjectStore
    key: str  # of the build
    now: datetime
    bounds: Bounds = field(default_factory=Bounds)
    found: list[StageExpectations] = field(default_factory=list)

    def inspect(self, evidence: Evidence) -> None:
        """Writes the page, whatever was found.

        Raises:
            ExpectationError: a critical expectation is not met. What was written of the dataset is removed.
            MissingExtraError: great-expectations is not installed.
        """
        found = check(evidence, self.objects, now=self.now, bounds=self.bounds)
        self.found.append(found)
        page = render_html(self.found, title="Expectations", subtitle=f"build {self.key[:32]}")
        self.objects.write(layout.build_page(self.key), page.encode())
        try:
            refuse_failed(found, evidence, now=self.now, bounds=self.bounds)
        except ExpectationError:
            if isinstance(evidence, Written):
                _remove_unpublished(self.objects, evidence.manifest.dataset_id)
            raise

    @property
    def page(self) -> str:
        """Where it lies, once a stage was looked at."""
        return self.objects.uri(layout.build_page(self.key))


def _remove_unpublished(objects: ObjectStore, dataset_id: str) -> None:
    """An equal build that was published keeps its objects."""
    if objects.exists(layout.dataset_manifest(dataset_id)):
        return
    keys = objects.list_keys(layout.dataset_folder(dataset_id))
    for key in sorted(keys, key=layout.names_subjects):  # those that tell whom it holds go last
        objects.delete(key)
