"""Langfuse's score object as an opinion. Format: the score tables named in `importers.langfuse`."""

from dataclasses import dataclass, field
from typing import Any

from gateway_tuning.feedback.expressions import shown
from gateway_tuning.feedback.importers.cells import cell, mapping_cell, moment, number, text_cell, told_time
from gateway_tuning.feedback.importers.opinion import TRUE_IS_GOOD, opinion, satisfaction
from gateway_tuning.feedback.importers.protocol import UnfitError
from gateway_tuning.feedback.importers.scales import Scale, Scales
from gateway_tuning.feedback.record import FeedbackType

DATA_TYPES = ("NUMERIC", "BOOLEAN", "CATEGORICAL", "TEXT", "CORRECTION")
UNSCALED = Scale(categories={"": 0.0})  # known not to be known: several configs of one name disagree


@dataclass(slots=True)
class ScoreConfigs:
    """Ranges of numeric scores by config id and by name. Held in memory: a project has a handful."""

    by_id: dict[str, Scale] = field(default_factory=dict)
    by_name: dict[str, Scale] = field(default_factory=dict)

    def add(self, row: dict[str, Any]) -> None:
        low, high = number(cell(row, "min_value")), number(cell(row, "max_value"))
        name, id_ = text_cell(row, "name"), text_cell(row, "id")
        if low is None or high is None or low >= high or name is None:
            return
        scale = Scale(worst=low, best=high)
        if id_ is not None:
            self.by_id[id_] = scale
        self.by_name[name] = scale if self.by_name.get(name, scale) == scale else UNSCALED

    def of(self, score: dict[str, Any], name: str) -> Scale | None:
        own = self.by_id.get(text_cell(score, "config_id") or "")
        return own or self.by_name.get(name)


def is_score(row: dict[str, Any]) -> bool:
    return cell(row, "data_type") in DATA_TYPES and ("value" in row or _string_value(row) is not None)


def is_score_config(row: dict[str, Any]) -> bool:
    return cell(row, "data_type") in DATA_TYPES and "value" not in row and _string_value(row) is None


def score_fields(row: dict[str, Any], configs: ScoreConfigs, scales: Scales) -> dict[str, Any]:
    """What the score itself tells of a record: id, time, revision, opinion and metadata.

    Raises:
        UnfitError: the score says nothing that a record can hold.
    """
    name, changed = text_cell(row, "name") or "", moment(cell(row, "updated_at"))
    id_ = text_cell(row, "id")
    own = {
        "id": None if id_ is None else f"langfuse:{id_}",
        "timestamp": told_time(cell(row, "timestamp") or cell(row, "created_at")),
        "revision": None if changed is None else int(changed.timestamp() * 1000),
        "metadata": {
            **mapping_cell(row, "metadata"),
            "score_name": name,
            "score_source": cell(row, "source"),
            "score_type": cell(row, "data_type"),
            "annotator": text_cell(row, "author_user_id"),
            "environment": text_cell(row, "environment"),
        },
    }
    return {**own, **_opinion(row, name, configs, scales)}


def _opinion(row: dict[str, Any], name: str, configs: ScoreConfigs, scales: Scales) -> dict[str, Any]:
    kind, comment = cell(row, "data_type"), text_cell(row, "comment")
    text = _string_value(row)
    if kind == "TEXT":
        return {"type": FeedbackType.TEXT.value, "comment": text}
    if kind == "CORRECTION":
        return {"type": FeedbackType.CORRECTION.value, "corrected_response": text, "comment": comment}
    # What an evaluator measures may be a fault, such as hallucination: its good end has to be stated.
    automatic = cell(row, "source") == "EVAL"
    assumed = None if automatic else (TRUE_IS_GOOD if kind == "BOOLEAN" else configs.of(row, name))
    scale = scales.of(name) or assumed
    value: float | str | None = text if kind == "CATEGORICAL" else _number_of(row)
    if value is None:
        raise UnfitError(f"Score has no value: {shown(cell(row, 'value'))} of {shown(name)}")
    return opinion(satisfaction(name, value, scale), automatic=automatic, comment=comment)


def _number_of(row: dict[str, Any]) -> float | None:
    value = cell(row, "value")
    if value is None:
        value = _string_value(row)
    if isinstance(value, bool) or (isinstance(value, str) and value.lower() in {"true", "false"}):
        return float(str(value).lower() == "true")
    return number(value)


def _string_value(row: dict[str, Any]) -> str | None:
    """The v3 API writes the label or text as `value`, the others as `stringValue`."""
    text = text_cell(row, "string_value")
    if text is None and cell(row, "data_type") in {"CATEGORICAL", "TEXT", "CORRECTION"}:
        text = text_cell(row, "value")
    return text
