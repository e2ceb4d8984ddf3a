"""`estimator-service evaluate`: and `report`: how good a version is on a data file or data set."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from estimator_client.cli.exits import Exit
from estimator_client.cli.jobs import follow
from estimator_client.cli.models import ModelName
from estimator_client.cli.output import CommandResult, fail, note, printed, say
from estimator_client.cli.target import client
from estimator_client.cli.train import dataset_of

if TYPE_CHECKING:
    from estimator_client.client import Client


@printed
def evaluate(
    model: ModelName,
    data: Annotated[str, typer.Argument(metavar="DATA", help="A file to upload, or a data set's id or name.")],
    label: Annotated[str, typer.Option("--label", "-l", help="The column with the truth.")],
    version: Annotated[int | None, typer.Option(min=1, help="Left out: the version behind `latest`.")] = None,
    name: Annotated[str, typer.Option(help="Name of the evaluation.")] = "eval",
    batch_size: Annotated[int, typer.Option(min=1)] = 256,
) -> CommandResult:
    """Evaluate a version of a model, and show its metrics."""
    with client() as service:
        dataset = dataset_of(service, data)
        number = version or service.label(model)["version"]
        body: dict[str, Any] = {
            "type": "evaluate",
            "model": model,
            "version": number,
            "data": {"eval": {"dataset": dataset["id"], "label": label, "batch_size": batch_size}},
            "name": name,
        }
        job = service.submit(body)
        note(f"{job.id}: version {number} on {dataset['name']} ({dataset['rows']} rows)")
        follow(service, job)
        found = [one for one in job.evaluations() if one["job"] == job.id]
        for one in found:
            note(f"Its report: estimator-service report {one['id']}")
        rows = [{"metric": metric, "value": value} for one in found for metric, value in one["metrics"].items()]
    return CommandResult(
        rows, {"metric": "metric", "value": "value"}, title=f"{model} version {number} on {dataset['name']}"
    )


def report(
    of: Annotated[
        str,
        typer.Argument(
            metavar="MODEL", help="A model (the version that serves), or the id of a job or of an evaluation."
        ),
    ],
    to: Annotated[
        Path | None, typer.Option(help="File for the report as one HTML page. Left out: JSON on standard output.")
    ] = None,
) -> None:
    """Fetch the model report of a model, or of the newest evaluation of a job."""
    with client() as service:
        evaluation = _evaluation(service, of)
        if to is None:
            say(json.dumps(service.report(evaluation), ensure_ascii=False))
            return
        to.write_text(service.report_page(evaluation))
    say(str(to))


def _evaluation(service: Client, of: str) -> str:
    """The id of the newest evaluation with a report."""
    if of.startswith("eval_"):
        return of
    evaluations = service.job(of).evaluations() if of.startswith("job_") else service.label(of)["evaluations"]
    found = [one for one in evaluations if one["has_report"]]
    if not found:
        fail(f"No evaluation of {of} has a report; `evaluate` makes one.", Exit.NOT_FOUND)
    # Ids ascend: of two of one moment the later one is larger.
    return str(max(found, key=lambda one: (one["created_at"], one["id"]))["id"])
