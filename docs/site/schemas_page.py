"""What goes in and out as JSON beside the API's own bodies."""

from pydantic import BaseModel

from docs.site.schemas import fields_of, with_nested
from gateway_tuning.cycles.plan import CyclePlan
from gateway_tuning.datasets.manifest import Manifest
from gateway_tuning.feedback.record import FeedbackRecord

_ABOUT: tuple[tuple[str, type[BaseModel], str], ...] = (
    (
        "Feedback record",
        FeedbackRecord,
        "What [the API takes](../how-to/post-feedback.md), and what a [mapping](../how-to/map-an-export.md) makes of an export.",
    ),
    (
        "Manifest",
        Manifest,
        "The `manifest.json` that makes a [dataset](../how-to/datasets.md) exist.",
    ),
    (
        "Plan of a cycle",
        CyclePlan,
        "The parameter `plan` of the deployment `tuning-cycle`, as its form in Prefect's UI shows it.",
    ),
)


def render() -> str:
    parts = [
        (
            "# Schemas\n\nNo field but these is taken. An example of a dataset is a row of Parquet: "
            "[object layout](layout.md#examples-as-parquet).\n"
        )
    ]
    for title, model, about in _ABOUT:
        schemas = with_nested(model.model_json_schema())
        parts.append(f"## {title}\n\n{about}\n\n{fields_of(schemas, depth=3)}")
    return "\n".join(parts)
