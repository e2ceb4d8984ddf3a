"""`estimator-service models serving` and `keep`: what of a model can be set while it answers."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import typer

from estimator_client.cli.exits import Exit
from estimator_client.cli.output import CommandResult, fail, printed
from estimator_client.cli.target import client

ModelName = Annotated[str, typer.Argument(metavar="MODEL", help="Name of the model.")]
_KEPT = ("per_mille", "days", "bytes", "redact")
_SETTINGS = ("batch_rows", "queue_rows", "timeout_s", "memory_bytes", "priority", "lanes", "engine")


@printed
def serving(
    model: ModelName,
    batch_rows: Annotated[int | None, typer.Option(min=1, help="Rows of one batch.")] = None,
    queue_rows: Annotated[int | None, typer.Option(min=1, help="Rows of a version that may wait in a lane.")] = None,
    timeout_s: Annotated[float | None, typer.Option(min=0.05, help="Seconds that a request may take.")] = None,
    memory_bytes: Annotated[int | None, typer.Option(min=1, help="That a new version may take.")] = None,
    priority: Annotated[int | None, typer.Option(min=0, max=9, help="0 comes first.")] = None,
    lanes: Annotated[int | None, typer.Option(min=1, help="Of each host that have the model in memory.")] = None,
    engine: Annotated[
        Literal["tensorflow", "onnx"] | None, typer.Option(help="What computes the answers, where it can.")
    ] = None,
    unset: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="A setting that is the service's again; may be repeated.")
    ] = None,
) -> CommandResult:
    """Show or change how a model is served; settings that are not named stay."""
    unset = [name.replace("-", "_") for name in unset or []]
    given: dict[str, Any] = dict(
        zip(_SETTINGS, (batch_rows, queue_rows, timeout_s, memory_bytes, priority, lanes, engine), strict=True)
    )
    given = {name: value for name, value in given.items() if value is not None}
    if wrong := [name for name in unset if name not in _SETTINGS or name in given]:
        fail(f"--unset {wrong[0]}: name one of {', '.join(_SETTINGS)} that is not set beside it.", Exit.USAGE)
    with client() as service:
        found = service.serving_settings(model)
        if given or unset:
            kept = {name: found[name] for name in _SETTINGS if name not in unset and found[name] is not None}
            found = service.set_serving_settings(model, revision=found["revision"], **{**kept, **given})
    rows = [{"setting": name, "model": found[name], "in_force": found["in_force"][name]} for name in _SETTINGS]
    columns = {"setting": "setting", "in force": "in_force", "set for the model": "model"}
    return CommandResult(rows, columns, title=model)


@printed
def keep(
    model: ModelName,
    per_mille: Annotated[
        int | None, typer.Option(min=0, max=1000, help="Of 1,000 requests so many are kept; 0: none.")
    ] = None,
    days: Annotated[float | None, typer.Option(help="For so long.")] = None,
    size: Annotated[int | None, typer.Option("--bytes", help="In files of so many bytes at most.")] = None,
    redact: Annotated[
        list[str] | None,
        typer.Option(metavar="FEATURE", help="Its values are not kept; may be repeated. '': all values are kept."),
    ] = None,
) -> CommandResult:
    """Show or change which requests are kept with their answers; what is not named stays."""
    features = None if redact is None else [name for name in redact if name]
    given = dict(zip(_KEPT, (per_mille, days, size, features), strict=True))
    given = {name: value for name, value in given.items() if value is not None}
    with client() as service:
        found = service.keep(model)
        if given:
            wanted = {name: found[name] for name in _KEPT} | given
            if not wanted["per_mille"] and "per_mille" not in given:
                fail(f"No requests of {model} are kept: say how many by --per-mille.", Exit.USAGE)
            found = service.set_keep(model, **wanted)
    columns = {name: name for name in _KEPT} | {"kept files": "files", "instances": "rows", "kept bytes": "kept_bytes"}
    return CommandResult([found], columns, single=True, title=model)
