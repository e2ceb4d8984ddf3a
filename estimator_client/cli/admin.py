"""`estimator-service admin` and `workers`: for those who run the service."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from estimator_client.cli import backup, local
from estimator_client.cli.exits import Exit
from estimator_client.cli.output import CommandResult, fail, printed, say
from estimator_client.cli.target import client

app = typer.Typer(no_args_is_help=True, help="Running the service.")
app.command("backup")(backup.backup)
app.command("check")(backup.check)
app.command("gc")(local.gc)


def _joined(name: str) -> Any:
    return lambda row: " ".join(row[name])


_WORKERS: dict[str, Any] = {
    "worker": "name",
    "alive": lambda row: "yes" if row["alive"] else "no",
    "queues": _joined("queues"),
    "slots": "slots",
    "devices": _joined("devices"),
    "jobs": _joined("jobs"),
    "version": "version",
    "seen": "seen_at",
}


@app.command("status")
@printed
def status() -> CommandResult:
    """Show the readiness of the service and its faults. Exit status 6 when it is not ready."""
    with client() as service:
        return CommandResult([service.ready()], single=True)


@app.command("drain")
def drain(queue: Annotated[str | None, typer.Option(help="Only jobs of this queue.")] = None) -> None:
    """Ask running jobs to save a checkpoint and go back to the queue, for example before an upgrade of workers."""
    with client() as service:
        say(f"{service.drain(queue)['jobs']} jobs asked to go back to the queue")


@app.command("audit")
@printed
def audit(limit: Annotated[int, typer.Option(min=1, help="Most entries to list.")] = 50) -> CommandResult:
    """List the audit log, newest first."""
    with client() as service:
        return CommandResult([row for row, _ in zip(service.audit(), range(limit), strict=False)])


@app.command("estimators")
@printed
def estimators() -> CommandResult:
    """List the estimators that can be trained. With --json: the schemas of all their arguments."""
    with client() as service:
        found = service.estimators()
    definitions: dict[str, Any] = found.get("$defs", {})
    rows = [{"estimator": name, **definitions.get(name, {})} for name in found["estimators"]]
    columns: dict[str, Any] = {"estimator": "estimator", "arguments": lambda row: ", ".join(row.get("properties", {}))}
    return CommandResult(rows, columns)


@printed
def workers() -> CommandResult:
    """List the workers with their queues, jobs and last reports."""
    from estimator_client.errors import ApiError

    with client() as service:
        try:
            rows = service.workers()
        except ApiError as error:
            if error.status != 404:
                raise
            fail("This service is of a release that does not list its workers.", Exit.NOT_FOUND)
    return CommandResult(rows, _WORKERS)
