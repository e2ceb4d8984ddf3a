"""Output of commands: tables for people, JSON and CSV for programs.

Standard output carries the result and nothing else; notes, bars and errors go to standard error. Where standard output
is no terminal, lines are as long as they are: nothing is wrapped or cut.
"""

from __future__ import annotations

import csv
import functools
import inspect
import json
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from estimator_client.cli.exits import Exit

if TYPE_CHECKING:
    from rich.console import Console

#: Columns of a line that nothing is wrapped at.
_ENDLESS = 1_000_000
#: A time as the service writes it.
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")


class Format(StrEnum):
    """Forms of a result."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"


Output = Annotated[Format, typer.Option("--output", "-o", help="Form of the result.")]
AsJson = Annotated[bool, typer.Option("--json", help="Short for --output json.")]


@functools.cache
def out() -> Console:
    return _console(sys.stdout)


@functools.cache
def err() -> Console:
    return _console(sys.stderr)


def _console(stream: Any) -> Console:
    from rich.console import Console

    class PipedConsole(Console):
        def on_broken_pipe(self) -> None:
            raise BrokenPipeError  # `CommandGroup` ends the command

    return PipedConsole(file=stream, width=None if stream.isatty() else _ENDLESS, soft_wrap=not stream.isatty())


class CommandGroup(TyperGroup):
    """The root of the commands. A command whose standard output is closed by its reader ends without a message."""

    def make_context(self, *arguments: Any, **options: Any) -> Any:
        with _closed_output():
            return super().make_context(*arguments, **options)

    def invoke(self, ctx: Any) -> Any:
        with _closed_output():
            return super().invoke(ctx)


@contextmanager
def _closed_output() -> Iterator[None]:
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        # the interpreter flushes once more at its end, and would report the same error then
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(Exit.PIPE_CLOSED) from None


def forget_consoles() -> None:
    """Creates new consoles after the streams have changed. For programs that run several commands in one process."""
    out.cache_clear()
    err.cache_clear()


def say(text: str) -> None:
    """A line of the result."""
    sys.stdout.write(text + "\n")


def note(text: str) -> None:
    """A remark to people."""
    err().print(text, style="yellow", markup=False, highlight=False)


def fail(text: str, status: Exit = Exit.ERROR) -> NoReturn:
    """Prints what is wrong and how to fix it, and ends the command."""
    err().print(text, style="red", markup=False, highlight=False)
    raise typer.Exit(status)


@dataclass(frozen=True)
class CommandResult:
    """What a command found.

    Attributes:
        rows: as JSON and complete; one mapping when `single`.
        columns: heading to the key of a row, or to a function of the row: what the table and the CSV show.
        single: the result is one thing: JSON shows it without a list around it, the table shows it line by line.
    """

    rows: Sequence[Mapping[str, Any]]
    columns: Mapping[str, str | Callable[[Mapping[str, Any]], Any]] = field(default_factory=dict)
    single: bool = False
    title: str | None = None

    def print(self, form: Format) -> None:
        if form is Format.JSON:
            say(json.dumps(self.rows[0] if self.single else list(self.rows), indent=2, ensure_ascii=False))
        elif form is Format.CSV:
            writer = csv.writer(sys.stdout, lineterminator="\n")
            writer.writerow(self._headings())
            writer.writerows([_text(value) for value in self._cells(row)] for row in self.rows)
        elif self.single:
            _print_facts(self.title, zip(self._headings(), self._cells(self.rows[0]), strict=True))
        else:
            _print_table(self.title, self._headings(), [self._cells(row) for row in self.rows])

    def _headings(self) -> list[str]:
        return list(self.columns) if self.columns else list(self.rows[0] if self.rows else {})

    def _cells(self, row: Mapping[str, Any]) -> list[Any]:
        if not self.columns:
            return list(row.values())
        return [row.get(key) if isinstance(key, str) else key(row) for key in self.columns.values()]


def _text(value: Any) -> str:
    """A value for a cell: numbers short, lists and objects as JSON, nothing for null."""
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, Mapping | list | tuple):
        return json.dumps(value, ensure_ascii=False)
    return str(value)


def _shown(value: Any) -> str:
    """A value for people: as `_text`, but a time is that of their own zone, to the second."""
    if isinstance(value, str) and _TIME.fullmatch(value):
        return datetime.fromisoformat(value).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    return _text(value)


def _print_table(title: str | None, headings: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    from rich.table import Table
    from rich.text import Text

    # a terminal folds an id that is too long for its column, and never cuts it
    table = Table(title=title, box=None if not out().is_terminal else _box(), pad_edge=False, title_justify="left")
    for heading in headings:
        table.add_column(heading, overflow="fold", no_wrap=not out().is_terminal)
    for row in rows:
        table.add_row(*[Text(_shown(value)) for value in row])
    out().print(table)


def _print_facts(title: str | None, facts: Iterable[tuple[str, Any]]) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title, show_header=False, box=None, pad_edge=False, title_justify="left")
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold", no_wrap=not out().is_terminal)
    for name, value in facts:
        table.add_row(name, Text(_shown(value)))
    out().print(table)


def _box() -> Any:
    from rich import box

    return box.SIMPLE_HEAD


def printed(command: Callable[..., CommandResult | None]) -> Callable[..., None]:
    """A command that returns its result: gives it the options --output and --json, and prints what it returns."""
    signature = inspect.signature(command, eval_str=True)

    @functools.wraps(command)
    def run(*arguments: Any, output: Format, as_json: bool, **options: Any) -> None:
        result = command(*arguments, **options)
        if result is not None:
            result.print(Format.JSON if as_json else output)

    more = [
        inspect.Parameter("output", inspect.Parameter.KEYWORD_ONLY, default=Format.TABLE, annotation=Output),
        inspect.Parameter("as_json", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=AsJson),
    ]
    parameters = [*signature.parameters.values(), *more]
    run.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {one.name: one.annotation for one in parameters}
    del run.__wrapped__  # typer would read its annotations instead
    return run
