"""The command line, put together: `app` holds every command and the options that stand before it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from estimator_client.cli import admin, datasets, evaluate, jobs, local, login, models, predict, tokens, train
from estimator_client.cli.output import CommandGroup, forget_consoles, say
from estimator_client.cli.target import DATA_DIRECTORY, DEFAULT_URL, target
from estimator_client.version import __version__

_EXITS = (
    "Exit status: 0 done, 1 another error, 2 usage, 3 refused, 4 not found, 5 no permission, 6 unavailable, "
    "7 job failed, 8 job cancelled, 130 interrupted, 141 output closed."
)

app = typer.Typer(
    cls=CommandGroup,
    no_args_is_help=True,
    help="Train, evaluate and serve estimators.",
    epilog=_EXITS,
    pretty_exceptions_enable=False,
)
for name, group in (
    ("datasets", datasets.app),
    ("jobs", jobs.app),
    ("models", models.app),
    ("tokens", tokens.app),
    ("admin", admin.app),
):
    app.add_typer(group, name=name)
for command in (
    local.serve,
    local.demo,
    login.login,
    login.logout,
    login.profiles,
    train.train,
    train.submit,
    evaluate.evaluate,
    evaluate.report,
    predict.predict,
    models.export,
    local.doctor,
    admin.workers,
):
    app.command()(command)


def _show_version(wanted: bool) -> None:
    if wanted:
        say(f"estimator-service {__version__}")
        raise typer.Exit


@app.callback()
def root(
    url: Annotated[
        str, typer.Option(envvar="ESTIMATOR_URL", help=f"Address of the service; without a profile {DEFAULT_URL}.")
    ] = "",
    token: Annotated[str, typer.Option(envvar="ESTIMATOR_TOKEN", help="Token; by default the profile's.")] = "",
    profile: Annotated[str, typer.Option(envvar="ESTIMATOR_PROFILE", help="Profile made by `login`.")] = "",
    data_dir: Annotated[
        Path, typer.Option(envvar="DATA_DIR", help="Data directory of a local service, for its admin token.")
    ] = DATA_DIRECTORY,
    patience: Annotated[
        float, typer.Option(help="Seconds to try again while the service is busy or does not answer.")
    ] = 10.0,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Train, evaluate and serve estimators."""
    forget_consoles()
    target.url, target.token, target.profile = url.rstrip("/"), token, profile
    target.data_dir, target.patience_s = data_dir, patience
