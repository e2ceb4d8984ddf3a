"""`model_to_estimator`: an Estimator of a compiled Keras 3 model."""

from __future__ import annotations

import copy
import inspect
import os
from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from ..checks import checked_config
from ..estimator import Estimator
from ..estimator_spec import EstimatorSpec
from ..export_output import PredictOutput
from ..feature_column.dense_features import known_columns, layers_with_columns
from ..keys import ModeKeys
from ..optimizer import resolve_optimizer
from ..optimizer.keras_optimizer import outside_graph
from .keras_compilation import compilation_of, compile_again
from .keras_inputs import inputs_of, split_weights

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
    """An Estimator that trains, evaluates, predicts and exports with a compiled Keras model, starting from its weights.

    Each trace makes a copy of the model from its configuration; the model itself is not changed. `input_fn` gives the
    model's inputs by name, or `{"features": inputs, "sample_weights": float [batch]}`.

    Args:
        keras_model: a compiled `tf.keras.Model`. A subclassed one has a constructor without arguments, or a
            `get_config` that returns them.
        keras_model_path: path of a saved one instead.
        custom_objects: name to class or function of what the configuration mentions.
        model_dir: directory of checkpoints and summaries.
        config: a `RunConfig`.
        checkpoint_format: "saver", "checkpoint" or None. Checkpoints are name-based with each of them; those of
            "checkpoint" that the old library wrote, object-based, are read.
        metric_names_map: the model's metric names to those in the evaluation's result.
        export_outputs: signature name to the name of the model's output that it answers, beside the default signature.

    Returns:
        an `Estimator`. Until it is trained, it evaluates, predicts and exports with the weights that the model has.

    Raises:
        ValueError: no model or two, a model that is not compiled or can't be copied, eager execution switched off,
            another `checkpoint_format`, or an unknown name in one of the maps.
    """
    if (keras_model is None) == (keras_model_path is None):
        raise ValueError("Give either keras_model or keras_model_path.")
    if checkpoint_format not in (None, "saver", "checkpoint"):
        raise ValueError(f"checkpoint_format must be 'checkpoint' or 'saver', not {checkpoint_format!r}.")
    checked_config(config)
    if keras_model is None:
        keras_model = tf.keras.models.load_model(os.fspath(str(keras_model_path)), custom_objects=custom_objects)
    _check(keras_model)
    recipe = _Recipe(keras_model, custom_objects, dict(metric_names_map or {}), dict(export_outputs or {}))
    estimator = Estimator(recipe.model_fn, model_dir=model_dir, config=config)
    estimator._exports_untrained = True
    return estimator


class _Recipe:
    """What it takes to make a model again in a graph: configuration, weights, compilation."""

    def __init__(
        self, model: Any, custom_objects: Any, metric_names_map: dict[str, str], export_outputs: dict[str, str]
    ) -> None:
        self._outputs = _output_names(model)
        unknown = sorted(set(export_outputs.values()) - set(self._outputs or export_outputs.values()))
        if unknown:
            raise ValueError(f"export_outputs names {unknown}; the model's outputs are {self._outputs}.")
        self._type, self._custom = type(model), {**_own_classes(model), **(custom_objects or {})}
        self._columns = layers_with_columns(model)
        self._config = _configuration(model)
        self._weights = [v.numpy() for v in _keras_variables(model)]
        self._compile = compilation_of(model)
        self._optimizer = tf.keras.optimizers.serialize(model.optimizer)
        self._metric_names, self._export_outputs = metric_names_map, export_outputs

    def model_fn(self, features: Any, labels: Any, mode: str) -> EstimatorSpec:
        model = self._model()
        features, weights = split_weights(features)
        inputs = inputs_of(model, features)
        outputs = model(inputs, training=mode == ModeKeys.TRAIN)
        scaffold = self._scaffold(model)
        names = self._outputs or _output_names(model) or _numbered(outputs)
        predictions = _named(outputs, names)
        if mode == ModeKeys.PREDICT:
            signatures = {name: PredictOutput({key: predictions[key]}) for name, key in self._export_outputs.items()}
            signatures[tf.saved_model.DEFAULT_SERVING_SIGNATURE_DEF_KEY] = PredictOutput(predictions)
            return EstimatorSpec(mode, predictions, export_outputs=signatures, scaffold=scaffold)
        compile_again(model, self._compile, names)
        if len(names) > 1:  # By name, as loss and metrics are.
            outputs, labels, weights = predictions, _named(labels, names), _named(weights, names)
        loss = model.compute_loss(inputs, labels, outputs, weights)
        if mode == ModeKeys.EVAL:
            model.compute_metrics(inputs, labels, outputs, weights)
            metrics = {"compiled": _CompiledMetrics(model, names, self._metric_names)} if _metrics(model) else None
            _keep_out_of_checkpoints(model)
            return EstimatorSpec(mode, predictions, loss, eval_metric_ops=metrics, scaffold=scaffold)
        _keep_out_of_checkpoints(model)
        return EstimatorSpec(mode, predictions, loss, self._train_op(model, loss), scaffold=scaffold)

    def _train_op(self, model: Any, loss: Any) -> Any:
        step = _v1.train.get_global_step()
        plain = [getattr(variable, "value", variable) for variable in model.trainable_variables]
        if not plain:
            return step.assign_add(1)
        optimizer = resolve_optimizer(
            outside_graph(lambda: tf.keras.optimizers.deserialize(copy.deepcopy(self._optimizer)))
        )
        return optimizer.minimize(loss, plain, step)

    def _model(self) -> Any:
        with tf.keras.utils.custom_object_scope(self._custom), known_columns(self._columns):
            # A copy of the configuration, for Keras takes it apart.
            return self._type() if self._config is None else self._type.from_config(copy.deepcopy(self._config))

    def _scaffold(self, model: Any) -> Any:
        """Gives the copy its weights where there is no checkpoint.

        Raises:
            ValueError: the copy has other variables than the model.
        """
        made = _keras_variables(model)
        # Without weights the model is not built yet: then the initial values count.
        if self._weights and [tuple(v.shape) for v in made] != [w.shape for w in self._weights]:
            raise ValueError(
                f"The copy of the Keras model has the variables {[(v.path, tuple(v.shape)) for v in made]}, the model "
                f"itself some of the shapes {[w.shape for w in self._weights]}; make all layers in its constructor."
            )
        pairs = list(zip(made, self._weights, strict=True)) if self._weights else []

        def init(_: Any, session: Any) -> None:
            for variable, value in pairs:
                # Through the initializer, whose op any session of this graph has.
                initializer = variable.value.initializer
                session.run(initializer, {initializer.inputs[1]: value})

        return _v1.train.Scaffold(init_fn=init)


class _CompiledMetrics:
    """The metrics that a model was compiled with, as one metric with several values."""

    def __init__(self, model: Any, outputs: list[str], names: Mapping[str, str]) -> None:
        self._model, self._names = model, names
        self._losses = {"loss", *(f"{name}_loss" for name in outputs if len(outputs) > 1)}
        self.name = "compiled"
        self.variables = [variable for metric in _metrics(model) for variable in metric.variables]

    def result(self) -> dict[str, Any]:
        # Every evaluation has a `loss` of its own, and those of single outputs were never reported.
        values = {n: v for n, v in self._model.get_metrics_result().items() if n not in self._losses}
        unknown = sorted(set(self._names) - set(values))
        if unknown:
            raise ValueError(f"metric_names_map names {unknown}; the model's metrics are {sorted(values)}.")
        return {self._names.get(name, name): value for name, value in values.items()}


def _metrics(model: Any) -> list[Any]:
    return [metric for metric in model.metrics if metric.name != "loss"]


def _keep_out_of_checkpoints(model: Any) -> None:
    """Makes the variables of metrics, the loss' own among them, local ones."""
    given = [compiled for name, compiled in compilation_of(model).items() if "metrics" in name]
    objects = [item for item in tf.nest.flatten(given) if isinstance(item, tf.keras.metrics.Metric)]
    for metric in [*model.metrics, *objects]:
        for variable in metric.variables:
            for key in (_v1.GraphKeys.LOCAL_VARIABLES, _v1.GraphKeys.METRIC_VARIABLES):
                _v1.add_to_collection(key, variable.value)


def _keras_variables(model: Any) -> list[Any]:
    """The variables of a model, those of metrics, optimizer and feature columns left out."""
    others = {id(v) for metric in model.metrics for v in metric.variables}
    return [v for v in model.variables if isinstance(v, tf.keras.Variable) and id(v) not in others]


def _output_names(model: Any) -> list[str]:
    """Names of the outputs; none for a subclass, whose outputs are unknown before it is called."""
    if getattr(model, "output_names", None):
        return list(model.output_names)
    # A sequential model has one output, its last layer's.
    return [model.layers[-1].name] if isinstance(model, tf.keras.Sequential) else []


def _numbered(outputs: Any) -> list[str]:
    if isinstance(outputs, Mapping):
        return sorted(outputs)
    return [f"output_{i + 1}" for i in range(len(tf.nest.flatten(outputs)))]


def _named(values: Any, names: list[str]) -> Any:
    """A nest as a dict by output name; None and single tensors for several outputs as they are."""
    if isinstance(values, Mapping) and set(values) == set(names):
        return dict(values)
    parts = tf.nest.flatten(values)
    return dict(zip(names, parts, strict=True)) if len(parts) == len(names) and values is not None else values


def _configuration(model: Any) -> dict[str, Any] | None:
    """The configuration of a model; None for a subclass that is made without arguments.

    Raises:
        ValueError: the arguments of the subclass' constructor are unknown.
    """
    kind = type(model)
    if _output_names(model) or kind.get_config is not tf.keras.Model.get_config:
        return dict(model.get_config())
    parameters = list(inspect.signature(kind.__init__).parameters.values())[1:]
    own = [p.name for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD) and p.name not in _OF_LAYERS]
    if own:
        raise ValueError(
            f"The model {kind.__name__} can't be copied, for its constructor takes {own}: give it a get_config() that "
            "returns them."
        )
    return None


#: Arguments that each layer of Keras has.
_OF_LAYERS = ("name", "trainable", "dtype", "activity_regularizer", "autocast")


def _own_classes(model: Any) -> dict[str, Any]:
    """Classes of layers that are not Keras' own, by name: a local class can't be found by its module."""
    layers = model._flatten_layers() if hasattr(model, "_flatten_layers") else model.layers
    return {type(layer).__name__: type(layer) for layer in layers if not type(layer).__module__.startswith("keras.")}


def _check(model: Any) -> None:
    if not isinstance(model, tf.keras.Model):
        raise ValueError(f"keras_model must be a tf.keras.Model, not {type(model).__name__}.")
    if not tf.executing_eagerly():
        raise ValueError(
            "Keras 3 reads a model's weights and optimizer in eager mode only, and it is off: remove "
            "disable_eager_execution() or disable_v2_behavior() (or the tf.Graph around this call). What an Estimator "
            "does stays the same: it builds graphs either way."
        )
    if not model.compiled or model.optimizer is None:
        raise ValueError("The model must be compiled with an optimizer and a loss; call model.compile(...) first.")
