"""Warm start: initial values of a new model out of an older one's checkpoint."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from ..errors import CheckpointError
from ..variables import TracedVariable, VariableSet
from . import files
from .partition import slice_of, stored_name, stored_shape


class VocabInfo(NamedTuple):
    """How the vocabulary behind a variable changed.

    Attributes:
        new_vocab: file of the new vocabulary, a word a line.
        new_vocab_size: how many of its lines count.
        num_oov_buckets: rows of the variable after those of the vocabulary.
        old_vocab: file of the vocabulary that the checkpoint was trained with.
        old_vocab_size: how many of its lines count, -1 for all.
        backup_initializer: gives the values of words that the old vocabulary lacks; zeros if None.
        axis: 0 if words are rows of the variable (embeddings), 1 if columns (an output layer).
    """

    new_vocab: str
    new_vocab_size: int
    num_oov_buckets: int
    old_vocab: str
    old_vocab_size: int = -1
    backup_initializer: Any = None
    axis: int = 0


class _Settings(NamedTuple):
    ckpt_to_initialize_from: str
    vars_to_warm_start: Any
    var_name_to_vocab_info: Mapping[str, VocabInfo]
    var_name_to_prev_var_name: Mapping[str, str]


class WarmStartSettings(_Settings):
    """What a warm start takes from where.

    Args:
        ckpt_to_initialize_from: a checkpoint, its directory, or a SavedModel's directory.
        vars_to_warm_start: a regular expression that trainable variables' names must contain ('.*': all of them); a
            list of such expressions for any variables; a list of variables; None for those with a vocabulary only.
        var_name_to_vocab_info: variables whose rows move with their vocabulary.
        var_name_to_prev_var_name: names in the checkpoint, where they differ.

    Raises:
        ValueError: no checkpoint is given.
    """

    __slots__ = ()

    def __new__(
        cls,
        ckpt_to_initialize_from: Any,
        vars_to_warm_start: Any = ".*",
        var_name_to_vocab_info: Mapping[str, VocabInfo] | None = None,
        var_name_to_prev_var_name: Mapping[str, str] | None = None,
    ) -> WarmStartSettings:
        if not ckpt_to_initialize_from:
            raise ValueError("`ckpt_to_initialize_from` MUST be set in WarmStartSettings: the path of a checkpoint.")
        return super().__new__(
            cls,
            os.fspath(ckpt_to_initialize_from),
            vars_to_warm_start,
            dict(var_name_to_vocab_info or {}),
            dict(var_name_to_prev_var_name or {}),
        )

    def apply(self, variables: list[TracedVariable], state: VariableSet) -> None:
        """Sets the variables of `state` that are to be warm-started.

        Raises:
            ValueError: a variable is not in the checkpoint, its shape differs, or a name in the settings is unused.
        """
        reader = files.CheckpointReader(_prefix(self.ckpt_to_initialize_from))
        chosen = self._chosen(variables)
        known = {_name(t) for t in chosen}
        for what, names in (
            ("var_name_to_vocab_info", self.var_name_to_vocab_info),
            ("var_name_to_prev_var_name", self.var_name_to_prev_var_name),
        ):
            unused = sorted(set(names) - known)
            if unused:
                raise ValueError(
                    f"{what} names {unused}, which are not warm-started; variables that are: {sorted(known)}."
                )
        state.assign({t.name: self._value(t, reader) for t in chosen})

    def _chosen(self, traced: list[TracedVariable]) -> list[TracedVariable]:
        wanted = self.var_name_to_vocab_info
        patterns = self.vars_to_warm_start
        if patterns is None:
            return [t for t in traced if _name(t) in wanted]
        if isinstance(patterns, str):
            return [t for t in traced if _name(t) in wanted or (t.trainable and re.match(patterns, _name(t)))]
        if not isinstance(patterns, list | tuple):
            raise ValueError(f"vars_to_warm_start must be a regular expression, a list or None, not {patterns!r}.")
        names = {getattr(p, "path", None) or p.op.name for p in _parts(patterns)}
        texts = [p for p in patterns if isinstance(p, str)]
        return [
            t
            for t in traced
            if _name(t) in wanted or t.name in names or any(re.match(text, _name(t)) for text in texts)
        ]

    def _value(self, traced: TracedVariable, reader: files.CheckpointReader) -> Any:
        own = _name(traced)
        name = self.var_name_to_prev_var_name.get(own, own)
        try:
            value = np.asarray(reader.value(name))
        except CheckpointError as error:
            raise ValueError(
                f"Tensor {name} is not found in {reader.prefix} checkpoint; it has {sorted(reader.shapes)}. Leave the "
                "variable out of vars_to_warm_start, or name it in var_name_to_prev_var_name."
            ) from error
        info = self.var_name_to_vocab_info.get(own)
        if info is not None:
            value = _remap(value, info, traced)
        shape = stored_shape(traced.variable)
        if not shape.is_compatible_with(value.shape):
            raise ValueError(
                f"Shape of variable {own} ({shape}) doesn't match with shape of tensor {name} "
                f"({list(value.shape)}) from the checkpoint; use a VocabInfo where its vocabulary changed."
            )
        part = slice_of(traced.variable)
        return value if part is None else part.cut(value)


def _name(traced: TracedVariable) -> str:
    return stored_name(traced.name, traced.variable)


def _parts(variables: Iterable[Any]) -> Iterator[Any]:
    """The variables among patterns, partitioned ones part by part."""
    for variable in variables:
        if not isinstance(variable, str):
            yield from variable if type(variable).__name__ == "PartitionedVariable" else [variable]


def settings_from(given: Any) -> WarmStartSettings:
    """The settings that `warm_start_from` stands for.

    Raises:
        ValueError: it is neither a path nor `WarmStartSettings`.
    """
    if isinstance(given, WarmStartSettings):
        return given
    if isinstance(given, str | bytes | os.PathLike):
        return WarmStartSettings(os.fsdecode(given))
    raise ValueError(f"warm_start_from must be a path or est.WarmStartSettings, not {type(given).__name__}.")


def _prefix(path: str) -> str:
    """Checkpoint prefix of a checkpoint, a directory of checkpoints, or a SavedModel."""
    if files.exists(path):
        return path
    saved_model = Path(path) / "variables" / "variables"
    if files.exists(str(saved_model)):
        return str(saved_model)
    latest = files.latest(path) if Path(path).is_dir() else None
    if latest is None:
        raise CheckpointError(
            f"No checkpoint to warm-start from at {path!r}; give a checkpoint, its directory or a SavedModel."
        )
    return latest


def _remap(old: Any, info: VocabInfo, traced: TracedVariable) -> Any:
    """The new value: entries of known words moved, the others initialized."""
    old_words = _words(info.old_vocab, info.old_vocab_size)
    position = {word: i for i, word in enumerate(old_words)}
    new_words = _words(info.new_vocab, info.new_vocab_size)
    shape = [int(n) for n in stored_shape(traced.variable)]
    size = len(new_words) + info.num_oov_buckets
    if size != shape[info.axis]:
        raise ValueError(
            f"{_name(traced)} has {shape[info.axis]} entries on axis {info.axis}, its VocabInfo says {len(new_words)} "
            f"words and {info.num_oov_buckets} out-of-vocabulary buckets."
        )
    initializer = info.backup_initializer or tf.zeros_initializer()
    made = np.moveaxis(np.array(initializer(shape, traced.variable.dtype.base_dtype)), info.axis, 0)
    source = np.moveaxis(old, info.axis, 0)
    pairs = [(i, position[word]) for i, word in enumerate(new_words) if word in position]
    if pairs:
        rows, old_rows = (list(part) for part in zip(*pairs, strict=True))
        made[rows] = source[old_rows]
    return np.moveaxis(made, 0, info.axis)


def _words(path: str, size: int) -> list[str]:
    words = Path(path).read_text(encoding="utf-8").splitlines()
    if size > len(words):
        raise ValueError(f"Vocabulary {path!r} has {len(words)} lines, {size} are asked for.")
    return words if size < 0 else words[:size]
