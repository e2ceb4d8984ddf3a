"""`estimator-service jobs`: what was asked for, how far it is, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from estimator_client.cli.deletion import DryRun, told
from estimator_client.cli.output import CommandResult, err, fail, note, printed, say
from estimator_client.cli.target import client

if TYPE_CHECKING:
    from estimator_client.client import Client
    from estimator_client.job import Job

app = typer.Typer(no_args_is_help=True, help="Jobs.")

JobId = Annotated[str, typer.Argument(metavar="JOB", help="Id of the job.")]
JobIds = Annotated[list[str], typer.Argument(metavar="JOB...", help="Ids of jobs.")]


def _progress(name: str) -> Any:
    return lambda job: (job["progress"] or {}).get(name)


LISTED: dict[str, Any] = {
    "job": "id",
    "name": "display_name",
    "type": "type",
    "model": "model",
    "state": "state",
    "step": _progress("step"),
    "loss": _progress("loss"),
    "warnings": lambda job: len(job["warnings"]),
    "created": "created_at",
}
_SHOWN: dict[str, Any] = {
    **LISTED,
    "max_steps": _progress("max_steps"),
    "attempt": lambda job: f"{job['attempt']} of {job['max_attempts']}",
    "tags": lambda job: " ".join(job["tags"]),
    "estimator": "estimator",
    "queue": "queue",
    "started": "started_at",
    "finished": "finished_at",
    "version": lambda job: (job["result"] or {}).get("version"),
    "warnings": lambda job: "\n".join(job["warnings"]),
    "error": lambda job: job["error"] and f"{job['error']['kind']}: {job['error']['detail']}",
}


@app.command("list")
@printed
def list_jobs(
    state: Annotated[str, typer.Option(help="QUEUED RUNNING CANCELLING SUCCEEDED FAILED CANCELLED")] = "",
    kind: Annotated[str, typer.Option("--type", help="train evaluate export predict")] = "",
    model: Annotated[str, typer.Option(help="Only this model's jobs.")] = "",
    estimator: Annotated[str, typer.Option(help="Only with this estimator.")] = "",
    dataset: Annotated[str, typer.Option(help="Only with this data set, by id or name.")] = "",
    tag: Annotated[str, typer.Option(help="Only with this tag.")] = "",
    text: Annotated[str, typer.Option(help="Only with this text in name, model or estimator.")] = "",
    limit: Annotated[int, typer.Option(min=1, help="Most jobs to list.")] = 20,
) -> CommandResult:
    """List jobs, newest first."""
    given = {"state": state, "type": kind, "model": model, "estimator": estimator, "dataset": dataset, "tag": tag}
    filters = {name: value for name, value in (given | {"text": text}).items() if value}
    with client() as service:
        return CommandResult([dict(job) for job, _ in zip(service.jobs(**filters), range(limit), strict=False)], LISTED)


@app.command("name")
def name(
    job: JobId,
    text: Annotated[str | None, typer.Argument(help="Display name of the job.")] = None,
    tag: Annotated[list[str] | None, typer.Option(help="All tags from now on; may be given many times.")] = None,
) -> None:
    """Set the display name or the tags of a job."""
    changes = {"display_name": text, "tags": tag}
    with client() as service:
        made = service.update_job(job, **{key: value for key, value in changes.items() if value is not None})
    say(" ".join([made.id, made["display_name"] or "", *made["tags"]]))


@app.command("delete")
def delete(jobs: JobIds, dry_run: DryRun = False) -> None:
    """Delete jobs that have ended, with their checkpoints, evaluations and exports."""
    with client() as service:
        for job in jobs:
            told(service.delete_job(job, dry_run=dry_run), f"job {job}")


@app.command("show")
@printed
def show(job: JobId) -> CommandResult:
    """Show a job: state, progress, attempts, result."""
    with client() as service:
        found = service.job(job)
    return CommandResult([dict(found)], _SHOWN, single=True)


@app.command("watch")
def watch(job: JobId) -> None:
    """Follow a job to its end. Exit status 7 when it fails, 8 when it is cancelled."""
    with client() as service:
        follow(service, service.job(job))


@app.command("logs")
def logs(job: JobId, attempt: Annotated[int | None, typer.Option(min=1, help="Only this attempt's.")] = None) -> None:
    """Print a job's log."""
    with client() as service:
        text = service.logs(job, attempt=attempt)
    if text:
        say(text.removesuffix("\n"))


@app.command("cancel")
def cancel(jobs: JobIds) -> None:
    """Cancel jobs. A running job stops after its present step and keeps its last checkpoint."""
    with client() as service:
        for job in jobs:
            say(f"{job} {service.cancel(job)['state']}")


@app.command("retry")
def retry(jobs: JobIds) -> None:
    """Queue failed or cancelled jobs again. They go on from their last checkpoint."""
    with client() as service:
        for job in jobs:
            say(f"{job} {service.retry(job)['state']}")


@app.command("compare")
@printed
def compare(jobs: JobIds) -> CommandResult:
    """Compare jobs: the fields of their specifications that differ, and their metrics."""
    if len(jobs) < 2:
        fail("Name at least two jobs.")
    with client() as service:
        found = service.compare_jobs(jobs)
    state = {"name": "state", "values": [job["state"] for job in found["jobs"]]}
    rows = [
        {"field": row["name"], **dict(zip(jobs, row["values"], strict=True))}
        for row in [*found["differences"], state, *found["metrics"], *_last(found["series"])]
    ]
    return CommandResult(rows, {"field": "field"} | {job: job for job in jobs})


@app.command("open")
def open_in_browser(job: JobId) -> None:
    """Open a job's page of the dashboard in a browser. Prints the address."""
    import webbrowser

    with client() as service:
        address = f"{service.address}/#job/{service.job(job).id}"
    say(address)
    if not webbrowser.open(address):
        note("No browser could be started here; open the address by hand.")


def follow(service: Client, job: Job) -> None:
    """Shows a job's events until it ends; raises JobNotSuccessful unless it succeeds."""
    from estimator_client.errors import JobNotSuccessful
    from estimator_client.progress_bar import JobBar

    with JobBar(err()) as bar:
        for event in job.events():
            bar.update(event)
    job.refresh()
    if job.state != "SUCCEEDED":
        raise JobNotSuccessful(job)
    version = (job["result"] or {}).get("version")
    if version is not None:
        note(f"{job['model']} version {version}")


def _last(series: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The last value of each curve."""
    return [
        {"name": f"last {name}", "values": [points[-1]["value"] if points else None for points in curves]}
        for name, curves in series.items()
    ]
