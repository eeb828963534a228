"""Fields of pydantic models, nested ones after the model that has them."""

from typing import Any

from docs.site.tables import code, paragraph, table, worded


def fields_of(schemas: dict[str, dict[str, Any]], *, depth: int) -> str:
    """A section for each schema by name: what it is, its values or its fields. Those with neither are left out."""
    parts = []
    for name, schema in schemas.items():
        body = _values(schema) if "enum" in schema else _fields(schema)
        if body:
            parts.append(f"{'#' * depth} {name}\n\n{_told(schema)}{body}")
    return "\n".join(parts)


def with_nested(schema: dict[str, Any]) -> dict[str, dict[str, Any]]:
    nested = schema.get("$defs", {})
    return {schema["title"]: schema, **{name: nested[name] for name in nested}}


def _told(schema: dict[str, Any]) -> str:
    told = paragraph(schema.get("description"))
    return f"{told}\n\n" if told else ""


def _values(schema: dict[str, Any]) -> str:
    return "One of " + ", ".join(code(value) for value in schema["enum"]) + ".\n"


def _fields(schema: dict[str, Any]) -> str:
    required = set(schema.get("required", ()))
    rows = [
        (code(name), worded(field), _default(name, field, required), paragraph(field.get("description")))
        for name, field in schema.get("properties", {}).items()
    ]
    return table(("field", "type", "default", ""), rows) if rows else ""


def _default(name: str, field: dict[str, Any], required: set[str]) -> str:
    if name in required:
        return "must be given"
    if "default" not in field:
        return "-"
    default = field["default"]
    return "none" if default is None else code(str(default).lower() if isinstance(default, bool) else default)
