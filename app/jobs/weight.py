"""The weight column of a training job: named by the request or by the estimator, checked, set in every head."""

from __future__ import annotations

from collections.abc import Mapping

from app.errors import quote_name
from app.jobs import estimators
from app.jobs.dataset import Column, DatasetInfo, all_null, is_number, is_sequence, width
from app.jobs.field_errors import FieldErrors
from app.jobs.fields import MissingPolicy
from app.jobs.spec import Arguments


def resolve_weight(
    kind: str,
    args: Arguments,
    requested: str | None,
    missing: Mapping[str, MissingPolicy],
    data: DatasetInfo,
    errors: FieldErrors,
) -> str | None:
    """The name of the weight column, which `args` gets wherever they take one; None for unweighted rows.

    Args:
        kind: name of the estimator.
        requested: the request's own `weight`; None: the estimator's `weight_column` counts.
    """
    at, owners = "/data/train/weight", _owners(args)
    name = requested
    if name is None:
        at = "/estimator/args/weight_column"
        name = next((found for owner in owners if (found := _named(owner)) is not None), None)
    if name is None:
        return None
    if not estimators.takes(kind, "weight_column") and "head" not in args:
        errors.add(at, f"{kind} takes no weights.")
    elif (problem := _problem(data.column(name), quote_name(name), data.rows, missing.get(name) == "drop")) is not None:
        errors.add(at, problem)
    for owner in owners:
        if owner.get("weight_column") is None:
            owner["weight_column"] = name
    return name


def _problem(column: Column | None, name: str, rows: int, nulls_dropped: bool) -> str | None:
    """Why a column cannot weigh rows; None if it can."""
    if column is None:
        return f"The data set has no column {name}."
    if not is_number(column) or is_sequence(column) or width(column) > 1:
        return f"Weight column {name} must hold one number per row."
    if all_null(column, rows) or (column.get("nulls") and not nulls_dropped):
        return f"Weight column {name} has nulls; fill them or drop these rows."
    if (column.get("min") or 0) < 0:
        return f"Weight column {name} has values under 0."
    return None


def _named(owner: Arguments) -> str | None:
    column = owner.get("weight_column")
    name = column["key"] if isinstance(column, dict) else column
    return None if name is None else str(name)


def _owners(args: Arguments) -> list[Arguments]:
    """The objects that hold a `weight_column`: the heads, or the arguments themselves."""
    if "head" not in args:
        return [args]
    heads, found = [args["head"]], []
    while heads:
        head = heads.pop()
        inner = head.get("heads") or ([head["static_head"]] if "static_head" in head else [])
        heads += inner
        if not inner:
            found.append(head)
    return found
