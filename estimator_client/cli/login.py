"""`estimator-service login`, `logout` and `profiles`: which services are known here, and with which tokens."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from estimator_client.cli.exits import Exit
from estimator_client.cli.output import CommandResult, fail, note, printed
from estimator_client.cli.profiles import Profile, Profiles, path
from estimator_client.cli.target import client, target

Name = Annotated[str, typer.Argument(metavar="PROFILE", help="Name of the profile.")]


def login(name: Name = "default") -> None:
    """Check a token and remember it with its address; later commands use it.

    Address and token come from the options before the command; a token that is not given is asked for, or read from
    standard input where that is no terminal.
    """
    from estimator_client.cli.target import DEFAULT_URL

    url = target.url or DEFAULT_URL
    token = target.token or _asked()
    target.url, target.token = url, token
    _check()
    profiles = _load()
    profiles.profiles[name] = Profile(url, token)
    profiles.current = name
    profiles.save()
    note(f"Logged in to {url} as profile {name}; kept in {path()}.")


def logout(name: Name = "") -> None:
    """Forget a profile and its token; without a name the present one."""
    profiles = _load()
    chosen = name or profiles.current or ""
    if profiles.profiles.pop(chosen, None) is None:
        fail(f"There is no profile {chosen or 'to forget'}.", Exit.NOT_FOUND)
    if profiles.current == chosen:
        profiles.current = next(iter(profiles.profiles), None)
    profiles.save()
    note(f"Forgot {chosen}. The token itself stays valid until it is revoked.")


@printed
def profiles(
    use: Annotated[str, typer.Option("--use", help="Make this one the present profile.")] = "",
) -> CommandResult:
    """List profiles, without their tokens; the present one is marked."""
    known = _load()
    if use:
        if use not in known.profiles:
            fail(f"There is no profile {use}.", Exit.NOT_FOUND)
        known.current = use
        known.save()
    rows = [
        {"profile": name, "url": profile.url, "present": name == known.current}
        for name, profile in sorted(known.profiles.items())
    ]
    return CommandResult(rows, {"": lambda row: "*" if row["present"] else "", "profile": "profile", "url": "url"})


def _asked() -> str:
    token = typer.prompt("Token", hide_input=True, err=True) if sys.stdin.isatty() else sys.stdin.readline()
    token = str(token).strip()
    if not token:
        fail("No token was given.", Exit.USAGE)
    return token


def _check() -> None:
    """The service knows the token, whatever its scopes."""
    from estimator_client.errors import ApiError

    with client() as service:
        try:
            next(iter(service.models()), None)
        except ApiError as error:
            if error.status != 403:
                raise


def _load() -> Profiles:
    try:
        return Profiles.load()
    except ValueError as error:
        fail(str(error))
