"""`gateway-tuning evaluation-sets`: texts that no training example may hold."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway_tuning.cli.console import AsJson, read_settings, show_table, told
from gateway_tuning.errors import InputFileError

if TYPE_CHECKING:
    from gateway_tuning.storage.object_store import ObjectStore

app = typer.Typer(
    no_args_is_help=True, help="Evaluation sets: texts that no training example may hold, kept as hashes."
)


@app.command("add")
@told
def add(
    name: Annotated[str, typer.Argument(help="Lower-case letters, digits, `.`, `_`, `-`")],
    version: Annotated[str, typer.Argument(help="As the name; a version never changes")],
    path: Annotated[
        Path, typer.Argument(metavar="FILE.jsonl", help="JSON lines, anonymized as training data is")
    ],
    prompt_field: Annotated[str, typer.Option(help="Field of the prompt; dots go into objects")] = "prompt",
    reference_field: Annotated[
        str | None, typer.Option(help="Field of the reference answer, where a line has one")
    ] = None,
) -> None:
    """Register a version of an evaluation set. Only hashes of its texts are kept."""
    from gateway_tuning.datasets.evaluation_registry import register

    prompts: list[str] = []
    references: list[str] = []
    for number, line in _lines(path):
        prompts.append(_text(line, prompt_field, path, number))
        if reference_field is not None and _value(line, reference_field) is not None:
            references.append(_text(line, reference_field, path, number))
    made = register(_objects(), name, version, prompts, references)
    typer.echo(f"{made.label}: {len(made.totals)} texts registered; name it in a recipe's evaluation_sets")


@app.command("list")
@told
def list_sets(*, as_json: AsJson = False) -> None:
    """List what is registered."""
    from gateway_tuning.datasets.evaluation_registry import listed, load

    objects = _objects()
    found = (load(objects, label) for label in listed(objects))
    show_table(
        ["evaluation set", "texts", "n-grams"],
        [[one.label, len(one.totals), len(one.ngrams)] for one in found],
        as_json=as_json,
    )


@app.command("remove")
@told
def remove_set(
    label: Annotated[str, typer.Argument(help="name@version, as `list` shows it")],
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Remove without asking")] = False,
) -> None:
    """Remove a version. Recipes that name it can no longer be built; datasets stay as they are."""
    from gateway_tuning.datasets.evaluation_registry import remove

    if not yes:
        typer.confirm(f"Remove evaluation set {label}?", abort=True)
    remove(_objects(), label)
    typer.echo(f"{label} is removed")


def _objects() -> "ObjectStore":
    from gateway_tuning.storage.object_store import ObjectStore

    return ObjectStore.from_settings(read_settings())


def _lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    try:
        with path.open(encoding="utf-8") as stream:
            for number, text in enumerate(stream, 1):
                if text.strip():
                    yield number, _object(text, path, number)
    except (OSError, UnicodeDecodeError) as error:
        raise InputFileError(f"{path} cannot be read: {error}") from error


def _object(text: str, path: Path, number: int) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError as error:
        raise InputFileError(f"{path} line {number} is not JSON: {error}; correct it") from error
    if not isinstance(found, dict):
        raise InputFileError(f"{path} line {number} is no JSON object; give one object a line")
    return found


def _value(line: dict[str, Any], field: str) -> Any:
    found: Any = line
    for name in field.split("."):
        found = found.get(name) if isinstance(found, dict) else None
    return found


def _text(line: dict[str, Any], field: str, path: Path, number: int) -> str:
    found = _value(line, field)
    if not isinstance(found, str) or not found.strip():
        raise InputFileError(
            f"{path} line {number} has no text in {field!r}, but: {', '.join(line) or 'nothing'}; "
            "name the field by --prompt-field or --reference-field"
        )
    return found
