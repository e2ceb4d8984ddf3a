"""`estimator-service admin backup` and `check`: the data directory of a service on this machine, with SQLite."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from estimator_client.cli.exits import Exit
from estimator_client.cli.output import fail, note, say
from estimator_client.cli.target import target

REGISTRY, ARTIFACTS, TOKEN = "registry.db", "artifacts", "admin-token"

Directory = Annotated[
    Path | None, typer.Argument(help="A data directory or a copy of one; left out: --data-dir.", show_default=False)
]


def backup(
    directory: Annotated[Path, typer.Argument(metavar="DIRECTORY", help="Of the copy; must not be there yet.")],
) -> None:
    """Copy the data directory (--data-dir) of a service with SQLite, also while it runs: registry, then artifacts."""
    source = _data_directory(None)
    if directory.exists():
        fail(f"{directory} is already there; name another directory.", Exit.USAGE)
    directory.mkdir(parents=True, mode=0o700)
    # not with `cp`: what was written last stands in a file beside it
    with closing(_opened(source)) as registry, closing(sqlite3.connect(directory / REGISTRY)) as copy:
        registry.backup(copy)
    if (source / ARTIFACTS).is_dir():
        _copy(source / ARTIFACTS, directory / ARTIFACTS)
    else:
        note(f"{source} has no {ARTIFACTS}: they are where ARTIFACTS_URL says. Copy them too.")
    if (source / TOKEN).is_file():
        shutil.copy2(source / TOKEN, directory / TOKEN)
    say(str(directory))


def check(directory: Directory = None) -> None:
    """Look at a data directory, or a copy of one: the registry's integrity, and files that rows point to and that are
    gone. Exit status 1 when something is wrong."""
    source = _data_directory(directory)
    with closing(_opened(source)) as registry:
        faults = [f"{REGISTRY}: {row[0]}" for row in registry.execute("PRAGMA integrity_check") if row[0] != "ok"]
        for table, thing in (("datasets", "data set"), ("exports", "export")):
            rows = registry.execute(f"SELECT id, path FROM {table} ORDER BY id")  # our own two names
            faults += [
                f"{thing} {identifier}: {ARTIFACTS}/{path} is gone"
                for identifier, path in rows
                if not (source / ARTIFACTS / path).is_dir()
            ]
    for fault in faults:
        say(fault)
    if faults:
        raise typer.Exit(Exit.ERROR)
    note("Nothing is wrong.")


def _copy(source: Path, copy: Path) -> None:
    """Copies a tree in which files come and go: what is gone before its turn was pruned, and no row needs it."""
    try:
        shutil.copytree(source, copy, symlinks=True)
    except shutil.Error as error:
        left = [(place, why) for place, _, why in error.args[0] if Path(place).exists()]
        if left:
            fail(f"{len(left)} files could not be copied. {left[0][0]}: {left[0][1]}")


def _data_directory(directory: Path | None) -> Path:
    found = directory or target.data_dir
    if not (found / REGISTRY).is_file():
        fail(
            f"{found} has no {REGISTRY}: it is no data directory of a service with SQLite. Name one with --data-dir; "
            "for PostgreSQL see the guide's page on back-up.",
            Exit.NOT_FOUND,
        )
    return found


def _opened(directory: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{(directory / REGISTRY).resolve()}?mode=ro", uri=True)
