"""Names of operations and variables made from names that people chose, such as those of a table's columns."""

from __future__ import annotations

import re
from typing import Any

import tensorflow as tf

_NO_SCOPE_CHARACTER = re.compile(r"[^A-Za-z0-9_./>-]|>(?![A-Za-z0-9.])")
_NO_VARIABLE_CHARACTER = re.compile(r"[^A-Za-z0-9_.\-]")
_NO_FIRST_CHARACTER = re.compile(r"^[_/>-]")


def variable_scope_name(name: str) -> str:
    """`name` as the old library put it into the name of a variable: other characters become `_`."""
    return _NO_VARIABLE_CHARACTER.sub("_", name)


def operation_scope_name(name: str) -> str:
    """`name` without the characters that an operation's name can't have, run (`\\`) or import (`>`, unless a letter, a
    digit or a dot follows)."""
    return _NO_SCOPE_CHARACTER.sub("_", name)


class NamingGraph(tf.Graph):  # type: ignore[misc]
    """A graph in which scopes may have any name.

    TensorFlow refuses most characters, and an outermost scope that begins with an underscore, as that of a Keras layer
    does whose class is private. Here the characters become `_`, and such a beginning gets a word before it. Feature
    columns name their tables and lookups after the columns of a table; Keras's variables keep Keras's path.
    """

    def name_scope(self, name: Any) -> Any:
        if isinstance(name, str):
            name = operation_scope_name(name)
            if _NO_FIRST_CHARACTER.match(name) and not self.get_name_scope():
                name = f"private{name}"
        return super().name_scope(name)
