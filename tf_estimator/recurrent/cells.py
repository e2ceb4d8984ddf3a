"""Choice of recurrent cells, and whether the fast kernels can stand in for them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

_CLASSES = {
    "simple_rnn": tf.keras.layers.SimpleRNNCell,
    "lstm": tf.keras.layers.LSTMCell,
    "gru": tf.keras.layers.GRUCell,
}


@dataclass(frozen=True)
class Cell:
    """A standard cell.

    Attributes:
        kind: "simple_rnn", "lstm" or "gru".
        units: width of its state.
        scope: of its variables.
    """

    kind: str
    units: int
    scope: str


def cells_by_type(units: Any, cell_type: Any) -> list[Cell] | Callable[[], Any]:
    """The cells of `units` and `cell_type`; for a class of the user's, a function that makes them.

    Args:
        units: width of each layer, or one integer for a single Keras layer.
        cell_type: "simple_rnn", "lstm", "gru", or a class.

    Raises:
        ValueError: an unknown cell type, or units that are no positive integers.
    """
    kinds = {**{name: name for name in _CLASSES}, **{made: name for name, made in _CLASSES.items()}}
    single = isinstance(units, int)
    widths = [units] if single else list(units) if isinstance(units, Iterable) else []
    if not widths or any(isinstance(w, bool) or not hasattr(w, "__index__") or w < 1 for w in widths):
        raise ValueError(f"units must be a list of integers of 1 or more such as [32, 16], not {units!r}.")
    if not isinstance(cell_type, str) and callable(cell_type) and cell_type not in kinds:
        return lambda: _single_or_list([_checked_cell(cell_type(units=width)) for width in widths])
    if cell_type not in kinds:
        raise ValueError(
            "`cell_type` should be a class producing a RNN cell, or a string specifying the cell type. "
            f"Supported strings are: {list(_CLASSES)}. Given: {cell_type!r}."
        )
    kind = kinds[cell_type]
    if single and isinstance(cell_type, str):
        # The old library made a Keras layer of its own for each kind here, which gave the variables its name.
        return [Cell(kind, widths[0], f"{kind}/{kind}_cell")]
    stack = "rnn" if len(widths) == 1 else "rnn/stacked_rnn_cells"
    return [
        Cell(kind, int(width), f"{stack}/{kind}_cell" + (f"_{number}" if number else ""))
        for number, width in enumerate(widths)
    ]


def standard_cells(made: Any) -> list[Cell] | None:
    """The cells that a user's `rnn_cell_fn` made, if they are Keras' own with default settings; else None."""
    stack = "rnn"
    if isinstance(made, tf.keras.layers.StackedRNNCells):
        stack, made = f"rnn/{made.name}", made.cells
    elif isinstance(made, (list, tuple)):
        stack = "rnn/stacked_rnn_cells"
    listed = list(made) if isinstance(made, (list, tuple)) else [made]
    kinds = {made: name for name, made in _CLASSES.items()}
    if any(type(cell) not in kinds or not _is_default(cell) for cell in listed):
        return None
    return [Cell(kinds[type(cell)], int(cell.units), f"{stack}/{cell.name}") for cell in listed]


def _is_default(cell: Any) -> bool:
    own, default = cell.get_config(), type(cell)(cell.units).get_config()
    return all(own[key] == default[key] for key in own if key not in {"name", "seed"})


def _single_or_list(cells: list[Any]) -> Any:
    return cells[0] if len(cells) == 1 else cells


def _checked_cell(cell: Any) -> Any:
    if not hasattr(cell, "call") or not hasattr(cell, "state_size"):
        raise ValueError(f"RNN cell should have a `call` and `state_size` method; {type(cell)} has not.")
    return cell
