"""`estimator-service train` and `submit`: from a data file, or from a job in a file, to a model."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from estimator_client.cli import defaults
from estimator_client.cli.exits import Exit
from estimator_client.cli.inputs import read_document
from estimator_client.cli.jobs import follow
from estimator_client.cli.output import CommandResult, Format, fail, note, say
from estimator_client.cli.target import client

if TYPE_CHECKING:
    from estimator_client.client import Client

_CONDITION = re.compile(r"^([\w/ ]+?)\s*(>=|<=)\s*(-?[\d.]+(?:e-?\d+)?)$")
_ENDINGS = (".csv", ".jsonl", ".json", ".parquet", ".tfrecord", ".gz", ".zst")

Watch = Annotated[bool, typer.Option("--watch/--no-watch", "-w", help="Follow the job to its end.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would be trained; submit nothing.")]


def train(
    data: Annotated[str, typer.Argument(metavar="DATA", help="A file to upload, or a data set's id or name.")],
    label: Annotated[
        str, typer.Option("--label", "-l", help="The column to learn. Left out: one called so, or the last or first.")
    ] = "",
    model: Annotated[str, typer.Option(help="Name of the model. Left out: the data's name.")] = "",
    estimator: Annotated[
        str, typer.Option(help="Left out: DNNClassifier or DNNRegressor, as the label's type asks for.")
    ] = "",
    hidden_units: Annotated[
        str, typer.Option(help="Sizes of the hidden layers, for estimators that have some.")
    ] = defaults.HIDDEN_UNITS,
    arg: Annotated[
        list[str] | None, typer.Option(help="A further argument of the estimator, NAME=JSON. May come several times.")
    ] = None,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Training steps. Left out: about 20 passes over the rows.")
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Rows of a step.")] = defaults.BATCH_SIZE,
    holdout: Annotated[
        float, typer.Option(min=0, max=0.9, help="Share of the rows kept for evaluation; 0: none.")
    ] = defaults.HOLDOUT,
    ignore: Annotated[
        list[str] | None, typer.Option(help="A column not to learn from. May come several times.")
    ] = None,
    weight: Annotated[str | None, typer.Option(help="Column with the weight of each row.")] = None,
    seed: Annotated[int, typer.Option(min=0)] = 1,
    promote_when: Annotated[
        str | None, typer.Option(help="Serve the version only if this holds: 'accuracy>=0.9', 'average_loss<=0.2'.")
    ] = None,
    queue: Annotated[str, typer.Option(help="Queue of the workers that may take it.")] = "default",
    watch: Watch = True,
    dry_run: DryRun = False,
) -> None:
    """Train a model on a data file or data set, and serve it. Prints the id of the job."""
    with client() as service:
        dataset = dataset_of(service, data)
        column = _label_column(dataset, label)
        kind = estimator or defaults.estimator_for(column)
        arguments = defaults.optimizer_for(kind, column) | _arguments(kind, hidden_units, arg or [])
        steps = steps or defaults.steps_for(dataset["rows"], batch_size)
        read = {"label": column["name"], "batch_size": batch_size, "ignore": ignore or [], "weight": weight}
        body: dict[str, Any] = {
            "type": "train",
            "model": model or _model_name(dataset["name"]),
            "estimator": {"type": kind, "args": arguments},
            "columns": "auto",
            "data": {"train": {"dataset": dataset["id"], **read}, "holdout": holdout or None},
            "train": {"max_steps": steps, "seed": seed},
            "queue": queue,
        }
        if holdout:
            body["train"]["evaluate_every_steps"] = defaults.evaluate_every(steps)
        if promote_when:
            body["promote"] = {"when": _condition(promote_when)}
        told = f"{kind} {json.dumps(arguments)} on {dataset['name']} ({dataset['rows']} rows)"
        note(f"{told}, {steps} steps, model {body['model']}")
        _submit(service, body, watch=watch, dry_run=dry_run)


def submit(
    job: Annotated[
        str, typer.Argument(help="The job: a JSON, YAML or TOML file, JSON itself, or - for standard input.")
    ],
    watch: Watch = False,
    dry_run: DryRun = False,
) -> None:
    """Submit any job. Prints its id."""
    body = read_document(job)
    with client() as service:
        _submit(service, body, watch=watch, dry_run=dry_run)


def _submit(service: Client, body: Any, *, watch: bool, dry_run: bool) -> None:
    if dry_run:
        CommandResult([service.dry_run(body)], single=True).print(Format.JSON)
        return
    job = service.submit(body)
    for warning in job["warnings"]:
        note(f"Note: {warning}")
    say(job.id)
    if watch:
        follow(service, job)


def dataset_of(service: Client, data: str) -> dict[str, Any]:
    """The data set of that id or name, or of the file, which is uploaded."""
    path = Path(data)
    if path.is_file():
        made = service.upload(path)
        note(f"Uploaded {path}: {made['rows']} rows, {len(made['columns'])} columns, {made['id']}")
        return made
    if path.suffix in _ENDINGS:
        fail(f"There is no file {data}.", Exit.USAGE)
    return service.dataset(data)


def _label_column(dataset: dict[str, Any], label: str) -> dict[str, Any]:
    """The column that is learned: the one of that name, else a likely one, which is told."""
    columns = dataset["columns"]
    wanted = label or defaults.likely_label(columns)
    column = next((column for column in columns if column["name"] == wanted), None)
    if column is None:
        names = ", ".join(column["name"] for column in columns[:30])
        fail(f"The data have no column {label}. Their columns: {names}.", Exit.USAGE)
    if not label:
        note(f"It learns {wanted}: --label names another column.")
    return dict(column)


def _arguments(kind: str, hidden_units: str, more: list[str]) -> dict[str, Any]:
    arguments: dict[str, Any] = {}
    if "DNN" in kind:
        name = "dnn_hidden_units" if "Linear" in kind else "hidden_units"
        try:
            arguments[name] = [int(size) for size in hidden_units.split(",")]
        except ValueError:
            fail(f"--hidden-units takes sizes with commas between, for example 64,32; not {hidden_units}.", Exit.USAGE)
    for text in more:
        name, equals, value = text.partition("=")
        if not equals:
            fail(f"--arg takes NAME=JSON, for example optimizer='\"Adam\"'; not {text}.", Exit.USAGE)
        try:
            arguments[name] = json.loads(value)
        except ValueError:
            arguments[name] = value
    return arguments


def _condition(text: str) -> dict[str, Any]:
    found = _CONDITION.match(text.strip())
    if found is None:
        fail(f"--promote-when takes METRIC>=NUMBER or METRIC<=NUMBER; not {text}.", Exit.USAGE)
    return {"metric": found[1], "at_least" if found[2] == ">=" else "at_most": float(found[3])}


def _stem(name: str) -> str:
    """A file's name without its endings."""
    while any(name.lower().endswith(ending) and len(name) > len(ending) for ending in _ENDINGS):
        name = name.rpartition(".")[0]
    return name


def _model_name(name: str) -> str:
    """A data set's name as a model may be called."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", _stem(name)).strip("-.") or "model"
