"""Events that automations may act on, found in the source where they are told."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from docs.site.tables import code, table

_ROOT = Path(__file__).parents[2]
_NAME = {"emit_event": "event", "Event": "name"}


@dataclass(frozen=True, slots=True)
class _Told:
    name: str
    resource: str
    payload: tuple[str, ...]
    source: str


def render() -> str:
    found = sorted(
        (told for path in _sources() for told in _events(path)), key=lambda told: (told.name, told.source)
    )
    rows = [
        (code(told.name), code(told.resource), ", ".join(map(code, told.payload)), code(told.source))
        for told in found
    ]
    return (
        "# Events\n\nOn Prefect's event stream, for automations of your own. The resource is in `prefect.resource.id`. "
        "Prefect's own events of runs and deployments come besides.\n\n"
        + table(("event", "resource", "payload", "told by"), rows)
    )


def _sources() -> list[Path]:
    return sorted(
        path for room in ("gateway_tuning", "tasks", "flows") for path in (_ROOT / room).rglob("*.py")
    )


def _events(path: Path) -> Iterator[_Told]:
    text = path.read_text(encoding="utf-8")
    if "emit_event" not in text and "import Event" not in text:
        return
    tree = ast.parse(text)
    constants = {
        target.id: str(node.value.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        keyword = _NAME.get(call.func.id) if isinstance(call.func, ast.Name) else None
        given = {word.arg: word.value for word in call.keywords}
        if keyword in given and "resource" in given:
            resource = given["resource"]
            yield _Told(
                _text(given[keyword], constants),
                _text(resource.values[0] if isinstance(resource, ast.Dict) else resource, constants),
                _keys(given.get("payload")),
                str(path.relative_to(_ROOT)),
            )


def _text(node: ast.expr, constants: dict[str, str]) -> str:
    """What is not known before it is told stands in braces."""
    if isinstance(node, ast.JoinedStr):
        return "".join(_text(part, constants) for part in node.values)
    if isinstance(node, ast.FormattedValue):
        return "{" + ast.unparse(node.value).rsplit(".", 1)[-1] + "}"
    if isinstance(node, ast.Name) and node.id in constants:
        return constants[node.id]
    return str(node.value) if isinstance(node, ast.Constant) else "{" + ast.unparse(node) + "}"


def _keys(payload: ast.expr | None) -> tuple[str, ...]:
    if isinstance(payload, ast.BinOp):
        return (*_keys(payload.left), *_keys(payload.right))
    if not isinstance(payload, ast.Dict):
        return ()
    return tuple(str(key.value) for key in payload.keys if isinstance(key, ast.Constant))
