"""`"columns": "auto"`: feature columns from a data set's schema and statistics.

    numbers                          numeric_column, normalized by "zscore"
    strings of up to 20 values       a vocabulary; dense estimators get its indicator
    strings of up to 1000 values     a vocabulary; dense estimators get its embedding
    strings of more values           hash buckets; dense estimators get their embedding
    lists                            the sequence forms of these for an RNN, else a bag of categories
Left out, with a warning: columns of one value, of nulls only, that number or name the rows, dates as text, and copies
of the label.
"""

from __future__ import annotations

from collections.abc import Sequence

from app.errors import quote_name
from app.jobs import estimators
from app.jobs.column_advice import TIMESTAMP, copies, is_date, is_id
from app.jobs.dataset import Column, DatasetInfo, all_null, is_number, is_sequence
from app.jobs.missing_values import MISSING_STRING
from app.jobs.spec import Arguments

INDICATOR_VALUES = 20
MAX_BUCKETS = 1_000_000


def choose(kind: str, data: DatasetInfo, taken: set[str], labels: Sequence[str], warnings: list[str]) -> Arguments:
    """The estimator's column arguments, chosen from all columns that are not in `taken`.

    Args:
        kind: name of the estimator.
        labels: columns that are learned; a copy of one of them is no feature.
        warnings: gets a sentence per column that is left out.
    """
    left = [column for column in data.columns if column["name"] not in taken]
    copied = copies(data, labels)
    for name in (column["name"] for column in left if column["name"] in copied):
        label = quote_name(copied[name])
        warnings.append(f"Column {quote_name(name)} is a copy of the label {label} and was left out.")
    usable = [column for column in left if column["name"] not in copied and _usable(column, data, warnings)]
    plain: list[Column] = [column for column in usable if not is_sequence(column)]
    lists: list[Column] = [column for column in usable if is_sequence(column)]
    if estimators.takes(kind, "sequence_feature_columns"):
        return {
            "sequence_feature_columns": [_sequence(column) for column in _of_one_length(lists, warnings)],
            "context_feature_columns": [_dense(column) for column in plain] or None,
        }
    return _dense_and_wide(kind, plain + _bags(lists, warnings))


def _dense_and_wide(kind: str, columns: list[Column]) -> Arguments:
    """The column arguments of an estimator without sequences."""
    dense = [_dense(column) for column in columns]
    wide = [_dense(column) if is_number(column) else _categories(column) for column in columns]
    if estimators.takes(kind, "dnn_feature_columns"):
        linear = [_categories(column) for column in columns if not is_number(column)]
        return {"dnn_feature_columns": dense, "linear_feature_columns": linear or wide}
    if estimators.takes(kind, "feature_columns"):
        return {"feature_columns": dense if estimators.takes(kind, "hidden_units") else wide}
    return {}


def _bags(lists: list[Column], warnings: list[str]) -> list[Column]:
    """Lists that a model without sequences can read as bags of categories."""
    for column in lists:
        if is_number(column):
            warnings.append(f"Column {quote_name(column['name'])} holds lists of numbers; only an RNN can read it.")
    return [column for column in lists if not is_number(column)]


def _of_one_length(lists: list[Column], warnings: list[str]) -> list[Column]:
    """Sequences as long as the first one. An RNN reads them side by side, so each row needs one length for all of them;
    a different maximum shows that the lengths differ."""
    fitting = [column for column in lists if column.get("max_length") == lists[0].get("max_length")]
    for column in lists:
        if column not in fitting:
            name = quote_name(column["name"])
            warnings.append(f"Column {name} has lists of other lengths than the first sequence and was left out.")
    return fitting


def _usable(column: Column, data: DatasetInfo, warnings: list[str]) -> bool:
    name, distinct = quote_name(column["name"]), column.get("distinct")
    if all_null(column, data.rows):
        warnings.append(f"Column {name} holds nulls only and was left out.")
    elif distinct == 1 and not is_sequence(column) and not column.get("nulls"):
        warnings.append(f"Column {name} has a single value and was left out.")
    elif _numbers_rows(column, data.rows):
        warnings.append(f"Column {name} numbers or names the rows and was left out.")
    elif is_date(column):
        warnings.append(
            f"Column {name} holds dates as text and was left out: each day would be a name without order, with "
            f"parameters of its own. Upload the file with {TIMESTAMP} for it in the schema."
        )
    elif is_id(column, data.rows):
        warnings.append(f"Column {name} looks like an id (nearly every row has another value) and was left out.")
    else:
        return True
    return False


def _numbers_rows(column: Column, rows: int) -> bool:
    if is_sequence(column) or column.get("shape") or rows < 20 or column.get("distinct") != rows:
        return False
    if column["dtype"] == "string":
        return True
    return bool(column["dtype"] == "int64" and column["max"] - column["min"] == rows - 1)


def _dense(column: Column) -> Arguments:
    if is_number(column):
        numeric: Arguments = {"type": "numeric_column", "key": column["name"]}
        if column.get("shape"):
            return numeric | {"shape": list(column["shape"])}
        return numeric | {"normalizer": "zscore"}
    return _wrap(_categories(column), column)


def _wrap(categories: Arguments, column: Column) -> Arguments:
    distinct = column.get("distinct")
    if column.get("vocabulary") is not None and distinct is not None and distinct <= INDICATOR_VALUES:
        return {"type": "indicator_column", "categorical_column": categories}
    return {"type": "embedding_column", "categorical_column": categories, "dimension": _dimension(distinct)}


def _dimension(distinct: int | None) -> int:
    """Dimension of an embedding: 1.6 times the 0.56th power of the number of values (a rule of thumb), 4 to 64."""
    rule: float = 1.6 * float(distinct or 100_000) ** 0.56
    return min(64, max(4, round(rule)))


def _categories(column: Column, prefix: str = "") -> Arguments:
    words, distinct = column.get("vocabulary"), column.get("distinct")
    if words:
        if column.get("nulls") and not is_sequence(column) and MISSING_STRING not in words:
            words = [*words, MISSING_STRING]
        kind = prefix + "categorical_column_with_vocabulary_list"
        return {"type": kind, "key": column["name"], "vocabulary_list": list(words)}
    buckets = min(MAX_BUCKETS, 2 * (distinct or 50_000))
    kind = prefix + "categorical_column_with_hash_bucket"
    return {"type": kind, "key": column["name"], "hash_bucket_size": buckets}


def _sequence(column: Column) -> Arguments:
    if is_number(column):
        numeric: Arguments = {"type": "sequence_numeric_column", "key": column["name"]}
        return numeric | {"normalizer": "zscore"} if column.get("stddev") else numeric
    return _wrap(_categories(column, "sequence_"), column)
