"""Names of a single recurrent cell's variables, which earlier releases of `tf.estimator` gave without the cell's name.

`rnn_model/rnn/kernel` was what is `rnn_model/rnn/lstm_cell/kernel` since. Either is read under both names, and a
directory keeps those that it has; so do the slots of the optimizer, whose names contain the variable's.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

_PART = r"(?:recurrent_kernel|kernel|bias)(?=/|$)"
_WITH = re.compile(rf"(rnn_model/rnn/)(?:lstm|gru|simple_rnn)_cell/({_PART})")
_WITHOUT = re.compile(rf"rnn_model/rnn/{_PART}")


def without_cell(name: str) -> str:
    """The name that earlier releases gave."""
    return _WITH.sub(r"\1\2", name)


def cellless(names: Iterable[str]) -> frozenset[str]:
    """Those of the names that have no cell's name."""
    return frozenset(name for name in names if _WITHOUT.search(name))


def stored_name(name: str, stored: Collection[str]) -> str:
    """The name under which a checkpoint of variables `stored` holds the variable; `name` where it holds none."""
    if name in stored:
        return name
    short = without_cell(name)
    if short in stored:
        return short
    if not _WITHOUT.search(name):
        return name
    return next((other for other in stored if without_cell(other) == name), name)
