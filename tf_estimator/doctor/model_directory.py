"""Contents of a model directory: its checkpoints, those that can be read, and the faults of the rest."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

#: What TensorFlow's reader raises for files that are cut off, overwritten or of another kind.
_UNREADABLE = (tf.errors.OpError, ValueError, RuntimeError, IndexError)

_STEP = re.compile(r"-(\d+)$")


@dataclass
class Contents:
    """A checkpoint's variables and the complaints on the way to it.

    Attributes:
        prefix: path of the checkpoint without suffix, None if none can be read.
        step: its global step.
        shapes: variable name to shape.
        scalars: values of the variables without dimensions.
        problems: what does not load and why, for people.
        checkpoints: names of all complete checkpoints, by step.
    """

    prefix: str | None = None
    step: int | None = None
    shapes: dict[str, list[int]] = field(default_factory=dict)
    scalars: dict[str, float] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    checkpoints: list[str] = field(default_factory=list)


def read(model_dir: str) -> Contents:
    """Reads the newest checkpoint of `model_dir` that is whole.

    Raises:
        FileNotFoundError: there is no such directory.
    """
    directory = Path(model_dir)
    if not directory.is_dir():
        raise FileNotFoundError(f"{model_dir} is no directory.")
    contents = Contents()
    prefixes = [str(path)[: -len(".index")] for path in directory.glob("*.index")]
    prefixes.sort(key=lambda prefix: (_step_of(prefix), prefix))  # a directory lists its files in any order
    contents.checkpoints = [Path(prefix).name for prefix in prefixes]
    if not prefixes:
        contents.problems.append("There is no checkpoint (no *.index file).")
    _check_state(directory, prefixes, contents)
    for prefix in reversed(prefixes):
        if _read_all(prefix, contents):
            break
    return contents


def _step_of(prefix: str) -> int:
    match = _STEP.search(prefix)
    return int(match.group(1)) if match else -1


def _check_state(directory: Path, prefixes: list[str], contents: Contents) -> None:
    """Compares the state file `checkpoint`, from which an Estimator continues, with what is there."""
    try:
        state = tf.train.get_checkpoint_state(str(directory))
    except (tf.errors.OpError, ValueError) as error:
        contents.problems.append(f"The state file `checkpoint` can't be read: {_line(error)}.")
        return
    if state is None:
        if prefixes:
            contents.problems.append("The state file `checkpoint` is missing, so no checkpoint would be found.")
        return
    named = Path(state.model_checkpoint_path)
    if named.resolve().parent != directory.resolve():
        contents.problems.append(
            f"The state file points to {named}, outside of the directory; write `model_checkpoint_path: "
            f'"{named.name}"` into it.'
        )
    elif str(named) not in prefixes:
        contents.problems.append(f"The state file points to {named.name}, which is not there.")


def _read_all(prefix: str, contents: Contents) -> bool:
    """Reads every variable once, so that a shard that is cut off shows here and not while training."""
    name = Path(prefix).name
    try:
        reader = tf.train.load_checkpoint(prefix)
        shapes = {key: list(shape) for key, shape in reader.get_variable_to_shape_map().items()}
    except _UNREADABLE as error:
        contents.problems.append(f"{name} can't be read: {_line(error)}.")
        return False
    damaged, not_finite = [], []
    scalars: dict[str, float] = {}
    for key in sorted(shapes):
        try:
            value = reader.get_tensor(key)
        except _UNREADABLE:
            damaged.append(key)
            continue
        if _is_number(value):
            if not np.all(np.isfinite(value)):
                not_finite.append(key)
            if np.ndim(value) == 0:
                scalars[key] = float(value)
    if damaged:
        contents.problems.append(f"{name} is damaged, these variables can't be read: {damaged}.")
        return False
    if not_finite:
        contents.problems.append(f"{name} holds NaN or infinite values in {not_finite}; continue from an older one.")
    contents.prefix, contents.shapes, contents.scalars = prefix, shapes, scalars
    step = scalars.get("global_step")
    contents.step = _step_of(prefix) if step is None else int(step)
    if step is None:
        contents.problems.append(f"{name} has no `global_step`; it is no Estimator's, or an object-based checkpoint.")
    if any(key.startswith("_CHECKPOINTABLE_OBJECT_GRAPH") for key in shapes):
        contents.problems.append(f"{name} is object-based (Keras or tf.train.Checkpoint), not by variable names.")
    return True


def _is_number(value: Any) -> bool:
    return np.issubdtype(np.asarray(value).dtype, np.number)


def _line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
