"""The command line, called in this process. Its commands are made once, not for each of a hundred calls."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import pytest
from typer import testing
from typer.main import get_command
from typer.testing import CliRunner, Result

from estimator_client.cli.root import app

_commands = functools.cache(get_command)


def invoke(arguments: Sequence[str], stdin: str | None, environment: dict[str, str]) -> Result:
    """How a command ended, and what it printed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(testing, "_get_command", _commands)
        return CliRunner().invoke(app, arguments, input=stdin, env=environment)
