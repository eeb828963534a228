"""The metadata store's tables, from SQLAlchemy's description of them."""

from sqlalchemy import Column, Dialect, Table
from sqlalchemy.dialects import postgresql

from docs.site.tables import code, table
from gateway_tuning.storage.tables import metadata

_POSTGRESQL: Dialect = postgresql.dialect()  # type: ignore[no-untyped-call]


def render() -> str:
    parts = [
        (
            "# Tables of the metadata store\n\nTypes are PostgreSQL's. What a row is stands in "
            "[data layout](../data-layout.md#metadata-store). Whoever reads them from outside: columns are added in "
            "[upgrades](../how-to/upgrade.md), so name those that you want.\n"
        )
    ]
    parts += [
        f"## {name}\n\n" + table(("column", "type", "may be null", "key"), map(_row, found.columns))
        for name, found in sorted(metadata.tables.items())
        if isinstance(found, Table)
    ]
    return "\n".join(parts)


def _row(column: "Column[object]") -> tuple[str, str, str, str]:
    keys = ["primary"] if column.primary_key else []
    keys += [f"of {code(key.target_fullname)}" for key in column.foreign_keys]
    kind = column.type.compile(dialect=_POSTGRESQL).lower()
    return code(column.name), kind, "yes" if column.nullable else "no", ", ".join(keys)
