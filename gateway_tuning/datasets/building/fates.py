"""What became of every record of a build, as `writing.tally_block` left it."""

from collections.abc import Iterator
from dataclasses import dataclass

from gateway_tuning.datasets.building.codec import unpack
from gateway_tuning.datasets.building.plan import Plan
from gateway_tuning.datasets.building.workshop import Workshop
from gateway_tuning.storage import layout


@dataclass(frozen=True, slots=True)
class Fate:
    """Whether an example is made of a record, and why not or how far."""

    feedback_id: str
    subject_id: str | None
    used: bool
    reason: str | None


@dataclass(frozen=True, slots=True)
class Fates:
    """A block of them is held at a time."""

    workshop: Workshop
    plan: Plan

    def __iter__(self) -> Iterator[Fate]:
        for block in self.plan.blocks:
            data = self.workshop.objects.read(layout.build_file(self.plan.key, "fates", block.number))
            yield from (Fate(*row) for row in unpack(data))
