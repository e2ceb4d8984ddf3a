"""The report of an evaluation: predictions over the evaluated rows, and what `workers.report` makes of them."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

import tf_estimator as est
from app.datasets.table import NumberColumn, StringColumn, Table
from app.jobs.spec import JsonObject
from workers.attempt.attempt import RunningAttempt, Stopped
from workers.data.dataset_inputs import Inputs
from workers.jobs.stop_hook import StopHook
from workers.report import report
from workers.report.classification_part import Classified
from workers.report.importance import Shuffles
from workers.report.regression_part import Measured

log = logging.getLogger(__name__)

#: Rows of a report; a sample of them where there are more.
MOST_ROWS = 100_000
#: Columns of the data set by which rows are sliced and which stand beside the worst rows.
MOST_COLUMNS = 40
_BATCH = 1024
_SEED = 1
Array = NDArray[Any]


def make_report(
    attempt: RunningAttempt,
    estimator: Any,
    inputs: Inputs,
    *,
    checkpoint_path: str | None = None,
    rows: int | None = None,
) -> JsonObject:
    """The report on the first `rows` rows of an evaluation's inputs (None: all), as JSON.

    A model of which no report can be made gets one that says why. An unexpected failure is logged and reported in the
    report: the evaluation itself is good.

    Raises:
        Stopped: the attempt is to end.
    """
    try:
        return _Maker(attempt, estimator, inputs, checkpoint_path).make(rows)
    except Stopped:
        raise
    except Exception as error:
        log.exception("the report of the evaluation could not be made")
        return _without(f"The report could not be made ({type(error).__name__}); the job's log has the error.")


def _without(why: str) -> JsonObject:
    return {"heads": {}, "importance": [], "notes": [why]}


class _Maker:
    def __init__(self, attempt: RunningAttempt, estimator: Any, inputs: Inputs, checkpoint_path: str | None) -> None:
        self._attempt, self._estimator, self._inputs, self._table = attempt, estimator, inputs, inputs.table
        self._checkpoint_path = checkpoint_path
        self._notes: list[str] = []

    def make(self, limit: int | None) -> JsonObject:
        inputs = self._inputs
        everything = np.arange(self._table.rows) if inputs.rows is None else np.asarray(inputs.rows)
        everything = everything[:limit]
        rows = everything
        if len(rows) > MOST_ROWS:
            rows = np.sort(np.random.default_rng(_SEED).choice(rows, MOST_ROWS, replace=False))
        found = self._predict(inputs.features, rows)
        parts = {
            name: self._part(name, found, inputs.labels_of(name), rows, self._weights(rows)) for name in inputs.heads
        }
        columns = _columns(self._table, rows, skipped=inputs.label_columns)
        heads: JsonObject = {}
        for name, part in parts.items():
            if isinstance(part, _ManyLabels):
                heads[name or ""] = report.describe_labels_of_many(
                    part.labels, part.probabilities, part.names, total_rows=len(everything)
                )
            elif part is not None:
                heads[name or ""] = report.describe(part, columns, rows, total_rows=len(everything))
        return {"heads": heads, "importance": self._importance(rows, parts), "notes": self._notes}

    def _predict(self, features: Mapping[str, Any], rows: Array | None) -> dict[Any, Array]:
        """What the model says of some rows, by name; with several heads the names are (head, name). Of the names of
        all classes only the first row's."""
        batches = self._estimator.predict(
            est.inputs.columns_input_fn(
                dict(features), None, batch_size=_BATCH, num_epochs=1, shuffle=False, rows=rows
            ),
            hooks=[StopHook(self._attempt.stop_signal)],
            checkpoint_path=self._checkpoint_path,
            yield_single_examples=False,
        )
        pieces: dict[Any, list[Array]] = {}
        for batch in batches:
            self._attempt.check()
            for name, values in batch.items():
                key = name[1] if isinstance(name, tuple) else name
                if key in {"probabilities", "predictions"}:
                    pieces.setdefault(name, []).append(np.asarray(values, np.float64))
                elif key in {"all_classes", "classes"}:
                    pieces.setdefault(name, [np.asarray(values[:1])])
        return {name: np.concatenate(arrays) for name, arrays in pieces.items()}

    def _part(
        self, head: str | None, found: Mapping[Any, Array], labels: Any, rows: Array, weights: Array | None
    ) -> Classified | Measured | _ManyLabels | None:
        """Labels and predictions of one head; None, with a note, where no report can be made of them."""

        def predicted(key: str) -> Array | None:
            return found.get(key if head is None else (head, key))

        called = "The model" if head is None else f"The head '{head}'"
        probabilities, numbers, names = predicted("probabilities"), predicted("predictions"), predicted("all_classes")
        if labels is None or isinstance(labels, est.inputs.Sequence):
            self._notes.append(f"{called} has no report: its labels are sequences or missing.")
            return None
        if probabilities is not None and probabilities.ndim == 2 and len(probabilities) == len(rows):
            shape = _labels_shape(labels)
            if shape == probabilities.shape[1] and shape > 1:
                words = predicted("classes")
                return _ManyLabels(np.asarray(labels[rows], np.float64), probabilities, _words(words, shape))
            classes = _words(names, probabilities.shape[1])
            numbered = _class_numbers(labels, rows, classes)
            if numbered is not None:
                return Classified(numbered, probabilities, classes, weights)
        elif numbers is not None and not isinstance(labels, est.inputs.Dictionary):
            labelled = np.asarray(labels[rows], np.float64).reshape(len(rows), -1)
            numbers = numbers.reshape(len(numbers), -1)
            if labelled.shape == numbers.shape and labelled.shape[1] == 1:
                return Measured(labelled[:, 0], numbers[:, 0], weights)
        self._notes.append(f"{called} has no report: it has neither class probabilities nor one number per row.")
        return None

    def _weights(self, rows: Array) -> Array | None:
        name = self._inputs.weight
        return None if name is None else np.asarray(take(self._inputs.features[name], rows), np.float64)

    def _importance(self, rows: Array, parts: Mapping[str | None, Any]) -> list[JsonObject]:
        """Of a model with one head whose rows have losses."""
        part = parts.get(None)
        features = self._inputs.features
        names = [name for name in features if name != self._inputs.weight]
        if not isinstance(part, Classified | Measured) or len(rows) < 2 or not names:
            return []
        shuffles = Shuffles(names, len(rows), _SEED)
        shuffled = {name: take(values, rows[shuffles.index(name)]) for name, values in features.items()}
        found = self._predict(shuffled, None)
        taken = shuffles.repeated
        if isinstance(part, Classified):
            again = Classified(part.labels[taken], found["probabilities"], part.names)
            return shuffles.importance(again.losses())
        return shuffles.importance(Measured(part.labels[taken], found["predictions"].reshape(-1)).losses())


class _ManyLabels:
    """Rows with several yes-or-no labels each."""

    def __init__(self, labels: Array, probabilities: Array, names: list[str]) -> None:
        self.labels, self.probabilities, self.names = labels, probabilities, names


def take(values: Any, rows: Array) -> Any:
    """Some rows of a feature, as the engine's inputs take it."""
    if isinstance(values, est.inputs.Dictionary):
        return est.inputs.Dictionary(np.asarray(values.codes)[rows], values.vocabulary)
    if isinstance(values, est.inputs.Sequence):
        splits = np.asarray(values.row_splits)
        starts, lengths = splits[rows], splits[rows + 1] - splits[rows]
        taken = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
        elements = np.arange(taken[-1]) + np.repeat(starts - taken[:-1], lengths)
        return est.inputs.Sequence(take(values.values, elements), taken)
    return np.asarray(values[rows])


def _labels_shape(labels: Any) -> int:
    """Numbers per row."""
    return 1 if isinstance(labels, est.inputs.Dictionary) or labels.ndim == 1 else int(np.prod(labels.shape[1:]))


def _words(names: Array | None, classes: int) -> list[str]:
    """The classes as they are written; their numbers where the model does not name them."""
    if names is None or names.size != classes:
        return [str(number) for number in range(classes)]
    return [word.decode("utf-8", "replace") if isinstance(word, bytes) else str(word) for word in names.ravel()]


def _class_numbers(labels: Any, rows: Array, classes: list[str]) -> NDArray[np.int64] | None:
    """The class of each row; None where a label is between classes or of none."""
    if isinstance(labels, est.inputs.Dictionary) or labels.dtype.kind in "OSU":
        known = {word: number for number, word in enumerate(classes)}
        if isinstance(labels, est.inputs.Dictionary):
            codes = np.array([known.get(_text(word), -1) for word in labels.words()], np.int64)
            numbers = codes[np.asarray(labels.codes)[rows]]
        else:
            numbers = np.array([known.get(_text(word), -1) for word in labels[rows].tolist()], np.int64)
    else:
        given = np.asarray(labels[rows]).reshape(len(rows), -1)[:, 0]
        numbers = given.astype(np.int64)
        if (numbers != given).any():
            return None
    return None if ((numbers < 0) | (numbers >= len(classes))).any() else numbers


def _text(word: Any) -> str:
    return word.decode("utf-8", "replace") if isinstance(word, bytes) else str(word)


def _columns(table: Table, rows: Array, *, skipped: set[str]) -> dict[str, Array]:
    """Columns of single cells over some rows: numbers with NaN, text with None where null."""
    return dict(_each_column(table, rows, skipped))


def _each_column(table: Table, rows: Array, skipped: set[str]) -> Iterator[tuple[str, Array]]:
    wanted = [name for name in table.names if name not in skipped]
    for name in wanted[:MOST_COLUMNS]:
        column = table.column(name)
        if isinstance(column, NumberColumn) and not column.shape:
            values = np.asarray(column.values[rows], np.float64).reshape(len(rows))
            if column.nulls is not None:
                values = np.where(column.nulls[rows] != 0, np.nan, values)
            yield name, values
        elif isinstance(column, StringColumn):
            text = np.array([_text(word) for word in column.take(rows).tolist()], object)
            text[column.is_null(rows)] = None
            yield name, text
