"""Partitioned variables: a checkpoint holds one tensor, and the parts of the variable are slices of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import tensorflow as tf

if TYPE_CHECKING:
    from ..variables import TracedVariable


@dataclass(frozen=True)
class Slice:
    """One part of a partitioned variable.

    Attributes:
        name: name of the whole variable.
        shape: shape of the whole variable.
        begin, size: first index and length of the part on each axis.
    """

    name: str
    shape: tuple[int, ...]
    begin: tuple[int, ...]
    size: tuple[int, ...]

    @property
    def text(self) -> str:
        """TensorFlow's form of a slice, such as `10 2 0,5:0,2`; empty for a part that is the whole."""
        if self.size == self.shape:
            return ""
        ranges = ":".join(f"{first},{length}" for first, length in zip(self.begin, self.size, strict=True))
        return " ".join([*map(str, self.shape), ranges])

    def cut(self, whole: Any) -> Any:
        """The part of an array of the whole variable's shape."""
        return whole[tuple(slice(first, first + length) for first, length in zip(self.begin, self.size, strict=True))]


def slice_of(variable: Any) -> Slice | None:
    """The part that `variable` is of a partitioned one; None for a variable of its own."""
    info = getattr(variable, "_save_slice_info", None)
    if info is None:
        return None
    shape, begin, size = (tuple(int(n) for n in part) for part in (info.full_shape, info.var_offset, info.var_shape))
    return Slice(info.full_name, shape, begin, size)


def stored_name(name: str, variable: Any) -> str:
    """The name in checkpoints of a variable called `name`: for a part of a partitioned variable, the whole one's."""
    part = slice_of(variable)
    return name if part is None else part.name


def saver_variables(traced: Iterable[TracedVariable]) -> dict[str, Any]:
    """What `tf.compat.v1.train.Saver` takes: name to variable, or to the list of a partitioned variable's parts."""
    found: dict[str, Any] = {}
    for t in traced:
        if slice_of(t.variable) is None:
            found[t.name] = t.variable
        else:
            found.setdefault(stored_name(t.name, t.variable), []).append(t.variable)
    return found


def stored_shape(variable: Any) -> tf.TensorShape:
    """The shape in checkpoints of a variable."""
    part = slice_of(variable)
    return variable.shape if part is None else tf.TensorShape(part.shape)
