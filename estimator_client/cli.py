"""The command line.

    estimator-service datasets upload penguins.csv
    estimator-service submit job.json --watch
    estimator-service predict penguins '{"bill_length_mm": 39.1, "island": "Biscoe"}'

Where the service is and which token to use come from the options, the variables ESTIMATOR_URL and ESTIMATOR_TOKEN, or,
on the service's own machine, from its data directory.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from estimator_client.version import __version__

if TYPE_CHECKING:
    from estimator_client.client import Client

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Train, evaluate and serve estimators.")
datasets = typer.Typer(no_args_is_help=True, help="Data sets.")
tokens = typer.Typer(no_args_is_help=True, help="Tokens: who may do what.")
app.add_typer(datasets, name="datasets")
app.add_typer(tokens, name="tokens")

out = Console()
err = Console(stderr=True)
_target: dict[str, str] = {}


def _show_version(wanted: bool) -> None:
    if wanted:
        out.print(f"estimator-service {__version__}", highlight=False)
        raise typer.Exit


@app.callback()
def target(
    url: Annotated[str, typer.Option(envvar="ESTIMATOR_URL", help="Address of the service.")] = "http://127.0.0.1:8000",
    token: Annotated[str, typer.Option(envvar="ESTIMATOR_TOKEN", help="Left out: the admin token.")] = "",
    data_dir: Annotated[Path, typer.Option(envvar="DATA_DIR", help="Where the admin token is looked for.")] = Path(
        "data"
    ),
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    _target.update(url=url, token=token, data_dir=str(data_dir))


@contextmanager
def client() -> Iterator[Client]:
    """A client of the target. Refusals become a message and exit status 1."""
    from estimator_client.client import ApiError, Client, Unreachable

    token = _target["token"]
    if not token:
        try:
            token = (Path(_target["data_dir"]) / "admin-token").read_text().strip()
        except OSError:
            _fail("No token. Set ESTIMATOR_TOKEN, or --data-dir to the service's data directory.")
    try:
        with Client(_target["url"], token) as made:
            yield made
    except ApiError as error:
        _fail(str(error) + (f"\nTry again in {error.retry_after_s:g} s." if error.retry_after_s else ""))
    except Unreachable as error:
        _fail(f"{error}\nIs the service running? scripts/serve starts it.")


def _fail(message: str) -> None:
    err.print(message, style="red", markup=False, highlight=False)
    raise typer.Exit(1)


def _read_json(text: str) -> Any:
    """JSON from the text itself, from a file (its name), or from standard input (`-`)."""
    try:
        if text == "-":
            return json.load(sys.stdin)
        if not text.lstrip().startswith(("{", "[")):
            return json.loads(Path(text).read_text())
        return json.loads(text)
    except OSError as error:
        return _fail(f"Cannot read {text}: {error.strerror}.")
    except ValueError as error:
        return _fail(f"Not valid JSON: {error}.")


@app.command()
def submit(
    job: Annotated[str, typer.Argument(help="The job as JSON, a file with it, or - for standard input.")],
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Follow it to its end.")] = False,
    dry_run: Annotated[bool, typer.Option(help="Only say what it would train.")] = False,
) -> None:
    """Submit a job."""
    body = _read_json(job)
    with client() as service:
        if dry_run:
            out.print_json(data=service.dry_run(body))
            return
        made = service.submit(body)
        for warning in made["warnings"]:
            err.print(f"Note: {warning}", style="yellow", markup=False)
        out.print(made["id"], highlight=False)
        if watch:
            _follow(service, made["id"])


@app.command()
def watch(job_id: str) -> None:
    """Follow a job to its end. Exit status 1 unless it succeeds."""
    with client() as service:
        _follow(service, job_id)


def _follow(service: Client, job_id: str) -> None:
    columns = (
        TextColumn("{task.description:<10}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[numbers]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=err) as progress:
        bar = progress.add_task("QUEUED", total=None, numbers="")
        for event in service.watch(job_id):
            if event.kind == "state":
                progress.update(bar, description=event.data["state"])
            elif event.kind == "progress":
                progress.update(
                    bar,
                    completed=event.data.get("step") or 0,
                    total=event.data.get("max_steps"),
                    numbers=_numbers(event.data),
                )
            elif event.kind == "evaluation":
                progress.console.print(f"step {event.data['step']}: {_metrics(event.data['metrics'])}", markup=False)
    job = service.job(job_id)
    if job["state"] != "SUCCEEDED":
        error = job["error"] or {"kind": "", "detail": ""}
        _fail(f"{job['state']} {error['kind']}: {error['detail']}")


def _numbers(progress: dict[str, Any]) -> str:
    shown = [("loss", "loss {:.4g}"), ("steps_per_s", "{:.0f} steps/s")]
    return "  ".join(form.format(progress[name]) for name, form in shown if progress.get(name) is not None)


def _metrics(metrics: dict[str, Any]) -> str:
    return "  ".join(f"{name} {value:.4g}" for name, value in metrics.items() if isinstance(value, int | float))


@app.command()
def jobs(state: Annotated[str, typer.Option(help="Only those.")] = "", limit: int = 20) -> None:
    """List jobs, newest first."""
    with client() as service:
        table = Table("job", "type", "model", "state", "step")
        for number, job in enumerate(service.jobs(**({"state": state} if state else {}))):
            if number == limit:
                break
            table.add_row(
                job["id"], job["type"], job["model"] or "", job["state"], str(job["progress"].get("step", ""))
            )
        out.print(table)


@app.command()
def cancel(job_id: str) -> None:
    """Cancel a job."""
    with client() as service:
        out.print(service.cancel(job_id)["state"])


@app.command()
def retry(job_id: str) -> None:
    """Queue a failed or cancelled job again."""
    with client() as service:
        out.print(service.retry(job_id)["state"])


@app.command()
def logs(job_id: str) -> None:
    """Print a job's log."""
    with client() as service:
        out.print(service.logs(job_id), markup=False, highlight=False, end="")


@app.command()
def models() -> None:
    """List models with their labels."""
    with client() as service:
        table = Table("model", "labels")
        for model in service.models():
            table.add_row(model["name"], ", ".join(f"{label} → {number}" for label, number in model["labels"].items()))
        out.print(table)


@app.command()
def predict(
    model: str,
    instances: Annotated[str, typer.Argument(help="One instance or a list of them: JSON, a file, or -.")],
    version: Annotated[int | None, typer.Option(help="Left out: the label `latest`.")] = None,
) -> None:
    """Ask a model."""
    rows = _read_json(instances)
    with client() as service:
        for answer in service.predict(model, rows if isinstance(rows, list) else [rows], version=version):
            out.print_json(data=answer)


@datasets.command("upload")
def upload(
    file: Annotated[
        Path, typer.Argument(exists=True, dir_okay=False, help=".csv .jsonl .parquet .tfrecord, .gz, .zst")
    ],
    name: Annotated[str | None, typer.Option(help="Left out: the file's name.")] = None,
) -> None:
    """Upload a file."""
    with client() as service:
        made = service.upload(file, name=name)
        err.print(f"{made['rows']} rows, {len(made['columns'])} columns", highlight=False)
        out.print(made["id"], highlight=False)


@datasets.command("list")
def list_datasets() -> None:
    """List data sets, newest first."""
    with client() as service:
        table = Table("data set", "name", "rows", "columns", "format")
        for row in service.datasets():
            table.add_row(row["id"], row["name"], str(row["rows"]), str(len(row["columns"])), row["format"])
        out.print(table)


@datasets.command("delete")
def delete_dataset(dataset_id: str) -> None:
    """Delete a data set that nothing needs."""
    with client() as service:
        service.delete_dataset(dataset_id)


@tokens.command("create")
def create_token(name: str, scopes: Annotated[list[str], typer.Argument(help="read submit predict admin")]) -> None:
    """Make a token. Its secret is printed once."""
    with client() as service:
        out.print(service.create_token(name, scopes)["token"], highlight=False)


@tokens.command("list")
def list_tokens() -> None:
    """List tokens."""
    with client() as service:
        table = Table("token", "name", "scopes", "revoked")
        for row in service.tokens():
            table.add_row(row["id"], row["name"], " ".join(row["scopes"]), row["revoked_at"] or "")
        out.print(table)


@tokens.command("revoke")
def revoke_token(token_id: str) -> None:
    """Revoke a token."""
    with client() as service:
        service.revoke_token(token_id)


if __name__ == "__main__":
    app()
