"""After each stage of a build its figures are held against what they should be, before anything is published."""

import re
from collections import Counter
from datetime import datetime
from typing import TypedDict

from gateway_tuning.datasets.building.evidence import Evidence, Examples, Statements, Written
from gateway_tuning.datasets.inspection.stage_figures import Frame, Frames, of_examples, of_statements
from gateway_tuning.datasets.inspection.suites import (
    Bounds,
    Suite,
    dataset_suite,
    examples_suite,
    statements_suite,
)
from gateway_tuning.datasets.inspection.written_figures import of_written
from gateway_tuning.errors import ExpectationError
from gateway_tuning.expectations.expectation import Expectation, Outcome, column_of, verdict
from gateway_tuning.expectations.validation import validate
from gateway_tuning.storage.object_store import ObjectStore

STATEMENTS, EXAMPLES, DATASET = "statements", "examples", "dataset"
_NUMBER = re.compile(r"\d+")


class Looked(TypedDict):
    """Rows of a frame. `of`: what they are a sample of, None where that was not counted."""

    rows: int
    of: int | None


class StageExpectations(TypedDict):
    """JSON-able. `success`: no critical one failed. Outcomes are by frame."""

    stage: str
    success: bool
    warnings: int
    frames: dict[str, Looked]
    expectations: dict[str, list[Outcome]]


def check(
    evidence: Evidence, objects: ObjectStore, *, now: datetime, bounds: Bounds | None = None
) -> StageExpectations:
    """Figures of a stage, held against its suite.

    Raises:
        MissingExtraError: great-expectations is not installed.
    """
    limits = bounds or Bounds()
    frames = figures_of(evidence, objects)
    found = {
        name: _outcomes(frames[name], expectations)
        for name, expectations in suite_of(evidence, now=now, bounds=limits).items()
    }
    return {
        "stage": stage_of(evidence),
        **verdict([outcome for outcomes in found.values() for outcome in outcomes]),
        "frames": {name: {"rows": one.rows, "of": one.of} for name, one in frames.items()},
        "expectations": found,
    }


def refuse_failed(
    found: StageExpectations, evidence: Evidence, *, now: datetime, bounds: Bounds | None = None
) -> None:
    """Raises ExpectationError where a critical expectation is not met: it names all of them."""
    if found["success"]:
        return
    failed = {
        one["name"]: one["observed"]
        for outcomes in found["expectations"].values()
        for one in outcomes
        if one["success"] is False and one["severity"] == "critical"
    }
    known = {
        one.name: one
        for part in suite_of(evidence, now=now, bounds=bounds or Bounds()).values()
        for one in part
    }
    told = [f"{name!r} (observed {observed}): {known[name].remedy}" for name, observed in failed.items()]
    plan = evidence.plan
    of = f"dataset {evidence.manifest.dataset_id} of " if isinstance(evidence, Written) else ""
    raise ExpectationError(
        f"{of}build {plan.key[:32]} of tenant {plan.tenant} does not meet what the {found['stage']} must: "
        + "; ".join(told)
    )


def stage_of(evidence: Evidence) -> str:
    match evidence:
        case Statements():
            return STATEMENTS
        case Examples():
            return EXAMPLES
        case Written():
            return DATASET


def figures_of(evidence: Evidence, objects: ObjectStore) -> Frames:
    match evidence:
        case Statements():
            return of_statements(evidence, objects)
        case Examples():
            return of_examples(evidence, objects)
        case Written():
            return of_written(evidence, objects)


def suite_of(evidence: Evidence, *, now: datetime, bounds: Bounds) -> Suite:
    match evidence:
        case Statements():
            return statements_suite(evidence.plan.recipe, _why_not(evidence), bounds)
        case Examples():
            return examples_suite(
                evidence.plan.recipe, evidence.arranged.groups, evidence.arranged.leakage, bounds
            )
        case Written():
            return dataset_suite(now, bounds)


def _why_not(evidence: Statements) -> str:
    """The commonest reason for which a record could not be anonymized; reasons quote nothing."""
    failures = [failure for read in evidence.reads for failure in read.failures]
    if not failures:
        return ""
    # Reasons differ by their numbers, as in lengths.
    kinds = Counter(_NUMBER.sub("N", reason) for _, reason in failures)
    ((kind, count),) = kinds.most_common(1)
    id_, reason = next(failure for failure in failures if _NUMBER.sub("N", failure[1]) == kind)
    return f"{reason} (record {id_}, and {count - 1} like it)"


def _outcomes(found: Frame, expectations: tuple[Expectation, ...]) -> list[Outcome]:
    import pandas as pd

    table = pd.DataFrame({name: list(values) for name, values in found.columns.items()})
    known = {name for name in table.columns if table[name].notna().any()}
    # Great Expectations takes an empty column for a met one: here it stands for what is unknown.
    asked = tuple(one for one in expectations if column_of(one) in known)
    by_name = {outcome["name"]: outcome for outcome in (validate(table, asked) if asked else [])}
    return [by_name.get(one.name) or _unknown(one) for one in expectations]


def _unknown(expectation: Expectation) -> Outcome:
    return {
        "name": expectation.name,
        "column": column_of(expectation),
        "success": None,
        "observed": None,
        "unexpected_count": None,
        "severity": expectation.severity,
    }
