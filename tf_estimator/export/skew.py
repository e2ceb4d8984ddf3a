"""Compares a written SavedModel with the estimator that wrote it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from . import feature, rows, serving_graph
from .feature import FeatureInfo
from .serving_graph import ServingSession


def skew_check(
    estimator: Any,
    directory: str,
    examples: Sequence[Mapping[str, Any]],
    *,
    features: Sequence[FeatureInfo] | None = None,
    checkpoint_path: str | None = None,
) -> float:
    """Runs the same rows through the estimator and through the SavedModel's default signature.

    Args:
        estimator: an `Estimator`.
        directory: a SavedModel by `export_for_serving`.
        examples: rows `{feature: value}`, at least one.
        features: as for `export_for_serving`.
        checkpoint_path: the checkpoint that was exported, None for the newest.

    Returns:
        the largest absolute difference of any number in any prediction; a string or an infinity that differs, or NaN
        on one side only, counts as infinite.

    Raises:
        ValueError: no rows, or the two sides have no prediction in common.
    """
    if not examples:
        raise ValueError("skew_check needs at least one example row.")
    infos = feature.infos(estimator, features)
    inputs = rows.arrays(examples, infos)
    predictions = estimator.predict(
        lambda: _dataset(inputs, infos), checkpoint_path=checkpoint_path, yield_single_examples=False
    )
    trainer = _by_name(next(iter(predictions)))
    kept = serving_graph.kept(estimator, infos, checkpoint_path)
    served = (None if kept is None else kept.answer(directory, inputs)) or _served(directory, inputs)
    common = sorted(set(trainer) & set(served))
    if not common:
        raise ValueError(f"Nothing to compare: the trainer gives {sorted(trainer)}, the export {sorted(served)}.")
    return max(_difference(np.asarray(trainer[name]), served[name]) for name in common)


def _served(directory: str, inputs: Mapping[str, npt.NDArray[Any]]) -> dict[str, Any]:
    """What the default signature answers.

    In a session, for `tf.saved_model.load` makes a function of each signature, which takes several times as long.
    """
    session = ServingSession(directory)
    try:
        return session.answer(inputs)
    finally:
        session.close()


def _dataset(inputs: Mapping[str, npt.NDArray[Any]], infos: Sequence[FeatureInfo]) -> tf.data.Dataset:
    """All rows as one batch, in the form in which `model_fn` gets it while training."""
    names, tensors = feature.inputs(infos), _tensors(inputs, infos)
    batch = {
        name: tensors[each.values]
        if each.lengths is None
        else feature.sparse_sequence(tensors[each.values], tensors[each.lengths])
        for name, each in names.items()
    }
    # Of no known number of rows, as other inputs of predictions are, so that one trace serves all.
    return tf.data.Dataset.from_tensor_slices(batch).batch(1 << 20)


def _tensors(inputs: Mapping[str, npt.NDArray[Any]], infos: Sequence[FeatureInfo]) -> dict[str, tf.Tensor]:
    names = feature.inputs(infos)
    dtypes = {names[info.name].values: info.tensor_dtype for info in infos}
    return {name: tf.constant(array, dtypes.get(name, tf.int64)) for name, array in inputs.items()}


def _by_name(predictions: Any) -> dict[str, Any]:
    """Predictions by the names that they have in a signature."""
    if not isinstance(predictions, Mapping):
        return {"output": predictions}
    return {"/".join(key) if isinstance(key, tuple) else key: value for key, value in predictions.items()}


def _difference(trainer: npt.NDArray[Any], served: npt.NDArray[Any]) -> float:
    if trainer.shape != served.shape:
        return float("inf")
    if not trainer.size:
        return 0.0
    if not np.issubdtype(trainer.dtype, np.number):
        return 0.0 if np.array_equal(trainer, served) else float("inf")
    same = (trainer == served) | (np.isnan(trainer) & np.isnan(served))
    # Infinity minus itself is NaN, hence the mask.
    differences = np.abs(np.subtract(trainer, served, where=~same, out=np.zeros(trainer.shape, np.float64)))
    return float(np.nan_to_num(differences, nan=np.inf).max())
