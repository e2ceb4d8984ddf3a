"""Deletes: what they would do, and what they did."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from estimator_client.cli.exits import Exit
from estimator_client.cli.output import fail, note, say

DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Delete nothing; report what would be removed and what still needs it.")
]


def told(plan: Mapping[str, Any] | None, thing: str) -> None:
    """Says what a delete did, or what `plan`, that of its dry run, holds. Exit status 3 when the plan is refused."""
    if plan is None:
        note(f"Deleted {thing}.")
        return
    removes = ", ".join(f"{count} {name}" for name, count in plan["removes"].items())
    say(f"{thing}: {removes}; {plan['bytes']:,} bytes")
    if plan["needed_by"]:
        fail("\n".join(need["why"] for need in plan["needed_by"]), Exit.REFUSED)
