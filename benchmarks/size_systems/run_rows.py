"""Evaluation or batch prediction of many rows of 20 numeric columns in memory: ours, or a loop written by hand.

The files of a prediction are those of the service's job: JSON lines and Parquet.
"""

from __future__ import annotations

import itertools
import json
import os
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import tf_estimator as est  # before TensorFlow, which it imports faster

# isort: split
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import tensorflow as tf
from report import peak_mb, result, task

from workers.jobs.prediction_files import PredictionFiles

tf.compat.v1.logging.set_verbosity(tf.compat.v1.logging.ERROR)

COLUMNS, HIDDEN_UNITS, CLASSES, BATCH = 20, [64, 32], 3, 1024
KEYS = ["logits", "probabilities", "class_ids"]
Columns = dict[str, Any]


def data(rows: int) -> tuple[Columns, Any]:
    """float32 columns between -1 and 1, and labels int64 in 0..2."""
    numbers = np.arange(rows, dtype=np.int64)
    made = {f"x{i:02}": ((numbers * (2 * i + 1) % 2003).astype(np.float32) - 1001) / 1001 for i in range(COLUMNS)}
    return made, (numbers * 7919) % CLASSES


def ours(job: dict[str, Any], features: Columns, labels: Any) -> Callable[[int], Any]:
    columns = [tf.feature_column.numeric_column(name) for name in features]
    estimator = est.DNNClassifier(HIDDEN_UNITS, columns, job["work"], n_classes=CLASSES)

    def source(count: int | None, answers: Any = None) -> Any:
        rows = None if count is None else np.arange(count)
        return est.inputs.columns_input_fn(features, answers, batch_size=BATCH, num_epochs=1, rows=rows)

    estimator.train(source(BATCH, labels), steps=1)

    def run(count: int | None = None) -> Any:
        if job["kind"] == "evaluate":
            return estimator.evaluate(source(count, labels))
        return estimator.predict(source(count), yield_single_examples=False, predict_keys=KEYS)

    return run


def limit(job: dict[str, Any], features: Columns, labels: Any) -> Callable[[int], Any]:
    """Slices of one matrix: in a loop of the graph to evaluate, batch by batch to predict."""
    random, variables = np.random.default_rng(1), []
    for fan_in, fan_out in itertools.pairwise([COLUMNS, *HIDDEN_UNITS, CLASSES]):
        scale = (6 / (fan_in + fan_out)) ** 0.5
        variables.append(tf.Variable(random.uniform(-scale, scale, (fan_in, fan_out)).astype(np.float32)))
        variables.append(tf.Variable(tf.zeros(fan_out)))

    def logits(net: tf.Tensor) -> tf.Tensor:
        for layer in range(0, len(variables), 2):
            net = tf.nn.bias_add(tf.matmul(net, variables[layer]), variables[layer + 1])
            net = tf.nn.relu(net) if layer < len(variables) - 2 else net
        return net

    @tf.function(autograph=False, reduce_retracing=True)
    def forward(batch: tf.Tensor) -> list[tf.Tensor]:
        made = logits(batch)
        return [made, tf.nn.softmax(made), tf.argmax(made, 1)]

    @tf.function(autograph=False, reduce_retracing=True)
    def evaluation(matrix: tf.Tensor, answers: tf.Tensor) -> list[tf.Tensor]:
        count = tf.shape(matrix)[0]

        def once(begin: tf.Tensor, right: tf.Tensor, loss: tf.Tensor) -> tuple[tf.Tensor, ...]:
            given, made = answers[begin : begin + BATCH], logits(matrix[begin : begin + BATCH])
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=given, logits=made)
            hits = tf.reduce_sum(tf.cast(tf.argmax(made, 1) == given, tf.float32))
            return begin + BATCH, right + hits, loss + tf.reduce_sum(losses)

        start = (tf.constant(0), tf.constant(0.0), tf.constant(0.0))
        _, right, loss = tf.while_loop(lambda begin, *_: begin < count, once, start, parallel_iterations=1)
        return [right / tf.cast(count, tf.float32), loss / tf.cast(count, tf.float32)]

    def batches(count: int) -> Iterator[dict[str, Any]]:
        for begin in range(0, count, BATCH):
            part = np.stack([column[begin : min(begin + BATCH, count)] for column in features.values()], axis=1)
            yield {name: tensor.numpy() for name, tensor in zip(KEYS, forward(part), strict=True)}

    def run(count: int | None = None) -> Any:
        count = job["rows"] if count is None else count
        if job["kind"] != "evaluate":
            return batches(count)
        matrix = np.empty((count, COLUMNS), np.float32)
        for i, column in enumerate(features.values()):
            matrix[:, i] = column[:count]
        return [float(value) for value in evaluation(tf.constant(matrix), tf.constant(labels[:count]))]

    return run


def write_by_hand(batches: Iterator[dict[str, Any]], directory: Path) -> int:
    """JSON lines by the standard library, Parquet by Arrow, a row group each batch."""
    rows, writer = 0, None
    with (directory / "predictions.jsonl").open("w") as lines:
        for batch in batches:
            columns = {name: values.tolist() for name, values in batch.items()}
            for row in zip(*columns.values(), strict=True):
                lines.write(json.dumps(dict(zip(columns, row, strict=True))) + "\n")
                rows += 1
            table = pa.table(columns)
            writer = writer or pq.ParquetWriter(directory / "predictions.parquet", table.schema)
            writer.write_table(table)
    if writer is not None:
        writer.close()
    return rows


def write(batches: Iterator[dict[str, Any]], directory: Path) -> int:
    files = PredictionFiles(directory)
    for batch in batches:
        files.add(batch)
    files.close(complete=True)
    return files.rows


def main() -> None:
    job = task()
    features, labels = data(job["rows"])
    bare = peak_mb()
    run = {"ours": ours, "limit": limit}[job["system"]](job, features, labels)

    def all_of(count: int | None) -> int:
        found = run(count)
        if job["kind"] == "evaluate":
            return job["rows"]
        if job["kind"] == "files":
            directory = Path(job["data"]) / f"{job['system']}-{count}"
            directory.mkdir()
            return {"ours": write, "limit": write_by_hand}[job["system"]](found, directory)
        return sum(len(batch["logits"]) for batch in found)

    all_of(4 * BATCH)  # functions are made here
    begin, processor = time.perf_counter(), time.process_time()
    seen = all_of(None)
    used, seconds = time.process_time() - processor, time.perf_counter() - begin
    if seen != job["rows"]:
        raise RuntimeError(f"{seen} rows came of {job['rows']}.")
    result(rows_per_cpu_s=seen / used, rows_per_s=seen / seconds, above_mb=peak_mb() - bare)


main()
