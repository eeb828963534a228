"""Is an answer JSON where it must be? Pure."""

from gateway_tuning.evaluation.scoring.form.asking import wants_json
from gateway_tuning.evaluation.scoring.form.parsing import parse_json
from gateway_tuning.evaluation.scoring.measure import Measure, share_card
from gateway_tuning.evaluation.scoring.protocol import Item, Score


def json_validity(item: Item) -> Score:
    """A code fence around it is a fault unless the preferred answer has one too."""
    unwanted = wants_json(item)
    if unwanted is not None:
        return Score(None, (unwanted,))
    parsed = parse_json(item.answer)
    if isinstance(parsed, str):
        return Score(0.0, (parsed,))
    if parsed.fenced and not _is_fenced(item.reference):
        return Score(0.0, ("JSON within a code fence",))
    return Score(1.0)


JSON_VALIDITY = Measure(
    share_card(
        "json_validity",
        "Valid JSON",
        "1 where the whole answer is a JSON object or array, else 0; only where the preferred answer is one, or, "
        "without a preferred answer, where the system prompt or the user asks for JSON",
        "RFC 8259",
        needs_reference=False,
    ),
    "1",
    json_validity,
)


def _is_fenced(reference: str | None) -> bool:
    parsed = None if reference is None else parse_json(reference)
    return parsed is not None and not isinstance(parsed, str) and parsed.fenced
