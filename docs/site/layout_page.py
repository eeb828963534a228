"""Object keys, read from the source of `storage/layout.py`: a key is built there and nowhere else."""

import ast
import inspect

from docs.site.tables import code, paragraph, table
from gateway_tuning.datasets import parquet
from gateway_tuning.storage import layout


def render() -> str:
    functions = {
        node.name: node
        for node in ast.parse(inspect.getsource(layout)).body
        if isinstance(node, ast.FunctionDef)
    }
    keys = [(name, _template(node, functions), node) for name, node in functions.items()]
    rows = [(code(key), code(name), paragraph(ast.get_docstring(node))) for name, key, node in keys if key]
    columns = [
        (code(field.name), code(field.type), "yes" if field.nullable else "no") for field in parquet.SCHEMA
    ]
    return (
        f"# Object layout\n\nVersion {layout.LAYOUT_VERSION}, which every manifest states. What each object is for stands in "
        "[data layout](../data-layout.md).\n\n"
        + table(("key", "function of `storage/layout.py`", ""), rows)
        + f"\n## Examples as Parquet\n\nVersion {parquet.SCHEMA_VERSION} of the schema of `parts` and `rejected`.\n\n"
        + table(("column", "Arrow type", "may be null"), columns)
    )


def _template(function: ast.FunctionDef, functions: dict[str, ast.FunctionDef]) -> str:
    """The key with its arguments in braces; empty for a function that builds none."""
    ends = [node.value for node in ast.walk(function) if isinstance(node, ast.Return)]
    if not isinstance(ends[0], ast.JoinedStr):
        return ""
    parts = []
    for part in ends[0].values:
        if isinstance(part, ast.Constant):
            parts.append(str(part.value))
        elif isinstance(part, ast.FormattedValue):
            called = part.value.func if isinstance(part.value, ast.Call) else None
            inner = functions.get(called.id) if isinstance(called, ast.Name) else None
            parts.append(_template(inner, functions) if inner else f"{{{ast.unparse(part.value)}}}")
    return "".join(parts)
