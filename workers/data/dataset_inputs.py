"""The engine's inputs over a data set, straight from its columns, and example rows for an export."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tf_estimator as est
from app.datasets.table import Table
from app.jobs.fields import MissingPolicy
from app.jobs.spec import Arguments, JsonObject, LabelSpec, TrainSpec
from workers.data import features
from workers.data.chunks import ArraySpill, Rows
from workers.data.features import Values


class Inputs:
    """The columns of one data set for one purpose.

    Args:
        spec: a resolved training specification.
        spill: directory for filled columns that do not fit into memory.
        part: "all", or "train" or "holdout" of the split of `spec`.
        labels: label columns; None: those of the training data.
        missing: the request's own policies, for labels and weights.
        labelled: whether labels and weights are read.

    Attributes:
        rows: which rows of the table, ascending; None for all. `count`: how many.
        features: by name, over all rows of the table, the weight column among them.
        weight: name of the weight column, or None.
        label_columns: names of the columns that hold labels.
    """

    def __init__(
        self,
        table: Table,
        spec: TrainSpec,
        spill: Path,
        *,
        part: str = "all",
        labels: tuple[LabelSpec, ...] | None = None,
        missing: Mapping[str, MissingPolicy] | None = None,
        labelled: bool = True,
    ) -> None:
        read = (labels or spec.labels) if labelled else ()
        weight = spec.weight if labelled else None
        needed = features.dropped_columns(spec.features, read, weight, missing or {})
        if not labelled:
            features.refuse_missing(table, needed)  # each row gets its prediction
            needed = []
        store = ArraySpill(spill)
        self.table = table
        self.rows: Rows = features.select_rows(table, spec.data.holdout, part, needed, store)
        self.count = table.rows if self.rows is None else len(self.rows)
        self.weight, self.label_columns = weight, {name for label in read for name in label.columns}
        self.features: dict[str, Values] = features.feature_values(table, spec.features, store)
        if weight is not None:
            self.features[weight] = features.weight_values(table, weight, store)
        self._labels = features.label_values(table, read, heads(spec), self.rows, store) if read else None

    def input_fn(
        self, batch_size: int, *, epochs: int | None = 1, shuffle: bool = False, seed: int | None = None
    ) -> Any:
        """The engine's input over these rows; `epochs` None repeats for ever."""
        return est.inputs.columns_input_fn(
            self.features,
            self._labels,
            batch_size=batch_size,
            num_epochs=epochs,
            shuffle=shuffle,
            seed=seed,
            rows=self.rows,
        )

    @property
    def heads(self) -> list[str | None]:
        """Names of the heads that have labels; [None] for a model of one head."""
        return list(self._labels) if isinstance(self._labels, dict) else [None]

    def labels_of(self, head: str | None) -> Any:
        """The labels of one head over all rows of the table, as the engine takes them; None without labels."""
        return self._labels[head] if isinstance(self._labels, dict) else self._labels


def heads(spec: TrainSpec) -> dict[str | None, Arguments]:
    """Head name (None without heads) to the arguments that hold its number of classes."""
    args = spec.estimator.args
    head = args.get("head", args)
    while head.get("type") == "SequentialHeadWrapper":
        head = head["static_head"]
    if head.get("type") == "MultiHead":
        return {inner["name"]: inner for inner in head["heads"]}
    return {None: head} | {label.head: head for label in spec.labels}


def example_rows(table: Table, spec: TrainSpec, number: int = 8) -> list[JsonObject]:
    """Rows of the training data in the form of a predict request: nulls only where a policy covers them."""
    rows = []
    for row in table.preview(4 * number):
        values = {feature.name: row.get(feature.name) for feature in spec.features}
        covered = all(
            values[feature.name] is not None or feature.missing.policy not in ("drop", "error")
            for feature in spec.features
        )
        if covered and not any(isinstance(value, dict) for value in values.values()):
            rows.append(values)
    return rows[:number]
