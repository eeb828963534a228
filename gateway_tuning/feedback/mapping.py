"""From a row of any export to feedback records. A mapping is data; without one, rows are feedback records."""

import hashlib
import json
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError, field_validator, model_validator

from gateway_tuning.errors import ConfigurationError
from gateway_tuning.feedback.expressions import (
    Expression,
    UnusableValueError,
    look_up,
    replaced,
    shown,
    split_path,
)
from gateway_tuning.feedback.record import FeedbackRecord, RequestContext
from gateway_tuning.feedback.shaping import shape

TARGETS = tuple(
    name for name in FeedbackRecord.model_fields if name not in {"request", "metadata", "tenant"}
) + tuple(f"request.{name}" for name in RequestContext.model_fields)


@dataclass(frozen=True, slots=True)
class Rejected:
    """A row, or one element of an exploded row, that gives no record.

    `sound` is the record with fillers in place of the fields in `unsound`, so that the rules can be asked
    about the rest of it; None where nothing can be said about the rest.
    """

    reasons: tuple[str, ...]
    raw: dict[str, Any]
    feedback_id: str | None = None
    sound: FeedbackRecord | None = None
    unsound: frozenset[str] = frozenset()


class Mapping(BaseModel):
    """Each field of a feedback record by an expression; the fields of `request` by dotted names."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    explode: tuple[str, ...] = ()  # paths of parallel lists; one record an element
    fields: dict[str, Expression]
    metadata: dict[str, Expression] = {}

    @model_validator(mode="before")
    @classmethod
    def _from_flat(cls, document: Any) -> Any:
        """In YAML the fields stand beside `explode` and `metadata`."""
        if not isinstance(document, dict) or "fields" in document:
            return document
        own = {key: document[key] for key in ("explode", "metadata") if key in document}
        return {**own, "fields": {key: value for key, value in document.items() if key not in own}}

    @field_validator("fields")
    @classmethod
    def _known_targets(cls, fields: dict[str, Expression]) -> dict[str, Expression]:
        for name, expression in fields.items():
            _require_target(name)
            for also in expression.sets:
                _require_target(also)
                if also != name and also in fields:
                    raise ValueError(f"{also} is set by the value map of {name} and on its own; keep one")
        return fields

    @field_validator("explode")
    @classmethod
    def _plain_paths(cls, paths: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(paths)) < len(paths) or not all(part for path in paths for part in split_path(path)):
            raise ValueError(f"explode takes different dotted paths, not {list(paths)}")
        return paths

    @field_validator("metadata")
    @classmethod
    def _plain_metadata(cls, metadata: dict[str, Expression]) -> dict[str, Expression]:
        for name, expression in metadata.items():
            if expression.sets:
                raise ValueError(f"metadata.{name}: a value map sets several fields only outside of metadata")
        return metadata


def load_mapping(path: Path) -> Mapping:
    """Raises ConfigurationError, naming the place, when the file is missing or cannot work as written."""
    try:
        document = yaml.load(path.read_text(encoding="utf-8"), Loader=_StrictLoader)  # noqa: S506 - a SafeLoader
    except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:
        raise ConfigurationError(f"Mapping {path} cannot be read: {error}") from error
    if not isinstance(document, dict):
        raise ConfigurationError(f"Mapping {path} must be a YAML object of field: expression")
    try:
        return Mapping.model_validate(document)
    except ValidationError as error:
        faults = "; ".join(_fault(detail) for detail in error.errors(include_url=False))
        raise ConfigurationError(f"Mapping {path}: {faults}") from error


def apply(mapping: Mapping | None, row: dict[str, Any]) -> list[FeedbackRecord | Rejected]:
    """At least one outcome a row."""
    if mapping is None or not mapping.explode:
        return [_outcome(mapping, row, row, None)]
    lists = {path: look_up(row, path) for path in mapping.explode}
    unfit = [path for path, value in lists.items() if not isinstance(value, list)]
    lengths = {path: len(value) for path, value in lists.items() if path not in unfit}
    if unfit:
        reasons = tuple(f"To be exploded, {path} must be a list: {shown(lists[path])}" for path in unfit)
    elif len(set(lengths.values())) > 1:
        told = ", ".join(f"{path} has {length}" for path, length in lengths.items())
        reasons = (f"Exploded lists differ in length: {told}",)
    elif not max(lengths.values()):
        reasons = ("Exploded lists are empty",)
    else:
        return [_outcome(mapping, row, _element(row, lists, at), at) for at in range(max(lengths.values()))]
    return [Rejected(reasons, row)]


def canonical_json(value: Any) -> str:
    """Equal values give equal ASCII text; dates and other values of typed formats are written as `str` does."""
    return json.dumps(value, sort_keys=True, ensure_ascii=True, separators=(",", ":"), default=str)


def _element(row: dict[str, Any], lists: dict[str, list[Any]], at: int) -> dict[str, Any]:
    for path, values in lists.items():
        row = replaced(row, path, values[at])
    return row


def _outcome(
    mapping: Mapping | None, source: dict[str, Any], row: dict[str, Any], index: int | None
) -> FeedbackRecord | Rejected:
    values, reasons, unknown = (dict(row), [], set()) if mapping is None else _mapped(mapping, row, index)
    if values.get("id") in (None, ""):
        values["id"] = hashlib.sha256(f"{canonical_json(source)}#{index}".encode()).hexdigest()[:32]
    shaped = shape(values, unknown=unknown)
    if not reasons and not shaped.faults and shaped.record is not None:
        return shaped.record
    return Rejected(
        reasons=(*reasons, *shaped.faults),
        raw=row if index is None else {**row, "index": index},
        feedback_id=shaped.feedback_id,
        sound=shaped.record,
        unsound=shaped.unsound,
    )


def _mapped(
    mapping: Mapping, row: dict[str, Any], index: int | None
) -> tuple[dict[str, Any], list[str], set[str]]:
    """Values by field, reasons, and the fields whose value is not known for those reasons."""
    seen = row if index is None else {**row, "index": index}
    values: dict[str, Any] = {}
    reasons: list[str] = []
    unknown: set[str] = set()
    for name, expression in mapping.fields.items():
        try:
            value = expression.evaluate(seen)
        except UnusableValueError as error:
            reasons.append(str(error))
            unknown |= {name, *expression.sets}
            continue
        values |= value if expression.map is not None and isinstance(value, dict) else {name: value}
    metadata = {}
    for name, expression in mapping.metadata.items():
        try:
            metadata[name] = expression.evaluate(seen)
        except UnusableValueError as error:
            reasons.append(str(error))
    request = {name: values.pop(f"request.{name}", None) for name in RequestContext.model_fields}
    if any(value is not None for value in request.values()):
        values["request"] = request
    return {**values, "metadata": metadata}, list(dict.fromkeys(reasons)), unknown


def _require_target(name: str) -> None:
    if name in TARGETS:
        return
    if name == "tenant":
        raise ValueError("tenant is chosen by whoever imports, not by the file")
    close = [field for field in TARGETS if name in field] or get_close_matches(name, TARGETS, n=1, cutoff=0.4)
    hint = f"did you mean {close[0]}?" if close else f"known are {', '.join(TARGETS)}"
    raise ValueError(f"unknown field {name!r}; {hint}")


def _fault(detail: Any) -> str:
    place = ".".join(str(part) for part in detail["loc"] if part != "fields")
    text = str(detail["msg"]).removeprefix("Value error, ")
    return f"{place}: {text}" if place else text


class _StrictLoader(yaml.SafeLoader):
    """YAML as people read it: `Yes` and `No` are words, and a key that stands twice is an error."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        if twice := [key for key in dict.fromkeys(keys) if keys.count(key) > 1]:
            raise yaml.constructor.ConstructorError(None, None, f"{twice[0]!r} stands twice", node.start_mark)
        return dict(super().construct_mapping(node, deep))


_StrictLoader.yaml_implicit_resolvers = {
    first: [
        (tag, pattern)
        for tag, pattern in resolvers
        if tag != "tag:yaml.org,2002:bool" or first in "tTfF"  # true and false stay
    ]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
