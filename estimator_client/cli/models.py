"""`estimator-service models` and `export`: versions, which of them serve, and their files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from estimator_client.archive import unpack
from estimator_client.cli import model_options, release
from estimator_client.cli.deletion import DryRun, told
from estimator_client.cli.exits import Exit
from estimator_client.cli.output import CommandResult, fail, note, printed, say
from estimator_client.cli.target import client

app = typer.Typer(no_args_is_help=True, help="Models, their versions and labels.")

app.add_typer(release.app, name="release")
app.command("serving")(model_options.serving)
app.command("keep")(model_options.keep)

ModelName = Annotated[str, typer.Argument(metavar="MODEL", help="Name of the model.")]
Label = Annotated[str, typer.Option(help="The label that clients ask for.")]


def _labels(labels: dict[str, int]) -> str:
    return ", ".join(f"{label} → {number}" for label, number in labels.items())


@app.command("list")
@printed
def list_models(limit: Annotated[int, typer.Option(min=1, help="Most models to list.")] = 100) -> CommandResult:
    """List models with their labels."""
    with client() as service:
        rows = [row for row, _ in zip(service.models(), range(limit), strict=False)]
    return CommandResult(rows, {"model": "name", "labels": lambda row: _labels(row["labels"]), "created": "created_at"})


@app.command("show")
@printed
def show(
    model: ModelName, limit: Annotated[int, typer.Option(min=1, help="Most versions to list.")] = 20
) -> CommandResult:
    """Show a model's versions, newest first, with the metrics of their evaluations."""
    with client() as service:
        versions = [row for row, _ in zip(service.versions(model), range(limit), strict=False)]
        measured: dict[int, list[Any]] = {}
        for evaluation in service.model_evaluations(model):
            measured.setdefault(evaluation["version"], []).append(evaluation)
    rows = [version | {"evaluations": measured.get(version["version"], [])} for version in versions]
    columns: dict[str, Any] = {
        "version": "version",
        "state": "state",
        "labels": lambda row: ", ".join(row["labels"]),
        "evaluation": lambda row: _metrics(row["evaluations"]),
        "job": "job",
        "created": "created_at",
        "reason": "reason",
    }
    return CommandResult(rows, columns, title=model)


@app.command("promote")
def promote(
    model: ModelName,
    version: Annotated[int, typer.Argument(min=1, help="The version that the label shall point to.")],
    label: Label = "latest",
) -> None:
    """Point a label to a version."""
    with client() as service:
        made = service.set_label(model, label, version)
    say(f"{model} {label} → {made['version']}")
    if made.get("pending"):
        note("Some lanes still answer as before; they follow in a moment.")
    if made["previous"] is not None:
        note(f"Before: {made['previous']}. Back again: estimator-service models rollback {model} --label {label}")


@app.command("rollback")
def rollback(model: ModelName, label: Label = "latest") -> None:
    """Point a label back to the version that it pointed to before; a release of it that runs is aborted instead."""
    with client() as service:
        for running in service.releases(model):
            if running["label"] == label and running["ended_at"] is None:
                service.change_release(model, running["id"], "abort")
                say(f"{model} {label} → {running['base']}")
                return
        behind = service.label(model, label)
        if behind["previous"] is None:
            fail(f"{model}'s label {label} has pointed to no other version than {behind['version']}.", Exit.REFUSED)
        made = service.set_label(model, label, behind["previous"])
    say(f"{model} {label} → {made['version']}")


@app.command("delete")
def delete(
    model: ModelName,
    version: Annotated[int | None, typer.Option(min=1, help="Only this version, with its export.")] = None,
    label: Annotated[str, typer.Option(help="Only this label; its version stays.")] = "",
    dry_run: DryRun = False,
) -> None:
    """Delete a model with its versions, or one version, or a label."""
    if version is not None and label:
        fail("Name a version or a label, not both.", Exit.USAGE)
    with client() as service:
        if label:
            told(service.delete_label(model, label, dry_run=dry_run), f"label {label} of {model}")
        elif version is not None:
            told(service.delete_version(model, version, dry_run=dry_run), f"version {version} of {model}")
        else:
            told(service.delete_model(model, dry_run=dry_run), f"model {model}")


def export(
    model: ModelName,
    directory: Annotated[
        Path, typer.Argument(help="Created if needed; gets MODEL/VERSION with the SavedModel.")
    ] = Path(),
    version: Annotated[int | None, typer.Option(min=1, help="Left out: the version behind `latest`.")] = None,
) -> None:
    """Fetch a version's SavedModel. Prints the directory that holds it."""
    import tarfile
    import tempfile

    with client() as service, tempfile.TemporaryFile() as file:
        number = version or service.label(model)["version"]
        target = directory / model / str(number)
        if target.exists():
            fail(f"{target} is already there; remove it, or name another directory.")
        service.download_export(model, number, file)
        file.seek(0)
        with tarfile.open(fileobj=file) as archive:
            unpack(archive, directory)
    say(str(target))


def _metrics(evaluations: list[Any]) -> str:
    """The newest evaluation's best known metrics."""
    if not evaluations:
        return ""
    metrics = evaluations[0]["metrics"]
    shown = [name for name in ("accuracy", "auc", "average_loss", "loss") if name in metrics][:3]
    return "  ".join(f"{name} {metrics[name]:.4g}" for name in shown)
