"""Which JSON an answer must be: by a schema in the conversation, or like the preferred answer. Pure."""

import json
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

from gateway_tuning.evaluation.scoring.form.asking import instructions, wants_json
from gateway_tuning.evaluation.scoring.form.parsing import Parsed, parse_json
from gateway_tuning.evaluation.scoring.form.schema import DEPTH, Checked, check
from gateway_tuning.evaluation.scoring.measure import Measure, share_card
from gateway_tuning.evaluation.scoring.protocol import Item, Score

_READ = 50_000  # characters of a text that are searched for a schema
_TRIES = 20  # braces of a text at which one may begin
_FAULTS = 5
_TYPES: dict[type, str] = {bool: "boolean", int: "number", float: "number", str: "string"}


def json_schema(item: Item) -> Score:
    """A code fence does not matter here. Notes name places and types, and quote no value."""
    unwanted = wants_json(item)
    if unwanted is not None:
        return Score(None, (unwanted,))
    schema = _schema_for(item)
    if schema is None:
        return Score(None, ("There is neither a schema in the conversation nor a preferred answer",))
    parsed = parse_json(item.answer)
    if isinstance(parsed, str):
        return Score(0.0, (parsed,))
    return _score(check(parsed.value, schema))


def shape_of(values: Sequence[Any], depth: int = 0) -> dict[str, Any]:
    """The schema that all values fit: types, keys that each object has, the items of all arrays. null may be anything."""
    known = [value for value in values if value is not None]
    if not known or depth > DEPTH:
        return {}
    objects = [value for value in known if isinstance(value, dict)]
    arrays = [value for value in known if isinstance(value, list)]
    types = {_TYPES[type(value)] for value in known if not isinstance(value, dict | list)}
    types |= {"object"} if objects else set()
    types |= {"array"} if arrays else set()
    shape: dict[str, Any] = {"type": sorted(types | ({"null"} if len(known) < len(values) else set()))}
    if objects:
        names = list(dict.fromkeys(name for one in objects for name in one))
        shape["required"] = [name for name in names if all(name in one for one in objects)]
        shape["properties"] = {
            name: shape_of([one[name] for one in objects if name in one], depth + 1) for name in names
        }
    if arrays:
        shape["items"] = shape_of([one for array in arrays for one in array], depth + 1)
    return shape


def find_schema(text: str) -> Mapping[str, Any] | None:
    """The first JSON object in the text that is a schema of an object or array, or wraps one as `response_format` does."""
    text = text[:_READ]
    decoder = json.JSONDecoder()
    start = text.find("{")
    for _ in range(_TRIES):
        if start < 0:
            return None
        try:
            value, end = decoder.raw_decode(text, start)
        except (ValueError, RecursionError):
            end = start + 1
        else:
            if (found := _schema_in(value)) is not None:
                return found
        start = text.find("{", end)
    return None


JSON_SCHEMA = Measure(
    share_card(
        "json_schema",
        "JSON of the right form",
        "Share of checks that the answer passes: types, required keys and limits of the JSON Schema in the "
        "conversation, else the keys and types of the preferred answer; 0 where it is no JSON",
        "own; keywords of JSON Schema 2020-12",
        needs_reference=False,
    ),
    "1",
    json_schema,
)


def _schema_for(item: Item) -> Mapping[str, Any] | None:
    reference = None if item.reference is None else parse_json(item.reference)
    for schema in filter(None, map(find_schema, instructions(item))):
        # A schema that the preferred answer breaks is about something else, such as a tool.
        if not isinstance(reference, Parsed) or not check(reference.value, schema).faults:
            return schema
    return shape_of([reference.value]) if isinstance(reference, Parsed) else None


def _schema_in(value: Any) -> Mapping[str, Any] | None:
    if not isinstance(value, dict):
        return None
    if value.get("type") == "object" and isinstance(value.get("properties"), dict):
        return value
    if value.get("type") == "array" and isinstance(value.get("items"), dict):
        return value
    if "$schema" in value:
        return value
    for name in ("schema", "json_schema"):
        if (found := _schema_in(value.get(name))) is not None:
            return found
    return None


def _score(checked: Checked) -> Score:
    notes = tuple(islice(checked.faults, _FAULTS))
    if checked.open:
        return Score(None, (f"Not checked, for it is not known: {', '.join(sorted(checked.open))}", *notes))
    more = len(checked.faults) - len(notes)
    return Score(checked.share, (*notes, f"and {more} more") if more else notes)
