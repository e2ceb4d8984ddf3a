"""The export behind the peers' adapters: rows in, rows out, one call of the signature with a constant a feature."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import tensorflow as tf


class RowModel:
    """The export that EXPORTS and MODEL name."""

    def __init__(self) -> None:
        export = Path(os.environ["EXPORTS"]) / os.environ["MODEL"]
        features = json.loads((export / "assets.extra" / "serving.json").read_text())["features"]
        types = {"float32": tf.float32, "string": tf.string}
        self._features = [(feature["name"], types[feature["dtype"]]) for feature in features]
        self._model = tf.saved_model.load(str(export))
        self._call = self._model.signatures["serving_default"]

    def rows(self, instances: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        return self.columns({name: [row[name] for row in instances] for name, _ in self._features})

    def columns(self, values: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Answers by row for values by feature."""
        lists = {}
        for name, tensor in self._call(**{n: tf.constant(values[n], dtype) for n, dtype in self._features}).items():
            array = tensor.numpy()
            words = array.dtype == object
            lists[name] = [[item.decode() for item in row] for row in array] if words else array.tolist()
        return [dict(zip(lists, row, strict=True)) for row in zip(*lists.values(), strict=True)]

    def requests(self, batch: Sequence[Sequence[Mapping[str, Any]]]) -> list[list[dict[str, Any]]]:
        """Several requests' rows in one call; the answers of each."""
        answers = iter(self.rows(list(chain.from_iterable(batch))))
        return [[next(answers) for _ in request] for request in batch]
