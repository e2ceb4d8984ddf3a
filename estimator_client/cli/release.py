"""`estimator-service models release`: a new version step by step."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from estimator_client.cli.exits import Exit
from estimator_client.cli.output import CommandResult, fail, printed, say
from estimator_client.cli.target import client

app = typer.Typer(no_args_is_help=True, help="Bring a version to shares of the requests, with guards.")

ModelName = Annotated[str, typer.Argument(metavar="MODEL", help="Name of the model.")]
ReleaseId = Annotated[str, typer.Argument(metavar="[RELEASE]", help="Left out: the newest.")]


@app.command("start")
def start(
    model: ModelName,
    version: Annotated[int, typer.Argument(min=1, help="The new version.")],
    label: Annotated[str, typer.Option(help="The label that it is brought behind.")] = "latest",
    shares: Annotated[str, typer.Option(help="Of 1,000 requests, step by step.")] = "10,100,500",
    seconds: Annotated[float, typer.Option(min=0, help="Of each step, at least.")] = 300.0,
    min_requests: Annotated[int, typer.Option(min=0, help="To the new version in each step, at least.")] = 100,
    shadow: Annotated[
        bool, typer.Option("--shadow", help="Begin with copies of requests, whose answers are compared and discarded.")
    ] = False,
    error_rate: Annotated[float, typer.Option(min=0, max=1, help="Failed requests beyond the live version's.")] = 0.01,
    p99_ratio: Annotated[float, typer.Option(min=1, help="99th percentile against the live version's.")] = 1.5,
    disagreement: Annotated[float | None, typer.Option(min=0, max=1, help="Of a shadow's answers.")] = None,
    quality: Annotated[
        float | None, typer.Option(min=0, help="Limit of the loss of quality, by labels that come back.")
    ] = None,
) -> None:
    """Start a release. Prints its id."""
    try:
        steps: list[dict[str, Any]] = [{"per_mille": int(share)} for share in shares.split(",")]
    except ValueError:
        fail("--shares are whole numbers with commas, for example 10,100,500.", Exit.USAGE)
    steps = [{"shadow": True}] * shadow + steps
    guards = {"error_rate": error_rate, "p99_ratio": p99_ratio, "disagreement": disagreement, "quality": quality}
    steps = [step | {"seconds": seconds, "min_requests": min_requests} for step in steps]
    with client() as service:
        say(service.create_release(model, version, label=label, steps=steps, guards=guards)["id"])


@app.command("list")
@printed
def list_releases(
    model: ModelName, limit: Annotated[int, typer.Option(min=1, help="Most releases to list.")] = 20
) -> CommandResult:
    """List a model's releases, newest first."""
    with client() as service:
        rows = [row for row, _ in zip(service.releases(model), range(limit), strict=False)]
    columns = {name: name for name in ("id", "label", "base", "version", "state", "step")}
    return CommandResult(rows, columns | {"began": "created_at", "ended": "ended_at", "reason": "reason"})


@app.command("show")
@printed
def show(model: ModelName, release: ReleaseId = "") -> CommandResult:
    """Show the counts of both versions and what the release waits for."""
    with client() as service:
        found = service.release(model, release or _newest(service, model))
    why = found["waits_for"] or found["reason"]
    title = f"{found['id']}: {found['state']}, step {found['step'] + 1} of {len(found['plan']['steps'])}. {why}"
    names = ("role", "version", "requests", "errors", "p50_s", "p99_s", "agreement")
    rows = [{"agreement": None} | arm for arm in found["arms"]]
    return CommandResult(rows, {name: name for name in names}, title=title)


def _change(model: str, release: str, change: str) -> None:
    with client() as service:
        found = service.change_release(model, release or _newest(service, model), change)
    say(f"{found['id']} {found['state']}")


@app.command("pause")
def pause(model: ModelName, release: ReleaseId = "") -> None:
    """Keep a release at its step."""
    _change(model, release, "pause")


@app.command("resume")
def resume(model: ModelName, release: ReleaseId = "") -> None:
    """Let a paused release go on."""
    _change(model, release, "resume")


@app.command("abort")
def abort(model: ModelName, release: ReleaseId = "") -> None:
    """End a release; all requests go to the version from before."""
    _change(model, release, "abort")


def _newest(service: Any, model: str) -> str:
    newest = next(iter(service.releases(model)), None)
    if newest is None:
        fail(f"{model} has had no release.", Exit.NOT_FOUND)
    return str(newest["id"])
