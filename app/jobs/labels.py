"""Label columns checked against the estimator or head that learns them: kinds, ranges, classes, vocabulary."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from app.errors import quote_name
from app.jobs import estimators, label_advice
from app.jobs.dataset import Column, DatasetInfo, all_null, is_number, is_sequence, width
from app.jobs.field_errors import FieldErrors
from app.jobs.fields import HeadLabel, LabelColumns, MissingPolicy
from app.jobs.spec import Arguments, LabelSpec
from app.json_pointer import pointer

_CLASS_HEADS = {"BinaryClassHead", "MultiClassHead"}


def column_names(label: HeadLabel) -> tuple[str, ...]:
    """The label's columns, whether one or several are named."""
    return (label,) if isinstance(label, str) else label


class Labels:
    """Checks the labels of one job. `owner` below is the object that holds `n_classes` and `label_vocabulary` (the
    estimator's arguments, or a head); it is completed in place."""

    def __init__(
        self,
        data: DatasetInfo,
        errors: FieldErrors,
        at: str,
        missing: Mapping[str, MissingPolicy],
        warnings: list[str] | None = None,
    ) -> None:
        self._data, self._errors, self._at, self._missing = data, errors, at, missing
        self._warnings = [] if warnings is None else warnings
        self._kind = ""
        self._sequences = False

    def resolve(self, kind: str, args: Arguments, label: LabelColumns | None) -> tuple[LabelSpec, ...]:
        """The labels per head; the number and names of classes are added to `args` where they are absent."""
        if label is None:
            self._error(self._at, "Name the label column.")
            return ()
        self._kind = kind
        self._sequences = bool(args.get("return_sequences"))
        if estimators.takes(kind, "head"):
            head = args["head"]
            while head["type"] == "SequentialHeadWrapper":
                head = head["static_head"]
            if head["type"] == "MultiHead":
                return self._multi(head, label)
            return (self._one(None, head["type"], head, label, self._at),)
        if kind == estimators.CATALOGUE_TYPE:
            named: dict[Any, HeadLabel] = label if isinstance(label, dict) else {None: label}
            return tuple(self._any(name, part) for name, part in named.items())
        role = "MultiClassHead" if estimators.takes(kind, "n_classes") else "RegressionHead"
        return (self._one(None, role, args, label, self._at),)

    def _error(self, at: str, detail: str) -> None:
        self._errors.add(at, detail)

    def _any(self, name: str | None, label: HeadLabel) -> LabelSpec:
        names = column_names(label)
        self._columns(names, self._at)
        return LabelSpec(head=name, columns=names, kind="any", vocabulary=None)

    def _multi(self, head: Arguments, label: LabelColumns) -> tuple[LabelSpec, ...]:
        names = [inner.get("name") for inner in head["heads"]]
        if not isinstance(label, dict) or set(label) != set(names) or None in names:
            self._error(self._at, "A MultiHead needs an object: the name of each of its heads and its label column.")
            return ()
        return tuple(
            self._one(inner["name"], inner["type"], inner, label[inner["name"]], self._at + pointer(inner["name"]))
            for inner in head["heads"]
        )

    def _one(self, name: str | None, role: str, owner: Arguments, label: LabelColumns, at: str) -> LabelSpec:
        if isinstance(label, dict):
            self._error(at, "Only a MultiHead takes a label per head; name one column.")
            return LabelSpec(head=name, columns=(), kind="any", vocabulary=None)
        names = column_names(label)
        columns = self._columns(names, at)
        kind: Literal["class", "multilabel", "number"] = "number"
        if role in _CLASS_HEADS:
            kind = "class"
        elif role == "MultiLabelHead":
            kind = "multilabel"
        if columns:
            if kind == "class":
                self._classes(role, owner, columns, at)
            elif kind == "multilabel":
                self._multi_label(owner, columns, at)
            else:
                self._numbers(role, owner, columns, at)
        vocabulary = owner.get("label_vocabulary") if kind != "number" else None
        return LabelSpec(
            head=name, columns=names, kind=kind, vocabulary=None if vocabulary is None else tuple(vocabulary)
        )

    def _columns(self, names: tuple[str, ...], at: str) -> list[Column]:
        found: list[Column] = []
        for name in names:
            column = self._data.column(name)
            if column is None:
                known = ", ".join(quote_name(known) for known in self._data.names[:20])
                self._error(at, f"The data set has no column {quote_name(name)} for the label. It has: {known}.")
            elif all_null(column, self._data.rows):
                self._error(at, f"Label column {quote_name(name)} holds nulls only.")
            elif column.get("nulls") and not is_sequence(column) and self._missing.get(name) != "drop":
                detail = (
                    f"Label column {quote_name(name)} has {column['nulls']} nulls; fill them, or leave such rows out"
                )
                self._error(at, detail + " with \"drop\" for it in 'missing'.")
            else:
                found.append(column)
        return found if len(found) == len(names) else []

    def _classes(self, role: str, owner: Arguments, columns: list[Column], at: str) -> None:
        column = columns[0]
        if len(columns) > 1 or width(column) > 1 or (is_sequence(column) and not self._sequences):
            self._error(at, "A classifier learns one label per row; name one column with one value per cell.")
            return
        distinct = column.get("distinct")
        if distinct == 1:
            self._error(at, f"Label column {quote_name(column['name'])} has a single class; at least 2 are needed.")
        elif is_number(column):
            self._numbered_classes(role, owner, column, at)
        else:
            self._named_classes(role, owner, column, at)

    def _named_classes(self, role: str, owner: Arguments, column: Column, at: str) -> None:
        values, given = column.get("vocabulary"), owner.get("label_vocabulary")
        if given is None:
            if values is None:
                self._error(
                    at,
                    f"Label column {quote_name(column['name'])} has more than 1000 values; give "
                    "label_vocabulary and n_classes.",
                )
                return
            given = owner["label_vocabulary"] = sorted(values)
        elif values is not None and not set(values) <= set(given):
            number = len(set(values) - set(given))
            self._error(
                at,
                f"Label column {quote_name(column['name'])} has {number} values that are not in "
                "label_vocabulary; add them, or correct the data.",
            )
        self._count(role, owner, len(given), at)

    def _numbered_classes(self, role: str, owner: Arguments, column: Column, at: str) -> None:
        name, low, high = quote_name(column["name"]), column.get("min"), column.get("max")
        if owner.get("label_vocabulary") is not None:
            self._error(at, f"Label column {name} holds numbers: leave label_vocabulary out, or upload it as text.")
            return
        if low is None or high is None:
            return
        binary = role == "BinaryClassHead" or owner.get("n_classes", 2) == 2
        if column["dtype"] == "float32" and (not binary or low < 0 or high > 1):
            detail = f"Label column {name} holds fractions; classes are whole numbers from 0. "
            self._error(at, detail + label_advice.regressor(self._kind))
            return
        if low < 0:
            detail = f"Label column {name} has values under 0; classes are numbered from 0. "
            self._error(at, detail + label_advice.regressor(self._kind))
            return
        if label_advice.is_quantity(column) and owner.get("n_classes") is None and role != "BinaryClassHead":
            self._error(at, label_advice.quantity(name, column, self._kind))
            return
        self._warnings += label_advice.classes(name, column, owner.get("n_classes"), self._kind)
        self._count(role, owner, int(high) + 1, at)

    def _count(self, role: str, owner: Arguments, needed: int, at: str) -> None:
        """Sets `n_classes`, or checks it against the classes in the data."""
        given = 2 if role == "BinaryClassHead" else owner.get("n_classes")
        if given is None:
            if needed > 100_000:
                self._error(at, "The highest class is over 100000; give n_classes, or number the classes from 0.")
                return
            owner["n_classes"] = max(needed, 2)
        elif needed > given:
            self._error(at, f"The label column needs {needed} classes and n_classes is {given}.")
        elif needed < given and owner.get("label_vocabulary") is not None:
            self._error(at, f"label_vocabulary has {needed} values and n_classes is {given}.")

    def _multi_label(self, owner: Arguments, columns: list[Column], at: str) -> None:
        column = columns[0]
        if len(columns) == 1 and is_sequence(column):
            if is_number(column):
                self._numbered_classes("MultiLabelHead", owner, column, at)
            else:
                self._named_classes("MultiLabelHead", owner, column, at)
            return
        if not all(
            is_number(c) and not is_sequence(c) and (c.get("min") or 0) >= 0 and (c.get("max") or 0) <= 1
            for c in columns
        ):
            self._error(at, "Name a column of lists of classes, or 0/1 columns, one for each class.")
            return
        total = sum(width(c) for c in columns)
        if owner.setdefault("n_classes", total) != total:
            self._error(at, f"The label columns give {total} classes and n_classes is {owner['n_classes']}.")

    def _numbers(self, role: str, owner: Arguments, columns: list[Column], at: str) -> None:
        for column in columns:
            name = quote_name(column["name"])
            if not is_number(column) or is_sequence(column) != self._sequences:
                detail = f"Label column {name} must hold one number per row to be learned by regression. "
                self._error(at, detail + label_advice.classifier(self._kind, column))
                return
            if column.get("distinct") == 1:
                self._warnings.append(f"Label column {name} has one value in all rows: there is nothing to learn.")
            if role == "PoissonRegressionHead" and (column.get("min") or 0) < 0:
                self._error(at, f"Label column {name} has values under 0; counts start at 0.")
            if role == "LogisticRegressionHead" and not 0 <= (column.get("min") or 0) <= (column.get("max") or 0) <= 1:
                self._error(at, f"Label column {name} has values outside 0 to 1.")
        total = sum(width(c) for c in columns)
        if total != owner.get("label_dimension", total if total == 1 else None):
            if "label_dimension" in owner:
                self._error(at, f"The label has {total} values per row; label_dimension is {owner['label_dimension']}.")
            else:
                owner["label_dimension"] = total
