"""`gateway-tuning datasets`: list them, write their training files, check training files."""

import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gateway_tuning.cli import dataset_objects, dataset_retention
from gateway_tuning.cli.completing import ids
from gateway_tuning.cli.console import AsJson, open_store, read_settings, show_table, told
from gateway_tuning.errors import ConfigurationError, InputFileError, NotFoundError

if TYPE_CHECKING:
    from gateway_tuning.datasets.catalog import DatasetCatalog
    from gateway_tuning.datasets.formats.format import Format, Problem, Skipped
    from gateway_tuning.storage.object_store import ObjectStore

SHOWN = 100


@dataclass(slots=True)
class Tally:
    """What was written and what was not, counted on the way; a part of the dataset is held at a time."""

    lines: int = 0
    size: int = 0  # bytes
    skipped: Counter[str] = field(default_factory=Counter)

    @property
    def examples(self) -> int:
        return self.lines + self.skipped.total()

    def counted(self, outcomes: "Iterable[str | Skipped]") -> Iterator[bytes]:
        for outcome in outcomes:
            if isinstance(outcome, str):
                line = f"{outcome}\n".encode()
                self.lines, self.size = self.lines + 1, self.size + len(line)
                yield line
            else:
                self.skipped[outcome.reason] += 1


app = typer.Typer(help="Datasets, and training files made of them.")
app.add_typer(dataset_objects.app)
app.add_typer(dataset_retention.app)

For = Annotated[str, typer.Option("--for", help="Format, as `datasets formats` lists them, or a provider")]
Template = Annotated[Path | None, typer.Option(help="JSON with placeholders, for the format custom")]


# A provider's own name stands for its format of demonstrations; Bedrock's depends on the base model.
_OF_PROVIDER = {
    "openai": "openai-sft",
    "together": "together-sft",
    "fireworks": "fireworks-sft",
    "trl": "trl-sft",
    "llama": "chat",
}


@app.callback(invoke_without_command=True)
@told
def datasets(context: typer.Context, *, as_json: AsJson = False) -> None:
    """List datasets, oldest first."""
    if context.invoked_subcommand is None:
        _list(as_json=as_json)


@app.command("list")
@told
def list_datasets(*, as_json: AsJson = False) -> None:
    """List datasets, oldest first, with the examples in each split."""
    _list(as_json=as_json)


def _list(*, as_json: bool) -> None:
    from gateway_tuning.datasets.splits import SPLITS

    catalog, _objects = _catalog()
    rows = []
    for id_, at in catalog.all():
        counts = catalog.manifest(id_).counts.examples
        rows.append([id_, at, *(sum(counts[split].values()) for split in SPLITS)])
    show_table(["dataset", "created", *SPLITS], rows, as_json=as_json)


@app.command("formats")
@told
def list_formats(*, as_json: AsJson = False) -> None:
    """List the formats of training files, and which examples they take."""
    from gateway_tuning.datasets.formats import FORMATS
    from gateway_tuning.datasets.formats.format import TEACHES

    rows = [[found.name, TEACHES[found.kind], found.description] for found in FORMATS.values()]
    rows.append(["custom", "by its template", "A JSON template of yours, see --template"])
    show_table(["format", "takes", "for"], rows, as_json=as_json)


@app.command("export")
@told
def export_dataset(
    dataset_id: Annotated[
        str, typer.Argument(autocompletion=ids("dataset_id"), help="As `datasets` lists it")
    ],
    format_name: For,
    split: Annotated[str, typer.Option(help="train, validation or test")] = "train",
    output: Annotated[Path | None, typer.Option(help="Standard output when left out")] = None,
    template: Template = None,
) -> None:
    """Write a split as a training file. What the format cannot carry is left out, counted and told."""
    from gateway_tuning.datasets.published import read_parts
    from gateway_tuning.datasets.splits import SPLITS

    if split not in SPLITS:
        raise ConfigurationError(f"No split {split!r}; there are: {', '.join(SPLITS)}")
    chosen = _format(format_name, template)
    catalog, objects = _catalog()
    parts = read_parts(objects, catalog.manifest(dataset_id), split)
    tally = Tally()
    lines = tally.counted(chosen.write(example) for part in parts for example in part)
    first = next(lines, None)
    if first is not None:
        _put(chain([first], lines), output)
    for reason, count in tally.skipped.most_common():
        typer.secho(f"left out {count}: {reason}", fg="yellow", err=True)
    if first is None:
        raise NotFoundError(
            f"No example of {dataset_id} {split} can be written as {chosen.name}; "
            "`gateway-tuning datasets formats` shows which examples each format takes"
        )
    for problem in chosen.file_problems(tally.lines, tally.size, split=split):
        typer.secho(f"{chosen.name}: {problem.problem}; {problem.remedy}", fg="yellow", err=True)
    typer.echo(f"{tally.lines} of {tally.examples} examples written as {chosen.name}", err=True)


@app.command("validate")
@told
def validate_file(
    path: Annotated[Path, typer.Argument(help="A training file, JSON lines")],
    *,
    format_name: For,
    split: Annotated[str, typer.Option(help="train or validation: their limits differ")] = "train",
    job_name: Annotated[
        str | None, typer.Option(help="Name of the job or suffix of the model, checked as well")
    ] = None,
    template: Template = None,
    as_json: AsJson = False,
) -> None:
    """Say what a provider would refuse, with the line and the remedy. Ends with 1 when there is anything."""
    from gateway_tuning.datasets.splits import SPLITS

    if split not in SPLITS:
        raise ConfigurationError(f"No split {split!r}; there are: {', '.join(SPLITS)}")
    chosen = _format(format_name, template)
    problems = chosen.validate(_read(path), split=split) + chosen.file_name_problems(path.name)
    if job_name is not None:
        problems += chosen.name_problems(job_name)
    if as_json:
        typer.echo(json.dumps([asdict(problem) for problem in problems], ensure_ascii=False))
    elif problems:
        _show(problems)
    else:
        typer.echo(f"{path.name}: nothing found that {chosen.name} would refuse")
    if problems:
        raise typer.Exit(1)


def _catalog() -> "tuple[DatasetCatalog, ObjectStore]":
    from gateway_tuning.datasets.catalog import DatasetCatalog
    from gateway_tuning.storage.object_store import ObjectStore

    settings = read_settings()
    objects = ObjectStore.from_settings(settings)
    return DatasetCatalog(open_store(settings), objects), objects


def _format(name: str, template: Path | None) -> "Format":
    from gateway_tuning.datasets.formats import find
    from gateway_tuning.datasets.formats.custom import custom

    if (name == "custom") != (template is not None):
        raise ConfigurationError(
            "The format custom takes a --template FILE, and no other format does; "
            "docs/how-to/export-a-dataset.md shows one"
        )
    if template is None:
        return find(_OF_PROVIDER.get(name, name))
    try:
        return custom(template.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise InputFileError(f"Template {template} cannot be read: {error}") from error


def _put(lines: Iterable[bytes], output: Path | None) -> None:
    """A file appears whole or not at all."""
    if output is None:
        sys.stdout.buffer.writelines(lines)
        sys.stdout.buffer.flush()
        return
    part = output.with_name(f"{output.name}.part")
    try:
        with part.open("wb") as stream:
            stream.writelines(lines)
        part.replace(output)
    except OSError as error:
        raise InputFileError(f"{output} cannot be written: {error.strerror}") from error
    finally:
        if part.exists():
            part.unlink()


def _read(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as lines:
            yield from lines
    except OSError as error:
        raise InputFileError(f"{path} cannot be read: {error.strerror}") from error


def _show(problems: "list[Problem]") -> None:
    rows = [[problem.line or "file", problem.problem, problem.remedy] for problem in problems[:SHOWN]]
    show_table(["line", "problem", "remedy"], rows)
    if len(problems) > SHOWN:
        typer.echo(f"and {len(problems) - SHOWN} more; --json gives all")
