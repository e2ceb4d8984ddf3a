"""A job's specification and data as the engine takes them: an Estimator, and inputs straight from columns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tf_estimator as est
from app.datasets.table import Table
from workers.attempt.hooks import series_interval
from workers.data import features as columns
from workers.data.chunks import Rows, Scratch
from workers.data.features import Values
from workers.estimator_json import model_fns as catalogue
from workers.estimator_json.build import estimator_from_json

Json = dict[str, Any]


def make_estimator(spec: Json, model_dir: Path, *, warm_start: Path | None = None) -> Any:
    """The Estimator of a resolved training specification. Checkpoints are kept until the registry says otherwise.

    Raises:
        InvalidInput: the catalogue lacks the model_fn.
        ValueError: arguments that do not fit together.
    """
    training = spec["train"]
    config = est.RunConfig(
        model_dir=str(model_dir),
        tf_random_seed=training["seed"],
        save_checkpoints_steps=training["save_checkpoints_steps"],
        save_summary_steps=max(100, series_interval(training["max_steps"])),
        keep_checkpoint_max=None,
        log_step_count_steps=max(100, series_interval(training["max_steps"])),
        checkpoint_save_graph_def=False,
    )
    kind, args = spec["estimator"]["type"], spec["estimator"]["args"]
    start = None if warm_start is None else str(warm_start)
    if kind == "Estimator":
        function = catalogue.model_fn(args["model_fn"])
        return est.Estimator(function, config=config, params=args.get("params", {}), warm_start_from=start)
    return estimator_from_json({"type": kind, "args": args}, config=config, warm_start_from=start)


class Inputs:
    """The columns of one data set for one purpose.

    Args:
        spec: a resolved training specification.
        data: the part of a specification that names the data set: `part`, `labels`, …
        missing: the request's own policies, for labels and weights.
        scratch: where big filled columns go.
        labelled: whether labels and weights are read.
    """

    def __init__(
        self, table: Table, spec: Json, data: Json, scratch: Path, *, missing: Json | None = None, labelled: bool = True
    ) -> None:
        labels: list[Json] = (data.get("labels") or spec["labels"]) if labelled else []
        weight = spec["weight"] if labelled else None
        needed = columns.dropped_columns(spec["features"], labels, weight, missing or {})
        if not labelled:
            columns.refuse_missing(table, needed)  # each row gets its prediction
            needed = []
        store = Scratch(scratch)
        self.rows: Rows = columns.select_rows(table, spec["data"]["holdout"], data.get("part", "all"), needed, store)
        self.count = table.rows if self.rows is None else len(self.rows)
        self._features = {
            name: _for_engine(values) for name, values in columns.feature_values(table, spec["features"], store).items()
        }
        if weight is not None:
            self._features[weight] = columns.weight_values(table, weight, store)
        self._labels = None
        if labels:
            self._labels = _for_engine(columns.label_values(table, labels, heads(spec), self.rows, store))

    def input_fn(
        self, batch_size: int, *, epochs: int | None = 1, shuffle: bool = False, seed: int | None = None
    ) -> Any:
        """The engine's input over these rows; `epochs` None repeats for ever."""
        return est.inputs.columns_input_fn(
            self._features,
            self._labels,
            batch_size=batch_size,
            num_epochs=epochs,
            shuffle=shuffle,
            seed=seed,
            rows=self.rows,
        )


def heads(spec: Json) -> dict[str | None, Json]:
    """Head name (None without heads) to what knows its number of classes."""
    args = spec["estimator"]["args"]
    head = args.get("head", args)
    while head.get("type") == "SequentialHeadWrapper":
        head = head["static_head"]
    if head.get("type") == "MultiHead":
        return {inner["name"]: inner for inner in head["heads"]}
    named = {entry["head"]: head for entry in spec["labels"]}
    return {None: head} | named


def _for_engine(values: Any) -> Any:
    if isinstance(values, dict):
        return {name: _for_engine(part) for name, part in values.items()}
    if isinstance(values, columns.Coded):
        return est.inputs.Dictionary(values.codes, values.vocabulary)
    if isinstance(values, columns.Lists):
        return est.inputs.Sequence(_for_engine(values.values), values.row_splits)
    return values


def feature_infos(spec: Json) -> list[Any]:
    """What a client of the exported model sends."""
    return [
        est.export.FeatureInfo(
            name=feature["name"],
            dtype=feature["dtype"],
            shape=tuple(feature["shape"]),
            sequence=feature["sequence"],
            missing=None if feature["missing"]["policy"] in ("drop", "error") else feature["missing"],
            vocabulary=feature["vocabulary"],
            minimum=feature["min"],
            maximum=feature["max"],
        )
        for feature in spec["features"]
    ]


def example_rows(table: Table, spec: Json, number: int = 8) -> list[Json]:
    """Rows of the training data in the form of a predict request: nulls only where a policy covers them."""
    rows = []
    for row in table.preview(4 * number):
        values = {feature["name"]: row.get(feature["name"]) for feature in spec["features"]}
        covered = all(
            values[feature["name"]] is not None or feature["missing"]["policy"] not in ("drop", "error")
            for feature in spec["features"]
        )
        if covered and not any(isinstance(value, dict) for value in values.values()):
            rows.append(values)
    return rows[:number]


__all__ = ["Inputs", "Values", "example_rows", "feature_infos", "heads", "make_estimator"]
