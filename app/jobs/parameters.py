"""Number of parameters and memory of a model, by arithmetic over its arguments; no TensorFlow."""

from __future__ import annotations

import itertools
from typing import Any

from app.jobs.feature_columns import COLUMN_ARGUMENTS
from app.jobs.spec import Arguments

SLOTS = {"adam": 2, "adamw": 2, "nadam": 2, "adamax": 2, "lamb": 2, "ftrl": 2, "adadelta": 2, "rmsprop": 1, "sgd": 0}
"""Further values that an optimizer keeps per parameter; 1 for those not named here (Adagrad, Lion, …)."""
GATES = {"lstm": 4, "gru": 3, "simple_rnn": 1, None: 1}


def count(args: Arguments) -> int:
    """Trainable parameters of an estimator with these (complete) arguments."""
    logits = logits_width(args)
    total = _shared(args)
    dense_columns = args.get("dnn_feature_columns") or (args.get("feature_columns") if "hidden_units" in args else None)
    hidden = args.get("hidden_units") or args.get("dnn_hidden_units") or []
    if dense_columns:
        width = sum(_width(column) for column in dense_columns)
        total += sum(_tables(column) for column in dense_columns)
        total += _layers([width, *hidden], args.get("batch_norm", False)) + (([width, *hidden])[-1] + 1) * logits
    linear = args.get("linear_feature_columns") or (args.get("feature_columns") if "hidden_units" not in args else None)
    if linear:
        total += sum(_width(column) for column in linear) * logits + logits
    if args.get("sequence_feature_columns"):
        total += _recurrent(args, logits)
    return total or logits


def logits_width(args: Arguments) -> int:
    """Width of the last layer."""
    if "head" in args:
        return _head_width(args["head"])
    classes = args.get("n_classes")
    return int(args.get("label_dimension", 1)) if classes is None else (1 if classes == 2 else int(classes))


def _head_width(head: Arguments) -> int:
    if head["type"] == "MultiHead":
        return sum(_head_width(inner) for inner in head["heads"])
    if head["type"] == "SequentialHeadWrapper":
        return _head_width(head["static_head"])
    return int(head.get("n_classes") or head.get("label_dimension") or 1)


def slots(args: Arguments) -> int:
    """Largest number of values that one of the optimizers keeps per parameter."""
    most = 0
    for argument in ("optimizer", "dnn_optimizer", "linear_optimizer"):
        optimizer = args.get(argument, "Adagrad")
        name = (optimizer if isinstance(optimizer, str) else optimizer["type"]).lower()
        most = max(most, SLOTS.get(name, 1))
    return most


def memory_bytes(args: Arguments, parameters: int, batch_size: int) -> int:
    """An estimate: four bytes each for parameters, gradients and slots, once more for a checkpoint that is being
    written, the activations of a batch forwards and backwards, and 350 MB for TensorFlow itself."""
    hidden = args.get("hidden_units") or args.get("dnn_hidden_units") or args.get("units") or []
    width = sum(_width(column) for name in COLUMN_ARGUMENTS for column in args.get(name) or ())
    activations = batch_size * (width + sum(hidden)) * 4 * 2
    return 350 * 2**20 + parameters * 4 * (3 + slots(args)) + activations


def of_column(column: Arguments, args: Arguments, wide: bool) -> int:
    """Parameters that a feature column brings: its table, and its share of the first layer.

    Args:
        wide: whether a linear model reads it.
    """
    if wide:
        return _width(column) * logits_width(args)
    hidden = args.get("hidden_units") or args.get("dnn_hidden_units") or args.get("units") or [0]
    return _tables(column) + _width(column) * int(hidden[0])


def key(column: Arguments) -> str | None:
    """The data set's column that a feature column reads; None where it reads several."""
    for inner in ("categorical_column", "source_column"):
        if inner in column:
            return key(column[inner])
    name = column.get("key")
    return name if isinstance(name, str) else None


def _layers(widths: list[int], batch_norm: bool) -> int:
    total = sum((before + 1) * after for before, after in itertools.pairwise(widths))
    return total + (2 * sum(widths[1:]) if batch_norm else 0)


def _recurrent(args: Arguments, logits: int) -> int:
    columns = [*args["sequence_feature_columns"], *(args.get("context_feature_columns") or ())]
    width = sum(_width(column) for column in columns)
    total, gates = sum(_tables(column) for column in columns), GATES[args.get("cell_type")]
    for units in args.get("units") or []:
        total += gates * units * (width + units + 2)
        width = units
    return total + (width + 1) * logits


def _product(shape: Any) -> int:
    product = 1
    for size in [shape] if isinstance(shape, int) else shape or ():
        product *= size
    return product


def buckets(column: Arguments) -> int:
    """Categories of a categorical or bucketized column."""
    kind = column["type"]
    if kind == "bucketized_column":
        return len(column["boundaries"]) + 1
    if "vocabulary_list" in column:
        return len(column["vocabulary_list"]) + int(column.get("num_oov_buckets") or 0)
    if "categorical_column" in column:
        return buckets(column["categorical_column"])
    return int(column.get("hash_bucket_size") or column.get("num_buckets") or 1)


def _width(column: Arguments) -> int:
    """Values per row that a column gives to a dense layer."""
    kind = column["type"]
    if "numeric_column" in kind:
        return _product(column.get("shape", 1))
    if kind == "bucketized_column":
        return _product(column["source_column"].get("shape", 1)) * buckets(column)
    if kind == "embedding_column":
        return int(column["dimension"])
    if kind == "shared_embeddings":
        return int(column["dimension"]) * len(column["categorical_columns"])
    return buckets(column)


def _tables(column: Arguments) -> int:
    """Parameters of an embedding."""
    return (
        buckets(column["categorical_column"]) * int(column["dimension"]) if column["type"] == "embedding_column" else 0
    )


def _shared(args: Arguments) -> int:
    tables = [c for name in COLUMN_ARGUMENTS for c in args.get(name) or () if c["type"] == "shared_embeddings"]
    return sum(buckets(table["categorical_columns"][0]) * int(table["dimension"]) for table in tables)
