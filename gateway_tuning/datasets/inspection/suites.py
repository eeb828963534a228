"""What a sound build looks like after each of its stages: suites for Great Expectations, as data. Pure.

Critical ones hold for any dataset that may be trained on; warnings name what makes a worse one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from gateway_tuning.anonymization.policy import Action
from gateway_tuning.datasets.inspection.stage_figures import WHOLE
from gateway_tuning.datasets.manifest import Leakage
from gateway_tuning.datasets.quality.near_duplicates import PROMPT_THRESHOLD
from gateway_tuning.datasets.quality.signatures import standard_error
from gateway_tuning.datasets.recipe import DatasetRecipe
from gateway_tuning.datasets.splits import SPLITS, TEST, TRAIN, VALIDATION
from gateway_tuning.expectations.expectation import Expectation, Severity
from gateway_tuning.feedback.validation import CLOCK_SKEW, EARLIEST

Suite = dict[str, tuple[Expectation, ...]]  # by frame

# The splits keep apart what resembles each other from `PROMPT_THRESHOLD` on by an estimate: so far may it be wrong.
SURE_LEAK = round(PROMPT_THRESHOLD + 3 * standard_error(PROMPT_THRESHOLD), 3)
_EMAIL = "EMAIL_ADDRESS"


@dataclass(frozen=True, slots=True)
class Bounds:
    """Shares from 0 to 1; lengths in characters. `demanded` are splits without which a dataset is of no use."""

    max_failed_share: float = 0.1  # of the records that were to be anonymized
    few_failed_share: float = 0.01
    max_entities_per_record: float = 20
    max_masked_share: float = 0.5  # of a statement's characters
    max_rejected_share: float = 0.5  # of the examples
    min_rarer_label_share: float = 0.1
    share_tolerance: float = 0.1  # of a split's share, beside what chance explains
    short_answer: int = 3
    max_missing_share: float = 0.05  # of the examples that an export is for
    demanded: tuple[str, ...] = ()


def statements_suite(recipe: DatasetRecipe, why_not: str, bounds: Bounds) -> Suite:
    """`why_not` is the commonest reason for which a record could not be anonymized."""
    policy = recipe.anonymization
    masked = policy.action_for(_EMAIL) in {Action.PLACEHOLDER, Action.DROP_RECORD}
    addresses = (
        _each("no e-mail address is left", "warning", "addresses", 0, 0)
        if masked and not any("@" in word for word in policy.allow)
        else None
    )
    statements = (
        _each("statements have text", "critical", "characters", 1, None, "look at the importer's mapping"),
        _each(
            "placeholders are a part of the text and not most of it", "warning", "masked_share",
            None, bounds.max_masked_share, mostly=0.95,
        ),
    )  # fmt: skip
    return {
        WHOLE: (
            _figure("there are records", "warning", "tried", 1, None),
            _figure(
                f"at most {bounds.max_failed_share:.0%} of the records could not be anonymized",
                "critical", "failed_share", 0, bounds.max_failed_share,
                f"most often {why_not}; correct the records or the anonymizer's settings and build again",
            ),
            _figure(
                f"hardly a record ({bounds.few_failed_share:.0%}) could not be anonymized",
                "warning", "failed_share", 0, bounds.few_failed_share,
            ),
            _figure(
                "personal data in a record is plausible in number",
                "warning", "entities_per_record", 0, bounds.max_entities_per_record,
            ),
        ),
        "blocks": (
            _each("no block of records failed", "warning", "failed_share", 0, 2 * bounds.max_failed_share),
        ),
        "statements": statements if addresses is None else (*statements, addresses),
    }  # fmt: skip


def examples_suite(recipe: DatasetRecipe, groups: int, leakage: Leakage, bounds: Bounds) -> Suite:
    shares = {VALIDATION: recipe.validation_share, TEST: recipe.test_share}
    shares[TRAIN] = 1 - sum(shares.values())
    wanted = [split for split in SPLITS if shares[split] > 0]
    return {
        WHOLE: (
            *(
                _figure(
                    f"there are {split} examples",
                    "critical" if split in bounds.demanded else "warning", split, 1, None,
                    f"collect more feedback, or change {split}'s share in the recipe",
                )
                for split in (*wanted, *(split for split in bounds.demanded if split not in wanted))
            ),
            _figure(
                "no group stands in two splits", "critical", "shared_groups", 0, 0,
                "a fault of the build; report it with the recipe",
            ),
            _figure(
                "no test prompt resembles a training prompt",
                "critical", "highest_similarity", 0, SURE_LEAK,
                f"leave out the feedback behind example {leakage.test_example} or {leakage.train_example}",
            ),
            _figure(
                "test prompts are clear of training prompts by the estimate's error",
                "warning", "highest_similarity", 0, PROMPT_THRESHOLD,
            ),
            _figure(
                f"at most {bounds.max_rejected_share:.0%} of the examples are rejected",
                "warning", "rejected_share", 0, bounds.max_rejected_share,
            ),
            *(
                _figure(f"the {split} split has its share", "warning", f"{split}_share", *_near(shares[split], groups, bounds))
                for split in SPLITS
            ),
            _figure("labels are of both kinds", "warning", "rarer_label_share", bounds.min_rarer_label_share, None),
        ),
        "examples": (
            _each("prompts have text", "critical", "prompt_length", 1, None, "raise quality.min_prompt_characters"),
            _each("answers have text", "critical", "answer_length", 1, None, "raise quality.min_answer_characters"),
            _each("answers are rarely a few characters", "warning", "answer_length", bounds.short_answer, None, mostly=0.95),
            _each("every draft has a source", "critical", "sources", 1, None, "a fault of the build; report it with the recipe"),
            Expectation(
                "answers rarely say the prompt again", "warning", "ExpectColumnValuesToBeInSet",
                {"column": "prompt_equals_answer", "value_set": [False], "mostly": 0.99},
            ),
        ),
    }  # fmt: skip


def dataset_suite(now: datetime, bounds: Bounds) -> Suite:
    again = "run the build again; where that does not help, check the object storage"
    return {
        WHOLE: (_figure("no id comes twice", "critical", "repeated_ids", 0, 0, again),),
        "splits": (
            Expectation(
                "splits have the rows that were counted", "critical", "ExpectColumnPairValuesToBeEqual",
                {"column_A": "rows", "column_B": "counted"}, again,
            ),
        ),
        "parts": (
            Expectation(
                "parts have the rows that they state", "critical", "ExpectColumnPairValuesToBeEqual",
                {"column_A": "rows", "column_B": "stated"}, again,
            ),
            _each("examples stand in the split of their part", "critical", "elsewhere", 0, 0, again),
            _each("every example has a source", "critical", "without_source", 0, 0, again),
            _each(
                "no example is older than feedback can be", "critical", "first_at", EARLIEST, None,
                "correct the times in the export or its mapping, and import it again",
            ),
            _each(
                "no example is of the future", "critical", "last_at", None, now + CLOCK_SKEW,
                "correct the clock of the sender or of this machine",
            ),
        ),
        "exports": (
            _each(
                f"exports hold their examples, {bounds.max_missing_share:.0%} at most apart, and no others",
                "critical", "missing_share", 0, bounds.max_missing_share,
                "`gateway-tuning export` counts what a format cannot carry, and why",
            ),
            _each("exports hold every one of their examples", "warning", "missing_share", 0, 0),
        ),
    }  # fmt: skip


def _figure(name: str, severity: Severity, column: str, low: Any, high: Any, remedy: str = "") -> Expectation:  # noqa: PLR0917 - a row of a table
    """Of a frame of one row, so that what is observed is the figure."""
    bounds = {"column": column, "min_value": low, "max_value": high}
    return Expectation(name, severity, "ExpectColumnMaxToBeBetween", _given(bounds), remedy)


def _each(  # noqa: PLR0917 - a row of a table
    name: str, severity: Severity, column: str, low: Any, high: Any, remedy: str = "", *, mostly: float = 1
) -> Expectation:
    bounds = {"column": column, "min_value": low, "max_value": high, "mostly": mostly}
    return Expectation(name, severity, "ExpectColumnValuesToBeBetween", _given(bounds), remedy)


def _given(arguments: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in arguments.items() if value is not None}


def _near(share: float, groups: int, bounds: Bounds) -> tuple[float, float]:
    """Three standard errors of a binomial share around it, and the tolerance."""
    reach = bounds.share_tolerance + 3 * (share * (1 - share) / max(1, groups)) ** 0.5
    return max(0.0, share - reach), min(1.0, share + reach)
