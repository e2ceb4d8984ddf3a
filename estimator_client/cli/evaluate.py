"""`estimator-service evaluate`: measures a version on a data file or data set."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from estimator_client.cli.jobs import follow
from estimator_client.cli.models import ModelName
from estimator_client.cli.output import Result, note, printed
from estimator_client.cli.target import client
from estimator_client.cli.train import dataset_of


@printed
def evaluate(
    model: ModelName,
    data: Annotated[str, typer.Argument(metavar="DATA", help="A file to upload, or a data set's id or name.")],
    label: Annotated[str, typer.Option("--label", "-l", help="The column with the truth.")],
    version: Annotated[int | None, typer.Option(min=1, help="Left out: the version behind `latest`.")] = None,
    name: Annotated[str, typer.Option(help="Name of the evaluation.")] = "eval",
    batch_size: Annotated[int, typer.Option(min=1)] = 256,
) -> Result:
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
        rows = [
            {"metric": metric, "value": value}
            for found in job.evaluations()
            if found["job"] == job.id
            for metric, value in found["metrics"].items()
        ]
    return Result(rows, {"metric": "metric", "value": "value"}, title=f"{model} version {number} on {dataset['name']}")
