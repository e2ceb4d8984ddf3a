"""`estimator-service tokens`: who may do what."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from estimator_client.cli.output import CommandResult, note, printed, say
from estimator_client.cli.target import client

app = typer.Typer(no_args_is_help=True, help="Create, list and revoke tokens. Needs the scope `admin`.")


_LISTED: dict[str, Any] = {
    "token": "id",
    "name": "name",
    "scopes": lambda row: " ".join(row["scopes"]),
    "revoked": "revoked_at",
}


@app.command("create")
def create(
    name: Annotated[str, typer.Argument(help="Name of its user or program.")],
    scopes: Annotated[list[str], typer.Argument(help="read submit predict admin")],
) -> None:
    """Make a token. Its secret is printed once and stored nowhere."""
    with client() as service:
        made = service.create_token(name, scopes)
    note(f"{made['id']}: {' '.join(made['scopes'])}")
    say(made["token"])


@app.command("list")
@printed
def list_tokens() -> CommandResult:
    """List tokens, without their secrets."""
    with client() as service:
        rows = service.tokens()
    columns: dict[str, Any] = {
        "token": "id",
        "name": "name",
        "scopes": lambda row: " ".join(row["scopes"]),
        "revoked": "revoked_at",
    }
    return CommandResult(rows, columns)


@app.command("revoke")
def revoke(token: Annotated[str, typer.Argument(metavar="TOKEN", help="Id of the token.")]) -> None:
    """Revoke a token. It is refused within two seconds."""
    with client() as service:
        service.revoke_token(token)
    note(f"Revoked {token}.")
