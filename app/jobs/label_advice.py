"""Labels that fit another estimator, and classes that the data leave out: advice for the submitter."""

from __future__ import annotations

from app.jobs import estimators
from app.jobs.dataset import Column, is_number, is_sequence

_QUANTITY_FROM = 100_000
"""Numbers up to here may be classes, where they are not many."""
_MANY = 1_000


def is_quantity(column: Column) -> bool:
    """Whether a column of whole numbers from 0 plainly measures something, so that none of its values is a class."""
    high, distinct = column.get("max") or 0, column.get("distinct")
    return high >= _QUANTITY_FROM or (high >= 10 * _MANY and (distinct is None or distinct > _MANY))


def quantity(name: str, column: Column, kind: str) -> str:
    """The error for a classifier that would learn a quantity.

    Args:
        name: of the column, quoted.
        kind: class name of the estimator.
    """
    distinct = column.get("distinct")
    many = "more than 10000" if distinct is None else distinct
    return (
        f"Label column {name} holds {many} different numbers, the highest over {_rounded(column['max'])}: a quantity, "
        f"no classes. {regressor(kind)} If they are classes, give n_classes, or number them from 0."
    )


def regressor(kind: str) -> str:
    """What learns numbers, in place of a classifier."""
    other = kind.replace("Classifier", "Regressor")
    if other != kind and other in estimators.document()["estimators"]:
        return f"Use {other}, which learns numbers."
    if kind.startswith("RNN"):
        return "Use RNNEstimator with a RegressionHead, which learns numbers."
    return "Use a RegressionHead, which learns numbers."


def classifier(kind: str, column: Column) -> str:
    """What learns classes, in place of a regressor."""
    other = kind.replace("Regressor", "Classifier")
    if is_number(column) or is_sequence(column) or other not in estimators.document()["estimators"] or other == kind:
        return "Name a column of numbers."
    return f"Use {other}, which learns classes by their names."


def classes(name: str, column: Column, n_classes: int | None, kind: str) -> list[str]:
    """Warnings on classes that are given as numbers from 0."""
    high, distinct = column.get("max") or 0, column.get("distinct")
    if column["dtype"] == "float32" and distinct is not None and distinct > 2:
        return [
            f"Label column {name} holds fractions between 0 and 1, which a classifier takes for the probability of "
            f"class 1. {regressor(kind)}"
        ]
    made = int(high) + 1 if n_classes is None else n_classes
    if distinct is None or column["dtype"] != "int64" or distinct >= int(high) + 1:
        return []
    return [
        f"Label column {name} has {distinct} different numbers, the highest of which makes {made} classes, "
        f"{made - distinct} of them without a row. Number them from 0 without gaps, or upload the column as text "
        f'({{"dtype": "string"}} in the schema).'
    ]


def _rounded(value: float) -> int:
    """The power of ten below a number: messages contain no values of the data."""
    return int(10 ** (len(str(int(value))) - 1))
