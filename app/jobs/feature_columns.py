"""Feature columns as JSON: the data columns that they read, checked and completed from the data set.

Filled in: the `dtype` of a categorical column over whole numbers, and a `"zscore"` normalizer as mean and standard
deviation where the data set's statistics are those of the training rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from app.errors import quote_name
from app.jobs.dataset import DatasetInfo, all_null, is_number, is_sequence, width
from app.jobs.field_errors import FieldErrors
from app.json_pointer import pointer

COLUMN_ARGUMENTS = (
    "feature_columns",
    "linear_feature_columns",
    "dnn_feature_columns",
    "sequence_feature_columns",
    "context_feature_columns",
)
"""Estimator arguments that hold feature columns."""


@dataclass
class ColumnUsage:
    """The data columns that a job's feature columns read, and the errors found on the way.

    Attributes:
        uses: data column to the ways in which it is read: `number`, `category` or `weight`.
        defaults: data column to the `default_value` of an identity column that reads it.
    """

    data: DatasetInfo
    taken: dict[str, str]  # columns that are no features: name to what they are instead
    exact_statistics: bool
    uses: dict[str, set[str]] = field(default_factory=dict)
    defaults: dict[str, int] = field(default_factory=dict)
    errors: FieldErrors = field(default_factory=FieldErrors)

    def error(self, at: str, detail: str) -> None:
        self.errors.add(at, detail)

    def use(self, name: str, at: str, way: str) -> dict[str, Any] | None:
        """The data column behind a key, noted as used; None, with an error, if it cannot be read."""
        info = self.data.column(name)
        if name in self.taken:
            self.error(at, f"Column {quote_name(name)} is {self.taken[name]}; it cannot be a feature too.")
            return None
        if info is None:
            known = ", ".join(quote_name(known) for known in self.data.names[:20])
            self.error(at, f"The data set has no column {quote_name(name)}. It has: {known}.")
            return None
        if all_null(info, self.data.rows):
            self.error(at, f"Column {quote_name(name)} holds nulls only; leave it out or add it to 'ignore'.")
            return None
        self.uses.setdefault(name, set()).add(way)
        return info


def resolve(column: dict[str, Any], at: str, usage: ColumnUsage) -> dict[str, Any]:
    """A column that fits its schema, completed from the data set; errors go to `usage.errors`."""
    column = dict(column)
    kind = column["type"]
    if kind in ("numeric_column", "sequence_numeric_column"):
        _numeric(column, at, usage)
    elif "key" in column:
        _categorical(column, at, usage)
    _nested(column, at, usage)
    if kind == "weighted_categorical_column":
        weights = usage.use(column["weight_feature_key"], at + "/weight_feature_key", "weight")
        if weights is not None and not is_number(weights):
            usage.error(at + "/weight_feature_key", "Weights must be numbers; this column holds text.")
    if kind == "bucketized_column" and sorted(set(column["boundaries"])) != column["boundaries"]:
        usage.error(at + "/boundaries", "Must rise from item to item.")
    return column


def _nested(column: dict[str, Any], at: str, usage: ColumnUsage) -> None:
    for argument in ("source_column", "categorical_column"):
        if argument in column:
            column[argument] = resolve(column[argument], at + "/" + argument, usage)
            _fits(column["type"], column[argument]["type"], at + "/" + argument, usage)
    if "categorical_columns" in column:
        inner = column["categorical_columns"]
        column["categorical_columns"] = [
            resolve(item, at + pointer("categorical_columns", i), usage) for i, item in enumerate(inner)
        ]
        for i, item in enumerate(inner):
            _fits(column["type"], item["type"], at + pointer("categorical_columns", i), usage)
    if "keys" in column:
        column["keys"] = [_crossed(item, at + pointer("keys", i), usage) for i, item in enumerate(column["keys"])]


def _fits(outer: str, inner: str, at: str, usage: ColumnUsage) -> None:
    if outer != "bucketized_column" and not (is_categorical(inner) or inner == "bucketized_column"):
        usage.error(at, f"{outer} needs a categorical column here, not {inner}.")


def _crossed(item: Any, at: str, usage: ColumnUsage) -> Any:
    if isinstance(item, str):
        info = usage.use(item, at, "category")
        if info is not None and info["dtype"] == "float32":
            usage.error(at, f"Column {quote_name(item)} holds fractions; cross a bucketized_column of it instead.")
        return item
    if "hash_bucket" in item["type"] or not (is_categorical(item["type"]) or item["type"] == "bucketized_column"):
        usage.error(at, "Cross a column's name, or a bucketized, vocabulary or identity column.")
    return resolve(item, at, usage)


def is_categorical(kind: str) -> bool:
    return "categorical_column" in kind or kind == "crossed_column"


def _numeric(column: dict[str, Any], at: str, usage: ColumnUsage) -> None:
    name, sequence = column["key"], column["type"].startswith("sequence_")
    info = usage.use(name, at + "/key", "number")
    if info is None:
        return
    if not is_number(info):
        usage.error(at + "/key", f"Column {quote_name(name)} holds text; {column['type']} needs numbers.")
        return
    if is_sequence(info) != sequence:
        remedy = "sequence_numeric_column" if is_sequence(info) else "numeric_column"
        usage.error(at + "/key", f"Column {quote_name(name)} needs {remedy}: its cells hold {_cell(info)}.")
        return
    _shape(column, info, at, usage)
    if column.get("normalizer") == "zscore":
        if width(info) != 1 and info.get("mean") is None:
            usage.error(at + "/normalizer", "'zscore' needs a column of one number per row; give mean and stddev.")
        elif usage.exact_statistics:
            column["normalizer"] = {"mean": info["mean"], "stddev": info["stddev"] or 1.0}


def _shape(column: dict[str, Any], info: dict[str, Any], at: str, usage: ColumnUsage) -> None:
    if "shape" not in column:
        if info.get("shape"):
            column["shape"] = list(info["shape"])
        return
    wanted = 1
    for size in [column["shape"]] if isinstance(column["shape"], int) else column["shape"]:
        wanted *= size
    if wanted != width(info) and not is_sequence(info):
        usage.error(at + "/shape", f"Asks for {wanted} values per row; the column has {width(info)}.")


def _cell(info: dict[str, Any]) -> str:
    return "lists" if is_sequence(info) else "one value each"


def _categorical(column: dict[str, Any], at: str, usage: ColumnUsage) -> None:
    name, kind = column["key"], column["type"]
    info = usage.use(name, at + "/key", "category")
    if info is None:
        return
    if kind.startswith("sequence_") and not is_sequence(info):
        usage.error(at + "/key", f"Column {quote_name(name)} holds one value each; a sequence column needs lists.")
    elif info["dtype"] == "float32":
        usage.error(at + "/key", f"Column {quote_name(name)} holds fractions; use a bucketized_column of it.")
    elif kind.endswith("_with_identity"):
        _identity(column, info, at, usage)
    elif kind.endswith("_with_vocabulary_list"):
        _vocabulary(column, info, at, usage)
    elif is_number(info):
        column["dtype"] = column.get("dtype") if column.get("dtype") in ("int32", "int64") else "int64"
    elif column.get("dtype") not in (None, "string"):
        usage.error(at + "/dtype", f"Column {quote_name(name)} holds text; leave dtype out.")


def _identity(column: dict[str, Any], info: dict[str, Any], at: str, usage: ColumnUsage) -> None:
    name, default = column["key"], column.get("default_value")
    if not is_number(info):
        usage.error(at + "/key", f"Column {quote_name(name)} holds text; identity columns need whole numbers.")
    elif default is not None and not (isinstance(default, int) and 0 <= default < column["num_buckets"]):
        usage.error(at + "/default_value", "Must be a whole number from 0 to num_buckets - 1.")
    elif default is not None:
        usage.defaults[name] = default
    elif info.get("min") is not None and not 0 <= info["min"] <= info["max"] < column["num_buckets"]:
        usage.error(
            at + "/num_buckets", f"Column {quote_name(name)} has values outside; raise it or give a default_value."
        )


def _vocabulary(column: dict[str, Any], info: dict[str, Any], at: str, usage: ColumnUsage) -> None:
    words = column["vocabulary_list"]
    kinds = {type(word) for word in words}
    if len(set(words)) != len(words):
        usage.error(at + "/vocabulary_list", "Holds a value twice.")
    elif kinds != {int if is_number(info) else str}:
        needed = "whole numbers" if is_number(info) else "strings"
        usage.error(at + "/vocabulary_list", f"Must hold {needed}, as column {quote_name(column['key'])} does.")
    elif is_number(info):
        column.setdefault("dtype", "int64")
    default = column.get("default_value")
    if default not in (None, -1) and column.get("num_oov_buckets"):
        usage.error(at + "/default_value", "Give either default_value or num_oov_buckets.")
    elif default is not None and not (isinstance(default, int) and -1 <= default < len(words)):
        usage.error(at + "/default_value", "Must be a whole number from -1 to the length of the list - 1.")


def resolve_arguments(args: dict[str, Any], usage: ColumnUsage, at: str = "/estimator/args") -> dict[str, Any]:
    """The estimator's arguments with their feature columns resolved."""
    args = dict(args)
    for argument in COLUMN_ARGUMENTS:
        if args.get(argument) is not None:
            args[argument] = [
                resolve(column, at + pointer(argument, i), usage) for i, column in enumerate(args[argument])
            ]
            dense = argument != "linear_feature_columns" and (argument != "feature_columns" or "hidden_units" in args)
            _check_places(argument, args[argument], at, usage, dense)
    return args


def _check_places(argument: str, columns: list[dict[str, Any]], at: str, usage: ColumnUsage, dense: bool) -> None:
    for i, column in enumerate(columns):
        kind, here = column["type"], at + pointer(argument, i)
        if argument == "sequence_feature_columns":
            if not reads_sequence(column):
                usage.error(here, "Must be a sequence column, or an embedding or indicator of one.")
        elif reads_sequence(column):
            usage.error(here, "A sequence column belongs into sequence_feature_columns.")
        elif is_categorical(kind) and dense:
            usage.error(here, f"{kind} gives no dense values; wrap it in an embedding_column or indicator_column.")


def reads_sequence(column: dict[str, Any]) -> bool:
    return any(inner["type"].startswith("sequence_") for inner in walk(column))


def walk(column: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A column and all columns inside it."""
    yield column
    for argument in ("source_column", "categorical_column"):
        if argument in column:
            yield from walk(column[argument])
    for argument in ("categorical_columns", "keys"):
        for item in column.get(argument, ()):
            if isinstance(item, dict):
                yield from walk(item)


def all_columns(args: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Every feature column of an estimator's arguments, outermost ones only."""
    for argument in COLUMN_ARGUMENTS:
        yield from args.get(argument) or ()


def map_columns(args: dict[str, Any], change: Callable[[dict[str, Any]], dict[str, Any]]) -> dict[str, Any]:
    """A copy of the arguments with `change` applied to each column, inner ones first."""

    def one(column: dict[str, Any]) -> dict[str, Any]:
        column = dict(column)
        for argument in ("source_column", "categorical_column"):
            if argument in column:
                column[argument] = one(column[argument])
        for argument in ("categorical_columns", "keys"):
            if argument in column:
                column[argument] = [one(item) if isinstance(item, dict) else item for item in column[argument]]
        return change(column)

    return {
        name: [one(column) for column in value] if name in COLUMN_ARGUMENTS and value is not None else value
        for name, value in args.items()
    }
