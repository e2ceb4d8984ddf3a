"""`FeatureInfo`: what a client sends for one feature of a served model, and the receiver made of all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from .input_names import input_names
from .receiver import ServingInputReceiver
from .receiver_fn import EXAMPLES, op_name

_v1 = tf.compat.v1
_DTYPES = {"float32": tf.float32, "int64": tf.int64, "string": tf.string}


@dataclass(frozen=True)
class FeatureInfo:
    """One feature of a served model.

    Attributes:
        name: its key in `features`.
        dtype: "float32", "int64" or "string".
        shape: shape of one row's value, () for a scalar; of one time step for a sequence.
        sequence: a row holds any number of values in order. Its raw input is a tensor [batch, time, *shape], padded
            with 0 or "", and a second one `<name>_length`, int64 [batch] (see `inputs`).
        missing: what stands for a null or absent value, `{"policy": …, "value": …}`, or None where it is refused.
        vocabulary: the values that the model knows, most frequent first, or None.
        minimum, maximum: range seen in training, or None.

    Raises:
        ValueError: the dtype is unknown.
    """

    name: str
    dtype: str
    shape: tuple[int, ...] = ()
    sequence: bool = False
    missing: dict[str, Any] | None = None
    vocabulary: Sequence[Any] | None = None
    minimum: float | None = None
    maximum: float | None = None

    def __post_init__(self) -> None:
        if self.dtype not in _DTYPES:
            raise ValueError(f"Feature {self.name!r} has dtype {self.dtype!r}; it must be one of {sorted(_DTYPES)}.")

    @property
    def tensor_dtype(self) -> tf.DType:
        return _DTYPES[self.dtype]

    @property
    def padding(self) -> Any:
        """What fills a sequence up behind its end."""
        return "" if self.dtype == "string" else 0

    def as_json(self, inputs: FeatureInputs) -> dict[str, Any]:
        """The entry of serving.json."""
        return {
            "name": self.name,
            "input": inputs.values,
            "dtype": self.dtype,
            "shape": list(self.shape),
            "sequence": self.sequence,
            "length_input": inputs.lengths,
            "missing": self.missing,
            "vocabulary": None if self.vocabulary is None else list(self.vocabulary),
            "min": self.minimum,
            "max": self.maximum,
        }


@dataclass(frozen=True)
class FeatureInputs:
    """Names of the inputs of one feature.

    Attributes:
        values: the feature's name, or a safe one where TensorFlow couldn't load a signature with it.
        lengths: of the input that carries a sequence's lengths; None for other features.
    """

    values: str
    lengths: str | None = None


def inputs(features: Sequence[FeatureInfo]) -> dict[str, FeatureInputs]:
    """The inputs of an export's signatures, by feature.

    Raises:
        ValueError: two features have the same name, or there are none.
    """
    names = [info.name for info in features]
    if not names or len(set(names)) < len(names):
        raise ValueError(f"A served model needs features with different names, not {names}.")
    lengths: dict[str, str] = {}
    for info in features:
        if info.sequence:
            length = f"{info.name}_length"
            while length in names or length in lengths.values():
                length += "_"
            lengths[info.name] = length
    made = input_names([*names, *lengths.values()])
    return {name: FeatureInputs(made[name], made[lengths[name]] if name in lengths else None) for name in names}


def receiver(features: Sequence[FeatureInfo]) -> ServingInputReceiver:
    """Placeholders for raw named features and, as alternative receiver `examples`, for serialized `tf.Example`s.

    The raw placeholders default to what the examples parse to, so one copy of the model serves both.

    Raises:
        ValueError: two features have the same name, or there are none.
    """
    names = inputs(features)
    examples = _v1.placeholder(tf.string, [None], name="input_example_tensor")
    parsed = tf.io.parse_example(examples, {info.name: _parse_spec(info) for info in features})
    raw: dict[str, Any] = {}
    tensors: dict[str, Any] = {}
    for info in features:
        name = names[info.name]
        if name.lengths is not None:
            raw[name.values], raw[name.lengths] = _sequence_placeholders(info, parsed[info.name])
            tensors[info.name] = sparse_sequence(raw[name.values], raw[name.lengths])
        else:
            raw[name.values] = tensors[info.name] = _v1.placeholder_with_default(
                parsed[info.name], [None, *info.shape], name=op_name(info.name)
            )
    return ServingInputReceiver(tensors, raw, {EXAMPLES: {EXAMPLES: examples}})


def sparse_sequence(values: tf.Tensor, lengths: tf.Tensor) -> tf.SparseTensor:
    """The sparse tensor [batch, time * elements of a step] that sequence columns read.

    Args:
        values: [batch, time, …], padded behind each row's end.
        lengths: int64 [batch], steps of each row.
    """
    shape = tf.shape(values, out_type=tf.int64)
    elements = tf.reduce_prod(shape[2:])
    width = shape[1] * elements
    present = tf.sequence_mask(lengths * elements, width)
    flat = tf.reshape(values, tf.stack([shape[0], width]))
    return tf.SparseTensor(tf.where(present), tf.boolean_mask(flat, present), tf.stack([shape[0], width]))


def infos(estimator: Any, features: Sequence[FeatureInfo] | None) -> list[FeatureInfo]:
    """The given features, or those that the estimator's feature columns read.

    Raises:
        ValueError: none are given and the estimator has no feature columns.
    """
    if features is not None:
        return list(features)
    columns = getattr(estimator, "feature_columns", None)
    if not columns:
        raise ValueError(
            f"{type(estimator).__name__} does not say which features it reads; "
            "pass features=[est.export.FeatureInfo(name, dtype), …]."
        )
    return from_columns(columns)


def from_columns(feature_columns: Sequence[Any]) -> list[FeatureInfo]:
    """The features that `tf.feature_column`s read, in their order.

    A dense numeric feature has its column's shape and default; a categorical one is one value per row, missing is
    empty ("" or -1); what sequence columns read is a sequence.
    """
    spec = tf.feature_column.make_parse_example_spec(list(feature_columns))
    sequences = _sequence_keys(feature_columns)
    return [_from_parse_spec(name, feature, name in sequences) for name, feature in spec.items()]


def _parse_spec(info: FeatureInfo) -> Any:
    if info.sequence:
        return tf.io.VarLenFeature(info.tensor_dtype)
    default = None
    if info.missing is not None:
        default = tf.broadcast_to(tf.constant(info.missing["value"], info.tensor_dtype), info.shape)
    return tf.io.FixedLenFeature(info.shape, info.tensor_dtype, default)


def _sequence_placeholders(info: FeatureInfo, sparse: tf.SparseTensor) -> tuple[Any, Any]:
    elements = int(tf.TensorShape(info.shape).num_elements() or 1)
    dense = tf.sparse.to_dense(sparse, default_value=info.padding)
    dense = tf.reshape(dense, tf.concat([tf.shape(dense)[:1], [-1], tf.constant(info.shape, tf.int32)], 0))
    # Examples fill a row from the left, so a row's length is the number of its values.
    ones = tf.ones_like(sparse.indices[:, 0])
    lengths = tf.math.unsorted_segment_sum(ones, sparse.indices[:, 0], sparse.dense_shape[0]) // elements
    return (
        _v1.placeholder_with_default(dense, [None, None, *info.shape], name=op_name(info.name)),
        _v1.placeholder_with_default(lengths, [None], name=op_name(f"{info.name}_length")),
    )


def _from_parse_spec(name: str, feature: Any, sequence: bool) -> FeatureInfo:
    dtype = tf.as_dtype(feature.dtype).name
    if sequence:
        return FeatureInfo(name, dtype, sequence=True, missing={"policy": "empty", "value": []})
    if isinstance(feature, tf.io.FixedLenFeature):
        default = feature.default_value
        missing = None if default is None else {"policy": "constant", "value": list(default)}
        return FeatureInfo(name, dtype, tuple(feature.shape), missing=missing)
    # Feature columns drop "" and -1 of a dense categorical feature.
    return FeatureInfo(name, dtype, missing={"policy": "empty", "value": "" if dtype == "string" else -1})


def _sequence_keys(feature_columns: Sequence[Any]) -> set[str]:
    """Names of the features that sequence columns read, however deep they are wrapped."""
    kinds = (
        type(tf.feature_column.sequence_numeric_column("x")),
        type(tf.feature_column.sequence_categorical_column_with_identity("x", 1)),
    )
    keys: set[str] = set()
    pending = list(feature_columns)
    while pending:
        column = pending.pop()
        if isinstance(column, kinds):
            keys.update(tf.feature_column.make_parse_example_spec([_as_dense(column)]))
        pending += [parent for parent in getattr(column, "parents", []) if not isinstance(parent, str)]
    return keys


def _as_dense(column: Any) -> Any:
    if hasattr(column, "categorical_column"):
        return tf.feature_column.indicator_column(column)
    return column
