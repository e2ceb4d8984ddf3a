"""`estimator-service predict`: rows in, predictions out, in many requests where there are many rows."""

from __future__ import annotations

import csv
import importlib.util
import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from estimator_client.cli.exits import Exit
from estimator_client.cli.inputs import Features, rows
from estimator_client.cli.models import ModelName
from estimator_client.cli.output import err, fail, note
from estimator_client.cli.target import client
from estimator_client.frames import batches, single_values

if TYPE_CHECKING:
    from concurrent.futures import Future

    from estimator_client.client import Client


class PredictionFormat(StrEnum):
    """Forms of the predictions."""

    JSONL = "jsonl"
    JSON = "json"
    CSV = "csv"
    PARQUET = "parquet"


def predict(
    model: ModelName,
    source: Annotated[
        str, typer.Argument(metavar="ROWS", help="JSON of one row or a list of rows, a file, or - for standard input.")
    ],
    format: Annotated[str | None, typer.Option(help="csv json jsonl parquet; left out: by the file's name.")] = None,
    version: Annotated[int | None, typer.Option(min=1, help="Left out: the version behind the label.")] = None,
    label: Annotated[str, typer.Option(help="The label whose version predicts.")] = "latest",
    output: Annotated[
        PredictionFormat | None,
        typer.Option("--output", "-o", help="Form of the predictions; left out: by the ending of --to, else jsonl."),
    ] = None,
    to: Annotated[
        Path | None, typer.Option(help="File to write to (.csv .json .jsonl .parquet), instead of standard output.")
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Rows per request.")] = 500,
    parallel: Annotated[int, typer.Option(min=1, max=64, help="Requests at the same time.")] = 4,
) -> None:
    """Predict rows. Columns of the file that the model does not know are left out and named."""
    where: dict[str, Any] = {"version": version} if version else {"label": label}
    form = output or _form_of(to)
    if form is PredictionFormat.PARQUET:
        _check_parquet(to)
    with client() as service, rows(source, format) as found:
        features = Features(service.metadata(model, **where))
        instances = (features.instance(row) for row in found)
        answers = _answers(service, model, batches(instances, batch_size), parallel, where)
        if to is None:
            _write(_counted(answers), form, sys.stdout)
        elif form is PredictionFormat.PARQUET:
            _write_parquet(_counted(answers), to)
        else:
            with to.open("w", newline="") as file:
                _write(_counted(answers), form, file)
        if features.ignored:
            note(f"Not features of {model}, left out: {', '.join(features.ignored)}.")


def _form_of(to: Path | None) -> PredictionFormat:
    """The form that the file's ending names; JSON lines for standard output."""
    if to is None:
        return PredictionFormat.JSONL
    try:
        return PredictionFormat(to.suffix.lstrip(".").lower())
    except ValueError:
        fail(f"{to}: the ending names no format: .csv, .json, .jsonl or .parquet, or choose one with -o.", Exit.USAGE)


def _check_parquet(to: Path | None) -> None:
    if to is None:
        fail("Parquet is written to a file: --to FILE.", Exit.USAGE)
    if importlib.util.find_spec("pyarrow") is None:
        fail("Parquet needs pyarrow: pip install pyarrow. CSV and JSON lines need nothing.")


def _answers(
    service: Client, model: str, wanted: Iterable[list[Any]], parallel: int, where: dict[str, Any]
) -> Iterator[list[Any]]:
    """The predictions of each batch in order; at most `parallel` requests are under way, and as many batches held."""
    from concurrent.futures import ThreadPoolExecutor

    waiting = iter(wanted)
    with ThreadPoolExecutor(parallel) as pool:

        def send(batch: list[Any]) -> Future[list[Any]]:
            return pool.submit(service.predict, model, batch, batch_size=len(batch), **where)

        under_way = [send(batch) for batch in islice(waiting, parallel)]
        while under_way:
            done = under_way.pop(0).result()
            under_way += [send(batch) for batch in islice(waiting, 1)]
            yield done


def _counted(answers: Iterable[list[Any]]) -> Iterator[Any]:
    """The predictions one by one, while a bar counts them on a terminal's standard error."""
    from rich.progress import Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.completed:,.0f} rows"), TextColumn("{task.speed:,.0f} rows/s"), TimeElapsedColumn())
    shown = err().is_terminal and not sys.stdout.isatty()
    with Progress(*columns[:1], columns[2], console=err(), disable=not shown, transient=True) as progress:
        task = progress.add_task("predict", total=None)
        for batch in answers:
            yield from batch
            progress.advance(task, len(batch))


def _write(answers: Iterator[Any], form: PredictionFormat, file: Any) -> None:
    if form is PredictionFormat.CSV:
        _write_csv(answers, file)
    elif form is PredictionFormat.JSON:
        file.write(json.dumps(list(answers), ensure_ascii=False, indent=2) + "\n")
    else:
        file.writelines(json.dumps(answer, ensure_ascii=False) + "\n" for answer in answers)


def _write_csv(answers: Iterator[Any], file: Any) -> None:
    """Lists of one value as the value, longer ones as JSON; the first prediction names the columns."""
    writer = csv.writer(file, lineterminator="\n")
    names: list[str] | None = None
    for answer in answers:
        record = answer if isinstance(answer, Mapping) else {"prediction": answer}
        if names is None:
            names = list(record)
            writer.writerow(names)
        writer.writerow([_cell(record.get(name)) for name in names])


def _write_parquet(answers: Iterable[Any], path: Path) -> None:
    """All predictions in one table; a column whose lists all have one value has the values."""
    import pyarrow
    from pyarrow import parquet

    columns = single_values(answers)
    parquet.write_table(pyarrow.Table.from_pydict(columns), path)


def _cell(value: Any) -> Any:
    if isinstance(value, list):
        return _cell(value[0]) if len(value) == 1 else json.dumps(value, ensure_ascii=False)
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict) else value
