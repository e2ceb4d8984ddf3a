"""Checkpoints `model.ckpt-N`: variables by name, written under a temporary name and then renamed.

The files are those of `tf.compat.v1.train.Saver` (`.index`, `.data-…`), so that either side reads what the other wrote.
"""

from __future__ import annotations

import os
import re
import uuid
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import trackable_object_graph_pb2

from ..errors import CheckpointError
from ..variables import stored_name
from .partition import Slice, slice_of, stored_shape

#: Name of the file that names the latest checkpoint.
STATE_FILE = "checkpoint"
_DATA = ".data-00000-of-00001"
_STEP = re.compile(r"-(\d+)$")
_TEMPORARY = re.compile(r"(model\.ckpt-\d+|checkpoint)(\.\w+)?\.tmp-[0-9a-f]{8}(\.|$)")


def latest(directory: str) -> str | None:
    """Prefix of the latest checkpoint that `directory`'s state file names, or None.

    Raises:
        CheckpointError: the state file can't be read, or points outside `directory`, or to a file that is not there.
    """
    state_file = Path(directory) / STATE_FILE
    try:
        state = tf.train.get_checkpoint_state(directory)
    except Exception as error:
        raise CheckpointError(f"{state_file} can't be read ({error}); remove it or restore it from a copy.") from error
    if state is None or not state.model_checkpoint_path:
        if state_file.is_file() and state_file.stat().st_size:
            raise CheckpointError(
                f"{state_file} can't be read; remove it to start from scratch, or restore it from a copy."
            )
        return None
    prefix = str(state.model_checkpoint_path)
    if not is_inside(prefix, directory):
        raise CheckpointError(
            f"{state_file} names {prefix!r}, which is outside of the model directory; it is not read. "
            "Pass checkpoint_path=… where that is meant."
        )
    if not exists(prefix):
        raise CheckpointError(
            f"{state_file} names {prefix!r}, but there are no such files. Known there: {known(directory)}. "
            "Point the state file at one of those, or remove it to start from scratch."
        )
    return prefix


def known(directory: str) -> list[str]:
    """Names of the complete checkpoints in `directory`, by step."""
    names = [p.name.removesuffix(".index") for p in Path(directory).glob("model.ckpt-*.index")]
    return sorted((n for n in names if _STEP.search(n)), key=step_of)


def exists(prefix: str) -> bool:
    """Whether a checkpoint's index is there."""
    return Path(f"{prefix}.index").is_file()


def step_of(prefix: str) -> int:
    """The global step in the name of a checkpoint, 0 if it has none."""
    match = _STEP.search(prefix)
    return int(match.group(1)) if match else 0


def is_inside(prefix: str, directory: str) -> bool:
    """Whether `prefix` is in `directory`; a directory that was moved as a whole keeps relative names."""
    return Path(prefix).resolve().is_relative_to(Path(directory).resolve())


_OBJECTS = "_CHECKPOINTABLE_OBJECT_GRAPH"


class CheckpointReader:
    """An open checkpoint, name-based or object-based; the variables of the latter have the names of the program, too.

    Args:
        prefix: path without suffix.

    Raises:
        CheckpointError: there is none, or it is damaged.
    """

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        try:
            self._reader = tf.train.load_checkpoint(prefix)
            self.shapes: dict[str, list[int]] = dict(self._reader.get_variable_to_shape_map())
            self.dtypes: dict[str, tf.DType] = dict(self._reader.get_variable_to_dtype_map())
            self._keys = self._keys_by_name() if _OBJECTS in self.shapes else {}
            for name, key in self._keys.items():
                self.shapes[name], self.dtypes[name] = self.shapes.pop(key), self.dtypes.pop(key)
        except Exception as error:
            raise CheckpointError(f"No readable checkpoint at {prefix!r}: {_first_line(error)}") from error

    def _keys_by_name(self) -> dict[str, str]:
        graph = trackable_object_graph_pb2.TrackableObjectGraph.FromString(self._reader.get_tensor(_OBJECTS))
        saved = [attribute for node in graph.nodes for attribute in node.attributes]
        return {a.full_name: a.checkpoint_key for a in saved if a.full_name and a.checkpoint_key in self.shapes}

    def value(self, name: str) -> Any:
        """The value of a variable.

        Raises:
            CheckpointError: there is no such variable, or its bytes are damaged.
        """
        name = stored_name(name, self.shapes)
        if name not in self.shapes:
            raise CheckpointError(f"Checkpoint {self.prefix!r} has no variable {name!r}; it has {sorted(self.shapes)}.")
        try:
            return self._reader.get_tensor(self._keys.get(name, name))
        except Exception as error:
            raise self._damaged(name, error) from error

    def values(self, wanted: Mapping[str, Any], *, optional: Iterable[str] = ()) -> dict[str, Any]:
        """Values of all `wanted` variables.

        Args:
            wanted: name to a variable (its shape and dtype are compared). Part of a partitioned variable gets its slice
                of the whole one, or what stands under its own name.
            optional: names that may be absent.

        Raises:
            CheckpointError: names or shapes do not fit; lists them all.
        """
        optional = set(optional)
        parts = {n: part for n, v in wanted.items() if n not in self.shapes and (part := slice_of(v)) is not None}
        stored = {n: parts[n].name if n in parts else n for n in wanted}
        missing = sorted({stored[n] for n in wanted if stored[n] not in self.shapes and n not in optional})
        wrong = sorted({text for n, v in wanted.items() if (text := self._difference(stored[n], v, n in parts))})
        if missing or wrong:
            unused = sorted(set(self.shapes) - set(stored.values()))
            raise CheckpointError(_mismatch(self.prefix, missing, wrong, unused))
        present = [n for n in wanted if stored[n] in self.shapes]
        return {n: self._part(parts[n]) if n in parts else self.value(n) for n in present}

    def _part(self, part: Slice) -> Any:
        """One slice; its siblings need not be there, nor be read."""
        if not part.text:
            return self.value(part.name)
        with tf.Graph().as_default(), tf.compat.v1.Session() as session:
            read = tf.raw_ops.RestoreV2(
                prefix=self.prefix,
                tensor_names=[part.name],
                shape_and_slices=[part.text],
                dtypes=[self.dtypes[part.name]],
            )
            try:
                return session.run(read[0])
            except tf.errors.OpError as error:
                raise self._damaged(part.name, error) from error

    def _damaged(self, name: str, error: Exception) -> CheckpointError:
        return CheckpointError(
            f"Checkpoint {self.prefix!r} is damaged: {name!r} can't be read ({_first_line(error)}). "
            "Continue from an older checkpoint of the directory."
        )

    def _difference(self, name: str, variable: Any, is_part: bool) -> str:
        """What differs between the stored variable and the model's; empty if they fit."""
        if name not in self.shapes:
            return ""
        shape = stored_shape(variable) if is_part else variable.shape
        if shape.is_compatible_with(self.shapes[name]) and variable.dtype.base_dtype == self.dtypes[name]:
            return ""
        stored = f"{self.shapes[name]} {self.dtypes[name].name} in the checkpoint"
        return f"{name}: {stored}, {shape} {variable.dtype.name} in the model"


def check_finite(prefix: str, values: Mapping[str, Any], names: Iterable[str]) -> None:
    """Refuses values that are not finite.

    Raises:
        CheckpointError: one of the values `names` holds a NaN or an infinity.
    """
    bad = sorted(n for n in names if n in values and _floating(values[n]) and not np.isfinite(np.sum(values[n] * 0)))
    if bad:
        raise CheckpointError(
            f"Checkpoint {prefix!r} holds values that are not finite in {bad}. Continue from an older checkpoint."
        )


def _floating(value: Any) -> bool:
    return np.issubdtype(np.asarray(value).dtype, np.floating)


def _mismatch(prefix: str, missing: list[str], wrong: list[str], unused: list[str]) -> str:
    lines = [f"Checkpoint {prefix!r} does not fit the model."]
    if missing:
        lines.append(f"Variables that it lacks: {missing}.")
    if wrong:
        lines.append("Variables that differ: " + "; ".join(wrong) + ".")
    if unused:
        lines.append(f"Variables that the model does not have: {unused}.")
    lines.append(
        "Use the arguments that the checkpoint was trained with, or another model_dir (warm_start_from takes parts)."
    )
    return " ".join(lines)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def write(
    prefix: str,
    values: Mapping[str, tf.Tensor],
    extra: Mapping[str, bytes] | None = None,
    parts: Mapping[str, Slice] | None = None,
) -> None:
    """Writes a checkpoint so that it is complete or not there at all.

    Args:
        prefix: path without suffix; its directory exists.
        values: variables by name.
        extra: further files of the checkpoint, suffix (with its dot) to content; in place before it.
        parts: those of the values that are slices of a partitioned variable, whose name they get.

    Raises:
        OSError: the disk is full, or the directory can't be written; nothing is left behind.
    """
    temporary = f"{prefix}.tmp-{uuid.uuid4().hex[:8]}"
    names = sorted(values)
    parts = parts or {}
    try:
        try:
            tf.raw_ops.SaveV2(
                prefix=temporary,
                tensor_names=[parts[name].name if name in parts else name for name in names],
                shape_and_slices=[parts[name].text if name in parts else "" for name in names],
                tensors=[values[name] for name in names],
            )
        except tf.errors.OpError as error:
            raise OSError(f"Checkpoint {prefix!r} could not be written: {_first_line(error)}") from error
        for suffix, content in (extra or {}).items():
            replace_file(prefix + suffix, content)
        for suffix in (_DATA, ".index"):  # The index last: it is what makes a checkpoint.
            _sync(temporary + suffix)
            Path(temporary + suffix).replace(prefix + suffix)
        _sync(str(Path(prefix).parent))
    except BaseException:
        if not exists(prefix):  # one of that name that was there before stays
            remove(prefix)
        raise
    finally:
        for left in Path(prefix).parent.glob(Path(temporary).name + "*"):
            left.unlink(missing_ok=True)


def replace_file(path: str, content: bytes) -> None:
    """Puts `content` at `path` at once: a reader sees the old file or the new one."""
    temporary = Path(f"{path}.tmp-{uuid.uuid4().hex[:8]}")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _sync(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_unfinished(directory: str) -> None:
    """Removes temporary files that a process left which was killed while it wrote a checkpoint."""
    for path in Path(directory).glob("*.tmp-*"):
        if _TEMPORARY.match(path.name):
            path.unlink(missing_ok=True)


def remove(prefix: str) -> None:
    """Removes the files of a checkpoint, the index first."""
    path = Path(prefix)
    Path(f"{prefix}.index").unlink(missing_ok=True)
    for file in path.parent.glob(path.name + ".*"):
        file.unlink(missing_ok=True)
