"""Every argument of the public functions and classes is used, or its docstring says that it is not."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tf_estimator as est

ENGINE = Path(est.__file__).parent

UNUSED = {
    "numpy_input_fn(queue_capacity)": "not used: there is no queue",
    "numpy_input_fn(num_threads)": "not used, for the same reason",
    "pandas_input_fn(queue_capacity)": "as in `numpy_input_fn`",
    "pandas_input_fn(num_threads)": "as in `numpy_input_fn`",
    "RunConfig(experimental_max_worker_delay_secs)": "not used: workers start together",
    "RunConfig(session_creation_timeout_secs)": "not used: there is no session",
}
"""Arguments that change no result, and the words that say so."""


def public() -> dict[str, Any]:
    places = (est, est.inputs, est.export, est.hooks, est.experimental)
    found = {name: getattr(place, name) for place in places for name in place.__all__ if hasattr(place, name)}
    return {name: value for name, value in found.items() if getattr(value, "__module__", "").startswith("tf_estimator")}


def unused() -> Iterator[str]:
    """Arguments whose name does not occur in the body of their function, or of the constructor of their class."""
    for name, value in public().items():
        function = inspect.unwrap(vars(value).get("__init__", value) if isinstance(value, type) else value)
        if not inspect.isfunction(function) or function.__qualname__ == "RunConfig.__init__":
            continue
        if function.__code__.co_filename == "<string>":  # the constructor of a dataclass keeps what it gets
            continue
        (definition,) = ast.parse(textwrap.dedent(inspect.getsource(function))).body
        assert isinstance(definition, ast.FunctionDef)
        used = {node.id for part in definition.body for node in ast.walk(part) if isinstance(node, ast.Name)}
        arguments = (*definition.args.posonlyargs, *definition.args.args, *definition.args.kwonlyargs)
        yield from (f"{name}({one.arg})" for one in arguments if one.arg not in used | {"self"})


def unread_fields() -> Iterator[str]:
    """Fields of `RunConfig` that nothing reads: neither another module, nor a property of its own."""
    read: set[str] = set()
    for path in ENGINE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute):
                read.add(node.attr)
            elif isinstance(node, ast.Subscript) and ast.unparse(node.value) == "self._fields":
                read.add(ast.unparse(node.slice).strip("'"))
            elif isinstance(node, ast.Constant) and path.name != "run_config.py":  # of getattr
                read.add(str(node.value))
    yield from (f"RunConfig({name})" for name in inspect.signature(est.RunConfig).parameters if name not in read)


def test_every_argument_is_used_or_said_not_to_be() -> None:
    assert {*unused(), *unread_fields()} == set(UNUSED)


def test_unused_arguments_are_said_in_the_docstring() -> None:
    for name, words in UNUSED.items():
        function, _, argument = name.rstrip(")").partition("(")
        text = " ".join((inspect.getdoc(public()[function]) or "").split())
        assert argument in text
        assert words in text
