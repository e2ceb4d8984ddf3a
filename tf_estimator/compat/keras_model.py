"""`model_to_estimator`: an Estimator of a compiled Keras 3 model."""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from ..estimator import Estimator
from ..estimator_spec import EstimatorSpec
from ..export.output import PredictOutput
from ..keys import ModeKeys
from ..optimizer import resolve_optimizer
from ..optimizer.keras_optimizer import outside_graph

_v1 = tf.compat.v1


def model_to_estimator(
    keras_model: Any = None,
    keras_model_path: str | os.PathLike[str] | None = None,
    custom_objects: Mapping[str, Any] | None = None,
    model_dir: str | os.PathLike[str] | None = None,
    config: Any = None,
    checkpoint_format: str | None = None,
    metric_names_map: Mapping[str, str] | None = None,
    export_outputs: Mapping[str, str] | None = None,
) -> Estimator:
    """An Estimator that trains, evaluates and predicts with a compiled Keras model, starting from its weights.

    Each trace makes a copy of the model from its configuration; the model itself is not changed.

    Args:
        keras_model: a compiled `tf.keras.Model` that is functional or sequential and has been built.
        keras_model_path: path of a saved one instead.
        custom_objects: name to class or function of what the configuration mentions.
        model_dir: directory of checkpoints and summaries.
        config: a `RunConfig`.
        checkpoint_format: "saver" or None; checkpoints are always name-based.
        metric_names_map: the model's metric names to those in the evaluation's result.
        export_outputs: signature name to the name of the model's output that it answers, beside the default signature.

    Returns:
        an `Estimator`.

    Raises:
        ValueError: no model or two, a model that is not compiled or not built, a subclassed model, another
            `checkpoint_format`, or an unknown name in one of the maps.
    """
    if (keras_model is None) == (keras_model_path is None):
        raise ValueError("Give either keras_model or keras_model_path.")
    if checkpoint_format not in (None, "saver"):
        raise ValueError(f"checkpoint_format is {checkpoint_format!r}; checkpoints are always name-based ('saver').")
    if keras_model is None:
        keras_model = tf.keras.models.load_model(os.fspath(str(keras_model_path)), custom_objects=custom_objects)
    _check(keras_model)
    recipe = _Recipe(keras_model, custom_objects, dict(metric_names_map or {}), dict(export_outputs or {}))
    return Estimator(recipe.model_fn, model_dir=model_dir, config=config)


class _Recipe:
    """What it takes to make a model again in a graph: configuration, weights, compilation."""

    def __init__(
        self, model: Any, custom_objects: Any, metric_names_map: dict[str, str], export_outputs: dict[str, str]
    ) -> None:
        # A sequential model has one output, its last layer's.
        self._outputs = list(getattr(model, "output_names", None) or [model.layers[-1].name])
        unknown = sorted(set(export_outputs.values()) - set(self._outputs))
        if unknown:
            raise ValueError(f"export_outputs names {unknown}; the model's outputs are {self._outputs}.")
        self._type, self._config, self._custom = type(model), model.get_config(), custom_objects
        self._weights = [variable.numpy() for variable in model.variables]
        self._compile = {**model.get_compile_config()}
        self._optimizer = self._compile.pop("optimizer")
        self._metric_names, self._export_outputs = metric_names_map, export_outputs

    def model_fn(self, features: Any, labels: Any, mode: str) -> EstimatorSpec:
        model = self._model()
        inputs = _inputs(model, features)
        outputs = model(inputs, training=mode == ModeKeys.TRAIN)
        predictions = dict(zip(self._outputs, tf.nest.flatten(outputs), strict=True))
        if mode == ModeKeys.PREDICT:
            signatures = {name: PredictOutput({key: predictions[key]}) for name, key in self._export_outputs.items()}
            signatures[tf.saved_model.DEFAULT_SERVING_SIGNATURE_DEF_KEY] = PredictOutput(predictions)
            return EstimatorSpec(mode, predictions, export_outputs=signatures, scaffold=self._scaffold(model))
        loss = model.compute_loss(inputs, labels, outputs)
        if mode == ModeKeys.EVAL:
            model.compute_metrics(inputs, labels, outputs)
            metrics = {"compiled": _CompiledMetrics(model, self._metric_names)} if _metrics(model) else None
            return EstimatorSpec(mode, predictions, loss, eval_metric_ops=metrics, scaffold=self._scaffold(model))
        optimizer = resolve_optimizer(
            outside_graph(lambda: tf.keras.optimizers.deserialize(copy.deepcopy(self._optimizer)))
        )
        train_op = optimizer.minimize(
            loss, [variable.value for variable in model.trainable_variables], _v1.train.get_global_step()
        )
        return EstimatorSpec(mode, predictions, loss, train_op, scaffold=self._scaffold(model))

    def _model(self) -> Any:
        with tf.keras.utils.custom_object_scope(self._custom or {}):
            # Copies, for Keras takes them apart.
            model = self._type.from_config(copy.deepcopy(self._config))
            compilation = tf.keras.utils.deserialize_keras_object(copy.deepcopy(self._compile))
        names = ("loss", "loss_weights", "metrics", "weighted_metrics")
        model.compile(optimizer=None, **{name: compilation.get(name) for name in names})
        return model

    def _scaffold(self, model: Any) -> Any:
        variables = [variable.value for variable in model.variables]

        def init(_: Any, session: Any) -> None:
            for variable, value in zip(variables, self._weights, strict=False):
                # Through the initializer, whose op any session of this graph has.
                session.run(variable.initializer, {variable.initializer.inputs[1]: value})

        return _v1.train.Scaffold(init_fn=init)


class _CompiledMetrics:
    """The metrics that a model was compiled with, as one metric with several values."""

    def __init__(self, model: Any, names: Mapping[str, str]) -> None:
        self._model, self._names = model, names
        self.name = "compiled"
        self.variables = [variable for metric in _metrics(model) for variable in metric.variables]

    def result(self) -> dict[str, Any]:
        values = self._model.get_metrics_result()
        unknown = sorted(set(self._names) - set(values))
        if unknown:
            raise ValueError(f"metric_names_map names {unknown}; the model's metrics are {sorted(values)}.")
        # Every evaluation has a `loss` of its own.
        return {self._names.get(name, name): value for name, value in values.items() if name != "loss"}


def _metrics(model: Any) -> list[Any]:
    return [metric for metric in model.metrics if metric.name != "loss"]


def _inputs(model: Any, features: Any) -> Any:
    """The features as the model takes them: one tensor, or a dict by input name."""
    if not isinstance(features, Mapping):
        return features
    names = [tensor.name for tensor in model.inputs]
    if len(names) == 1:
        (name,) = names
        return features[name] if name in features else next(iter(features.values()))
    missing = sorted(set(names) - set(features))
    if missing:
        raise ValueError(f"The model has the inputs {names}; the features lack {missing}.")
    return {name: features[name] for name in names}


def _check(model: Any) -> None:
    if not isinstance(model, tf.keras.Model):
        raise ValueError(f"keras_model must be a tf.keras.Model, not {type(model).__name__}.")
    if not model.built or not getattr(model, "inputs", None):
        raise ValueError("The model must be functional or sequential and built: give it an Input layer.")
    if not model.compiled or model.optimizer is None:
        raise ValueError("The model must be compiled with an optimizer and a loss; call model.compile(...) first.")
