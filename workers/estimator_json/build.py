"""Estimators, feature columns, heads and optimizers from their JSON form.

An object is `{"type": "<function or class name>", <its arguments>}`, nested where an argument is itself such an
object. Every error is an `InvalidArgument`, a ValueError that begins with the JSON pointer of the wrong argument.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf

from app.json_pointer import escaped
from tf_estimator import head
from tf_estimator.canned.catalogue import ESTIMATORS
from tf_estimator.feature_column import Standardize
from tf_estimator.optimizer import GraphOptimizer, optimizer_class

_COLUMNS = {name: getattr(tf.feature_column, name) for name in dir(tf.feature_column) if "column" in name}
_COLUMNS["shared_embeddings"] = tf.feature_column.shared_embeddings
_HEADS = {name: getattr(head, name) for name in head.__all__ if name != "Head"}
_ACTIVATIONS = {
    "elu": tf.nn.elu,
    "gelu": tf.nn.gelu,
    "leaky_relu": tf.nn.leaky_relu,
    "linear": tf.identity,
    "relu": tf.nn.relu,
    "relu6": tf.nn.relu6,
    "selu": tf.nn.selu,
    "sigmoid": tf.sigmoid,
    "silu": tf.nn.silu,
    "softmax": tf.nn.softmax,
    "softplus": tf.nn.softplus,
    "softsign": tf.nn.softsign,
    "swish": tf.nn.silu,
    "tanh": tf.tanh,
}


class InvalidArgument(ValueError):
    """An argument in the JSON form can't be used.

    Attributes:
        pointer: JSON pointer (RFC 6901) of the argument, from the object that was given.
        reason: what is wrong with it.
    """

    def __init__(self, pointer: str, reason: str) -> None:
        super().__init__(f"{pointer or '/'}: {reason}")
        self.pointer = pointer
        self.reason = reason


def estimator_from_json(
    content: Mapping[str, Any], model_dir: Any = None, config: Any = None, warm_start_from: Any = None
) -> Any:
    """The canned estimator of `{"estimator": NAME, "args": {…}}` (or "type" for "estimator").

    Args:
        model_dir, config, warm_start_from: passed to the estimator; `args` must not contain them.

    Raises:
        InvalidArgument: an unknown estimator or argument, a missing one, or a value that can't be used.
    """
    name = content.get("estimator", content.get("type"))
    key = "/estimator" if "estimator" in content else "/type"
    if name not in ESTIMATORS:
        raise InvalidArgument(key, f"unknown estimator; use one of {sorted(ESTIMATORS)}")
    make = ESTIMATORS[name]
    given = content.get("args") or {}
    if not isinstance(given, Mapping):
        raise InvalidArgument("/args", "must be an object of argument names and values")
    own = {"model_dir": model_dir, "config": config, "warm_start_from": warm_start_from}
    for argument in own:
        if argument in given:
            raise InvalidArgument(f"/args/{argument}", "is set by the caller and can't be given here")
    args = {key: argument_from_json(key, value, f"/args/{escaped(key)}") for key, value in given.items()}
    names = inspect.signature(make).parameters
    own = {key: value for key, value in own.items() if value is not None and key in names}
    return _call(make, {**args, **own}, "/args")


def feature_columns_from_json(columns: Any, pointer: str = "") -> list[Any]:
    """Feature columns from a list of their JSON forms; `shared_embeddings` gives several.

    Raises:
        InvalidArgument: see the module.
    """
    if not isinstance(columns, list):
        raise InvalidArgument(pointer, "must be a list of feature columns")
    made: list[Any] = []
    for position, column in enumerate(columns):
        result = column_from_json(column, f"{pointer}/{position}")
        made.extend(result if isinstance(result, list) else [result])
    return made


def column_from_json(column: Any, pointer: str = "") -> Any:
    """One feature column (a list of them for `shared_embeddings`).

    Raises:
        InvalidArgument: see the module.
    """
    make, given = _typed(column, _COLUMNS, pointer, "feature column")
    args: dict[str, Any] = {}
    for key, value in given.items():
        here = f"{pointer}/{escaped(key)}"
        if key == "normalizer":
            if value is not None:
                args["normalizer_fn"] = _normalizer(value, here)
        elif key in {"categorical_column", "source_column"}:
            args[key] = column_from_json(value, here)
        elif key == "categorical_columns":
            args[key] = feature_columns_from_json(value, here)
        elif key == "keys" and isinstance(value, list):
            args[key] = [k if isinstance(k, str) else column_from_json(k, f"{here}/{i}") for i, k in enumerate(value)]
        elif key == "dtype":
            args[key] = _dtype(value, here)
        elif key == "initializer" and value is not None:
            args[key] = _initializer(value, here)
        else:
            args[key] = value
    if make is tf.feature_column.shared_embeddings:
        with tf.Graph().as_default():  # refuses to be called eagerly, for no reason that matters to us
            return list(_call(make, args, pointer))
    return _call(make, args, pointer)


def head_from_json(value: Any, pointer: str = "") -> Any:
    """A head; `heads` and `static_head` are nested.

    Raises:
        InvalidArgument: see the module.
    """
    make, given = _typed(value, _HEADS, pointer, "head")
    args = {}
    for key, argument in given.items():
        here = f"{pointer}/{escaped(key)}"
        if key == "heads" and isinstance(argument, list):
            args[key] = [head_from_json(one, f"{here}/{i}") for i, one in enumerate(argument)]
        elif key == "static_head":
            args[key] = head_from_json(argument, here)
        elif key == "weight_column":
            args[key] = _weight_column(argument, here)
        elif key in {"loss_fn", "inverse_link_fn"} and argument is not None:
            raise InvalidArgument(here, "is a function and has no JSON form; leave it out")
        else:
            args[key] = argument
    return _call(make, args, pointer)


def optimizer_from_json(value: Any, pointer: str = "") -> Any:
    """An optimizer from its name, or from `{"type": NAME, <arguments>}`, of the old library or of Keras 3.

    Raises:
        InvalidArgument: see the module.
    """
    if value is None or isinstance(value, str):
        if isinstance(value, str):
            _optimizer_class(value, pointer)
        return value
    if not isinstance(value, Mapping) or not isinstance(value.get("type"), str):
        raise InvalidArgument(pointer, 'must be a name, or an object {"type": name, …}')
    make = _optimizer_class(value["type"], f"{pointer}/type")
    args = {key: argument for key, argument in value.items() if key != "type"}
    if isinstance(args.get("learning_rate"), Mapping):
        args["learning_rate"] = _schedule(args["learning_rate"], f"{pointer}/learning_rate")
    if issubclass(make, GraphOptimizer):
        args = {key: argument for key, argument in args.items() if argument is not None}
        return _call(make, args, pointer, [*_parameters(make), *_parameters(GraphOptimizer)])
    return _call(make, args, pointer, None if "kwargs" in _parameters(make) else _parameters(make))


def argument_from_json(key: str, value: Any, pointer: str) -> Any:
    """The value of a canned estimator's argument `key`.

    Raises:
        InvalidArgument: see the module.
    """
    if key.endswith("feature_columns"):
        return None if value is None else feature_columns_from_json(value, pointer)
    if key == "head":
        return head_from_json(value, pointer)
    if key.endswith("optimizer"):
        return optimizer_from_json(value, pointer)
    if key.endswith("activation_fn"):
        return _activation(value, pointer)
    if key == "weight_column":
        return _weight_column(value, pointer)
    if key == "rnn_cell_fn" and value is not None:
        _cell(value, pointer)
        return lambda: _cell(value, pointer)
    return value


def _call(make: Callable[..., Any], args: dict[str, Any], pointer: str, names: list[str] | None = None) -> Any:
    """`make(**args)`; errors point at the argument that caused them where that is known."""
    known = list(inspect.signature(make).parameters) if names is None else names
    if "kwargs" not in known:
        for key in args:
            if key not in known:
                shown = sorted(set(known) - {"common", "hypers", "self"})
                raise InvalidArgument(f"{pointer}/{escaped(key)}", f"unknown argument; use one of {shown}")
    for key, parameter in inspect.signature(make).parameters.items():
        named = parameter.kind not in {parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL}
        if named and parameter.default is parameter.empty and key not in args:
            raise InvalidArgument(f"{pointer}/{key}", "is missing")
    try:
        return make(**args)
    except InvalidArgument:
        raise
    except (TypeError, ValueError, KeyError, AttributeError, RuntimeError) as error:
        message = str(error.args[0]) if error.args else str(error)
        about = [key for key in args if key in message]
        # The longest name: `dimension` is also found in a message about `label_dimension`.
        where = f"{pointer}/{escaped(max(about, key=len))}" if about else pointer
        raise InvalidArgument(where, message) from error


def _typed(value: Any, kinds: Mapping[str, Any], pointer: str, what: str) -> tuple[Any, dict[str, Any]]:
    if not isinstance(value, Mapping):
        raise InvalidArgument(pointer, f'must be a {what} as an object {{"type": name, …}}')
    name = value.get("type")
    if not isinstance(name, str) or name not in kinds:
        raise InvalidArgument(f"{pointer}/type", f"unknown {what}; use one of {sorted(kinds)}")
    return kinds[name], {key: argument for key, argument in value.items() if key != "type"}


def _normalizer(value: Any, pointer: str) -> Standardize:
    if not isinstance(value, Mapping) or set(value) != {"mean", "stddev"}:
        raise InvalidArgument(pointer, 'must be {"mean": number, "stddev": number}')
    for key in ("mean", "stddev"):
        if isinstance(value[key], bool) or not isinstance(value[key], (int, float)):
            raise InvalidArgument(f"{pointer}/{key}", "must be a number")
    if value["stddev"] == 0:
        raise InvalidArgument(f"{pointer}/stddev", "must not be 0; leave the normalizer out for a constant column")
    return Standardize(float(value["mean"]), float(value["stddev"]))


def _dtype(value: Any, pointer: str) -> Any:
    try:
        return tf.dtypes.as_dtype(value)
    except TypeError:
        raise InvalidArgument(pointer, "must be a data type such as float32, int64 or string") from None


def _initializer(value: Any, pointer: str) -> Any:
    names = [n.removesuffix("_initializer") for n in dir(tf.compat.v1) if n.endswith("_initializer")]
    kinds = {name: getattr(tf.compat.v1, f"{name}_initializer") for name in names}
    make, args = _typed({"type": value} if isinstance(value, str) else value, kinds, pointer, "initializer")
    return _call(make, args, pointer)


def _weight_column(value: Any, pointer: str) -> Any:
    return value if value is None or isinstance(value, str) else column_from_json(value, pointer)


def _activation(value: Any, pointer: str) -> Any:
    if value is None:
        return tf.identity
    if value not in _ACTIVATIONS:
        raise InvalidArgument(pointer, f"unknown activation; use one of {sorted(_ACTIVATIONS)} or null for linear")
    return _ACTIVATIONS[value]


def _parameters(make: Any) -> list[str]:
    return list(inspect.signature(make).parameters)


def _optimizer_class(name: str, pointer: str) -> Any:
    """The engine's class of that name, else Keras 3's, else TensorFlow 1's."""
    try:
        return optimizer_class(name)
    except ValueError as error:
        found = getattr(tf.keras.optimizers, name, None) or getattr(
            tf.compat.v1.train, f"{name.removesuffix('Optimizer')}Optimizer", None
        )
        kinds = (tf.keras.optimizers.Optimizer, tf.compat.v1.train.Optimizer)
        if not inspect.isclass(found) or not issubclass(found, kinds) or found in kinds:
            raise InvalidArgument(pointer, str(error)) from None
        return found


def _schedule(value: Mapping[str, Any], pointer: str) -> Any:
    module = tf.keras.optimizers.schedules
    kinds = {name: getattr(module, name) for name in dir(module) if inspect.isclass(getattr(module, name))}
    del kinds["LearningRateSchedule"]
    make, args = _typed(value, kinds, pointer, "learning rate schedule")
    return _call(make, args, pointer)


def _cell(value: Any, pointer: str) -> Any:
    layers = tf.keras.layers
    kinds = {name: getattr(layers, name) for name in ("GRUCell", "LSTMCell", "SimpleRNNCell", "StackedRNNCells")}
    make, args = _typed(value, kinds, pointer, "recurrent cell")
    if make is layers.StackedRNNCells and isinstance(args.get("cells"), list):
        args["cells"] = [_cell(cell, f"{pointer}/cells/{i}") for i, cell in enumerate(args["cells"])]
    return _call(make, args, pointer)
