"""`estimator-service datasets`: upload data, look at it, delete it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from estimator_client.cli.deletion import DryRun, told
from estimator_client.cli.inputs import read_document
from estimator_client.cli.output import CommandResult, note, printed, say
from estimator_client.cli.target import client

app = typer.Typer(no_args_is_help=True, help="Data sets.")

Dataset = Annotated[str, typer.Argument(metavar="DATASET", help="Id, or name: the newest data set of that name.")]
_LISTED: dict[str, Any] = {
    "dataset": "id",
    "name": "name",
    "rows": "rows",
    "columns": lambda row: len(row["columns"]),
    "format": "format",
    "warnings": lambda row: len(row["warnings"]),
    "created": "created_at",
}
_COLUMNS = ("dtype", "nulls", "distinct", "min", "max", "mean", "stddev")


@app.command("add")
def add(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help=".csv .jsonl .parquet .tfrecord, .gz .zst")],
    name: Annotated[str | None, typer.Option(help="Left out: the file's name without its endings.")] = None,
    schema: Annotated[
        str | None,
        typer.Option(help='JSON such as {"columns": {"age": {"dtype": "float32"}}}, or its file, to override types.'),
    ] = None,
    direct: Annotated[
        bool, typer.Option("--direct", help="Send it straight to the service's object store, past the API.")
    ] = False,
) -> None:
    """Upload a file. Prints the id of the data set."""
    described = read_document(schema) if schema else None
    with client() as service:
        made = service.upload(file, name=name, schema=described, direct=direct)
        note(f"{made['rows']} rows, {len(made['columns'])} columns")
        _warn(made)
        say(made["id"])


def _warn(dataset: Mapping[str, Any]) -> None:
    for warning in dataset["warnings"]:
        note(f"Note: {warning}")


@app.command("list")
@printed
def list_datasets(
    limit: Annotated[int, typer.Option(min=1, help="Most data sets to list.")] = 100,
) -> CommandResult:
    """List data sets, newest first."""
    with client() as service:
        return CommandResult([row for row, _ in zip(service.datasets(), range(limit), strict=False)], _LISTED)


@app.command("show")
@printed
def show(dataset: Dataset) -> CommandResult:
    """Show a data set's columns with their types and statistics."""
    with client() as service:
        found = service.dataset(dataset)
    _warn(found)
    columns: dict[str, Any] = {"column": "name"} | {name: name for name in _COLUMNS}
    return CommandResult(found["columns"], columns, title=f"{found['name']} ({found['id']}): {found['rows']} rows")


@app.command("preview")
@printed
def preview(
    dataset: Dataset, rows: Annotated[int, typer.Option(min=1, max=100, help="Number of rows.")] = 10
) -> CommandResult:
    """Show the first rows of a data set."""
    with client() as service:
        found = service.dataset(dataset)
        names: dict[str, Any] = {column["name"]: column["name"] for column in found["columns"]}
        return CommandResult(service.preview(found["id"], rows=rows), names)


@app.command("delete")
def delete(dataset: Dataset, dry_run: DryRun = False) -> None:
    """Delete a data set that nothing needs. A name is accepted if exactly one data set has it."""
    with client() as service:
        told(service.delete_dataset(dataset, dry_run=dry_run), f"data set {dataset}")
