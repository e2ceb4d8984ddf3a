"""Generates `app/jobs/estimators.json`, the JSON Schema of all arguments, from the engine's signatures.

    python -m workers.estimator_json.schema            writes the file
    python -m workers.estimator_json.schema --check    exits 1 when the file is not what the signatures say

The API imports no engine, so it checks requests against this file. A new argument in the engine must be given its
JSON form here, or be named as one that JSON cannot carry: until then the generator, and so the drift test, fails.
"""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

PATH = Path(__file__).parents[2] / "app" / "jobs" / "estimators.json"

Schema = dict[str, Any]


def _ref(name: str) -> Schema:
    return {"$ref": f"#/$defs/{name}"}


def _nullable(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


def _list(items: Schema, least: int = 0, most: int = 10_000) -> Schema:
    return {"type": "array", "items": items, "minItems": least, "maxItems": most}


_NAME: Schema = {"type": "string", "minLength": 1, "maxLength": 200}
_TEXT: Schema = {"type": "string", "maxLength": 10_000}
_SIZE: Schema = {"type": "integer", "minimum": 1, "maximum": 1_000_000}
_BUCKETS: Schema = {"type": "integer", "minimum": 1, "maximum": 2_000_000_000}
_NUMBER: Schema = {"type": "number"}
_POSITIVE: Schema = {"type": "number", "exclusiveMinimum": 0}
_NOT_NEGATIVE: Schema = {"type": "number", "minimum": 0}
_FRACTION: Schema = {"type": "number", "minimum": 0, "maximum": 1}
_FLAG: Schema = {"type": "boolean"}
_DTYPES = ["float32", "float64", "int32", "int64"]
_ACTIVATION: Schema = {
    "enum": [
        *("elu", "gelu", "leaky_relu", "linear", "relu", "relu6", "selu", "sigmoid", "silu", "softmax", "softplus"),
        *("softsign", "swish", "tanh", None),
    ]
}
_COMBINER: Schema = {"enum": ["sum", "mean", "sqrtn"]}
_CATEGORIES: Schema = _list({"type": ["string", "integer"], "maxLength": 1000}, 1, 1_000_000)
_NORMALIZER: Schema = {
    "anyOf": [
        {
            "type": "object",
            "properties": {"mean": _NUMBER, "stddev": _POSITIVE},
            "required": ["mean", "stddev"],
            "additionalProperties": False,
        },
        {"enum": ["zscore", None]},
    ],
    "default": None,
}
_REDUCTIONS = ("sum", "sum_over_batch_size", "auto", "mean", "weighted_mean", "weighted_sum_by_nonzero_weights")
_UNITS = _list(_SIZE, 0, 100)
_WHOLE: Schema = {"type": "integer"}

#: argument name to its JSON form, whatever function or class it belongs to
ARGUMENTS: dict[str, Schema] = {
    # estimators
    "feature_columns": _list(_ref("column")),
    "linear_feature_columns": _nullable(_list(_ref("column"))),
    "dnn_feature_columns": _nullable(_list(_ref("column"))),
    "sequence_feature_columns": _list(_ref("column"), 1),
    "context_feature_columns": _nullable(_list(_ref("column"))),
    "hidden_units": _UNITS,
    "dnn_hidden_units": _nullable(_UNITS),
    "units": _nullable(_list(_SIZE, 1, 100)),
    "cell_type": {"enum": ["simple_rnn", "lstm", "gru"]},
    "return_sequences": _FLAG,
    "sequence_mask": _NAME,
    "optimizer": _ref("optimizer"),
    "linear_optimizer": _ref("optimizer"),
    "dnn_optimizer": _ref("optimizer"),
    "activation_fn": _ACTIVATION,
    "dnn_activation_fn": _ACTIVATION,
    "dropout": _nullable({"type": "number", "minimum": 0, "maximum": 0.999}),
    "dnn_dropout": _nullable({"type": "number", "minimum": 0, "maximum": 0.999}),
    "batch_norm": _FLAG,
    "sparse_combiner": _COMBINER,
    "linear_sparse_combiner": _COMBINER,
    "head": _ref("head"),
    # heads, and estimators that make their own
    "n_classes": {"type": "integer", "minimum": 2, "maximum": 1_000_000},
    "label_vocabulary": _nullable(_CATEGORIES),
    "label_dimension": {"type": "integer", "minimum": 1, "maximum": 100_000},
    "weight_column": _nullable({"anyOf": [_NAME, _ref("numeric_column")]}),
    "loss_reduction": {"enum": [*_REDUCTIONS, *(name.upper() for name in _REDUCTIONS)]},
    "thresholds": _nullable(_list({"type": "number", "exclusiveMinimum": 0, "maximum": 1}, 1, 1000)),
    "classes_for_class_based_metrics": _nullable(_CATEGORIES),
    "compute_full_loss": _FLAG,
    "heads": _list(_ref("head"), 1, 100),
    "head_weights": _nullable(_list(_NUMBER, 1, 100)),
    "static_head": _ref("head"),
    "sequence_length_mask": _NAME,
    # feature columns
    "key": _NAME,
    "keys": _list({"anyOf": [_NAME, _ref("column")]}, 2, 100),
    "shape": {"anyOf": [_SIZE, _list(_SIZE, 0, 8)]},
    "normalizer_fn": _NORMALIZER,
    "boundaries": _list(_NUMBER, 1, 100_000),
    "source_column": _ref("numeric_column"),
    "categorical_column": _ref("column"),
    "categorical_columns": _list(_ref("column"), 1, 100),
    "dimension": _SIZE,
    "combiner": _COMBINER,
    "max_norm": _nullable(_POSITIVE),
    "trainable": _FLAG,
    "hash_bucket_size": _BUCKETS,
    "hash_key": _nullable(_WHOLE),
    "num_buckets": _BUCKETS,
    "vocabulary_list": _CATEGORIES,
    "num_oov_buckets": {"type": "integer", "minimum": 0, "maximum": 1_000_000_000},
    "default_value": {"type": ["integer", "number", "array", "null"], "items": _NUMBER},
    "weight_feature_key": _NAME,
    "initializer": _nullable(_ref("initializer")),
    "use_safe_embedding_lookup": _FLAG,
    "shared_embedding_collection_name": _nullable(_NAME),
    # initializers
    "value": _NUMBER,
    "mean": _NUMBER,
    "stddev": _NOT_NEGATIVE,
    "minval": _NUMBER,
    "maxval": _NUMBER,
    "scale": _POSITIVE,
    "gain": _NUMBER,
    "mode": {"enum": ["fan_in", "fan_out", "fan_avg"]},
    "distribution": {"enum": ["normal", "uniform", "truncated_normal", "untruncated_normal"]},
    "seed": _nullable(_WHOLE),
    # optimizers
    "decay": _NOT_NEGATIVE,
    "schedule_decay": _NOT_NEGATIVE,
    "learning_rate": {"anyOf": [{"type": "number", "exclusiveMinimum": 0, "maximum": 1e6}, _ref("schedule")]},
    "initial_learning_rate": {"type": "number", "exclusiveMinimum": 0, "maximum": 1e6},
    "end_learning_rate": _NOT_NEGATIVE,
    "decay_steps": {"type": "integer", "minimum": 1},
    "first_decay_steps": {"type": "integer", "minimum": 1},
    "decay_rate": _POSITIVE,
    "staircase": _FLAG,
    "power": _NUMBER,
    "cycle": _FLAG,
    "alpha": _NOT_NEGATIVE,
    "t_mul": _POSITIVE,
    "m_mul": _POSITIVE,
    "warmup_target": _nullable(_POSITIVE),
    "warmup_steps": {"type": "integer", "minimum": 0},
    "values": _list(_POSITIVE, 1, 1000),
    "name": _nullable(_NAME),
    "momentum": {"type": "number", "minimum": 0, "maximum": 1},
    "nesterov": _FLAG,
    "beta": _NOT_NEGATIVE,
    "beta_1": _FRACTION,
    "beta_2": _FRACTION,
    "beta_2_decay": _NUMBER,
    "rho": _FRACTION,
    "epsilon": _NOT_NEGATIVE,
    "epsilon_1": _NOT_NEGATIVE,
    "epsilon_2": _NOT_NEGATIVE,
    "amsgrad": _FLAG,
    "centered": _FLAG,
    "initial_accumulator_value": _NOT_NEGATIVE,
    "learning_rate_power": {"type": "number", "maximum": 0},
    "l1_regularization_strength": _NOT_NEGATIVE,
    "l2_regularization_strength": _NOT_NEGATIVE,
    "l2_shrinkage_regularization_strength": _NOT_NEGATIVE,
    "weight_decay": _nullable(_NOT_NEGATIVE),
    "clipnorm": _nullable(_POSITIVE),
    "clipvalue": _nullable(_POSITIVE),
    "global_clipnorm": _nullable(_POSITIVE),
    "clip_threshold": _POSITIVE,
    "relative_step": _FLAG,
    "use_ema": _FLAG,
    "ema_momentum": _FRACTION,
    "ema_overwrite_frequency": _nullable({"type": "integer", "minimum": 1}),
    "ns_steps": {"type": "integer", "minimum": 1, "maximum": 100},
    "adam_beta_1": _FRACTION,
    "adam_beta_2": _FRACTION,
    "adam_weight_decay": _nullable(_NOT_NEGATIVE),
    "adam_lr_ratio": _POSITIVE,
    "exclude_layers": _nullable(_list(_NAME, 0, 1000)),
    "exclude_embeddings": _FLAG,
    "muon_a": _NUMBER,
    "muon_b": _NUMBER,
    "muon_c": _NUMBER,
    "rms_rate": _nullable(_NOT_NEGATIVE),
}

#: (function or class, argument) where the form is another one
SPECIAL: dict[tuple[str, str], Schema] = {
    ("PiecewiseConstantDecay", "boundaries"): _list({"type": "integer", "minimum": 1}, 1, 1000),
    ("numeric_column", "dtype"): {"enum": _DTYPES},
    ("sequence_numeric_column", "dtype"): {"enum": _DTYPES},
    ("sequence_numeric_column", "default_value"): _NUMBER,
    ("weighted_categorical_column", "dtype"): {"enum": ["float32", "float64"]},
    ("bucketized_column", "boundaries"): _list(_NUMBER, 1, 100_000),
}
_CATEGORY_DTYPE: Schema = {"enum": ["string", "int32", "int64", None]}

#: arguments that JSON does not carry: made by the service, code, or a path
LEFT_OUT = frozenset(
    {
        *("self", "args", "kwargs", "common", "hypers", "model_dir", "config", "warm_start_from"),
        *("rnn_cell_fn", "loss_fn", "inverse_link_fn", "ckpt_to_load_from", "tensor_name_in_ckpt"),
        *("loss_scale_factor", "gradient_accumulation_steps", "partition_info", "verify_shape"),
    }
)
#: JSON's name for an argument that is a function in Python
RENAMED = {"normalizer_fn": "normalizer"}
#: columns that would open a file of the caller's naming
NO_COLUMNS = frozenset(
    {
        "categorical_column_with_vocabulary_file",
        "sequence_categorical_column_with_vocabulary_file",
        "make_parse_example_spec",
    }
)
#: initializers of embeddings, as TensorFlow names them without `_initializer`
INITIALIZERS = (
    *("constant", "glorot_normal", "glorot_uniform", "ones", "orthogonal", "random_normal", "random_uniform"),
    *("truncated_normal", "variance_scaling", "zeros"),
)


def generate() -> Schema:
    """The file's content: `estimators`, `heads`, `columns`, `optimizers`, `schedules` name their types; `$defs` holds
    the JSON Schema of each (of an estimator: of its `args`)."""
    import keras
    import tensorflow as tf

    import tf_estimator as est
    from tf_estimator.canned.catalogue import ESTIMATORS

    columns = {
        name: function
        for name, function in vars(tf.feature_column).items()
        if callable(function) and not name.startswith("_") and name not in NO_COLUMNS
    }
    schedule = keras.optimizers.schedules.LearningRateSchedule
    groups = {
        "head": _classes(est, est.Head, without={"Head"}),
        "column": columns,
        "optimizer": _optimizers(),
        "initializer": {name: getattr(tf.compat.v1, f"{name}_initializer") for name in INITIALIZERS},
        "schedule": _classes(keras.optimizers.schedules, schedule, without={"LearningRateSchedule"}),
    }
    defs: Schema = {name: _arguments(name, cls) for name, cls in sorted(ESTIMATORS.items())}
    defs["Estimator"] = _catalogue_arguments()
    for group, members in groups.items():
        for name, function in sorted(members.items()):
            defs[name] = _arguments(name, function, typed=True)
        mapping = {name: f"#/$defs/{name}" for name in sorted(members)}
        defs[group] = {
            "anyOf": [_ref(name) for name in mapping],
            "discriminator": {"propertyName": "type", "mapping": mapping},
        }
    for group in ("optimizer", "initializer"):  # a name alone will do
        defs[group]["anyOf"].append({"enum": sorted(groups[group])})
    return {
        "format": 1,
        "estimators": sorted([*ESTIMATORS, "Estimator"]),
        **{f"{group}s": sorted(members) for group, members in groups.items()},
        "$defs": defs,
    }


def _classes(module: Any, base: type, without: set[str]) -> dict[str, Any]:
    found = {}
    for name in dir(module):
        member = getattr(module, name)
        if inspect.isclass(member) and issubclass(member, base) and name not in without and not name.startswith("_"):
            found[name] = member
    return found


def _optimizers() -> dict[str, Any]:
    """The engine's optimizers by old and new names, and Keras 3's others."""
    import keras

    from tf_estimator.optimizer.resolve import CLASSES

    left_out = {"Optimizer", "LossScaleOptimizer", "MultiOptimizer"}
    return _classes(keras.optimizers, keras.optimizers.Optimizer, without=left_out) | dict(CLASSES)


def _arguments(name: str, function: Callable[..., Any], *, typed: bool = False) -> Schema:
    """JSON Schema of a call's arguments; with `typed`, of an object that also names the function as its `type`."""
    properties: Schema = {"type": {"const": name}} if typed else {}
    required = ["type"] if typed else []
    parameters = dict(inspect.signature(function).parameters)
    if "common" in parameters:  # an optimizer of the engine: what all of them take
        parameters |= inspect.signature(function.__mro__[1]).parameters  # type: ignore[attr-defined]
        parameters |= inspect.signature(function).parameters
    for argument, parameter in parameters.items():
        left_out = argument in LEFT_OUT or (argument == "dtype" and name in INITIALIZERS)
        if left_out or parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL):
            continue
        schema = _form(name, argument)
        default = parameter.default
        if default is parameter.empty:
            required.append(RENAMED.get(argument, argument))
        properties[RENAMED.get(argument, argument)] = schema | _default(default, schema)
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def _form(name: str, argument: str) -> Schema:
    if (name, argument) in SPECIAL:
        return SPECIAL[name, argument]
    if argument == "dtype" and name not in INITIALIZERS:
        return _CATEGORY_DTYPE
    if argument not in ARGUMENTS:
        raise LookupError(
            f"{name} has an argument {argument!r}: give its JSON form in workers/estimator_json/schema.py."
        )
    return ARGUMENTS[argument]


def _default(default: Any, schema: Schema) -> Schema:
    """The default if it is plain JSON that fits the schema; other defaults are left to the engine."""
    from app.jobs import json_schema

    if isinstance(default, tuple):
        default = list(default)
    if not isinstance(default, str | int | float | bool | list | type(None)) or "$ref" in json.dumps(schema):
        return {}
    return {} if json_schema.check(default, schema) else {"default": default}


def _catalogue_arguments() -> Schema:
    """Arguments of `{"type": "Estimator"}`: a `model_fn` by its name in the operator's catalogue."""
    return {
        "type": "object",
        "properties": {"model_fn": _NAME, "params": {"type": "object", "maxProperties": 1000, "default": {}}},
        "required": ["model_fn"],
        "additionalProperties": False,
    }


def text() -> str:
    return json.dumps(generate(), indent=1, sort_keys=True) + "\n"


def main(arguments: list[str]) -> int:
    generated = text()
    if "--check" in arguments:
        return int(not PATH.exists() or PATH.read_text() != generated)
    PATH.write_text(generated)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
