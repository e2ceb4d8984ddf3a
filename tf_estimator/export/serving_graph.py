"""SavedModels without values: all that two exports for serving of equal models have in common.

To call model_fn once more, restore its variables in a session and write both takes fifty times what writing the values
does. So the first export of a model leaves its `saved_model.pb` in the store where the model's traces are.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from ..checkpoint.files import CheckpointReader
from ..errors import CheckpointError
from .feature import FeatureInfo

_v1 = tf.compat.v1

_GRAPH, _VARIABLES, _ASSETS = "saved_model.pb", "variables", "assets"
_FILES = (f"{_VARIABLES}.data-00000-of-00001", f"{_VARIABLES}.index")

#: A session holds the values of all variables; that of a larger model is made anew for each check.
_SESSION_BYTES = 1 << 20


class ServingSession:
    """A session on the MetaGraph of a SavedModel, which may be loaded again with the values of an equal one.

    Args:
        directory: of the SavedModel.
    """

    def __init__(self, directory: str) -> None:
        config = _v1.ConfigProto()
        config.graph_options.rewrite_options.disable_meta_optimizer = True  # the graph runs a few times at most
        self._session = _v1.Session(graph=tf.Graph(), config=config)
        loaded = _v1.saved_model.load(self._session, [tf.saved_model.SERVING], directory)
        self._saver = loaded.saver_def
        self._signature = loaded.signature_def[tf.saved_model.DEFAULT_SERVING_SIGNATURE_DEF_KEY]

    def load(self, directory: str) -> None:
        """Takes the variables' values from another SavedModel of the same graph."""
        values = str(Path(directory, _VARIABLES, _VARIABLES))
        self._session.run(self._saver.restore_op_name, {self._saver.filename_tensor_name: values})

    def answer(self, inputs: Mapping[str, npt.NDArray[Any]]) -> dict[str, Any]:
        """What the default signature answers."""
        feeds = {self._signature.inputs[name].name: array for name, array in inputs.items()}
        fetches = {name: info.name for name, info in self._signature.outputs.items()}
        found: dict[str, Any] = self._session.run(fetches, feeds)
        return found

    def close(self) -> None:
        self._session.close()


@dataclass
class ServingGraph:
    """A SavedModel without values.

    Attributes:
        saved_model: the content of `saved_model.pb`.
        described: the signatures as serving.json has them.
        variables: name to shape and dtype.
        session: of the last skew check, where the model is small.
    """

    saved_model: bytes
    described: Mapping[str, Any]
    variables: Mapping[str, tuple[list[int], tf.DType]]
    session: ServingSession | None = field(default=None, compare=False)

    def write(self, directory: Path, checkpoint_path: str) -> bool:
        """Writes a SavedModel with the values of a checkpoint into the empty `directory`; False, and nothing written,
        where the checkpoint does not have them as they are wanted."""
        try:
            values = self._values(checkpoint_path)
        except CheckpointError:
            return False
        if values is None:
            return False
        (directory / _GRAPH).write_bytes(self.saved_model)
        folder = directory / _VARIABLES
        folder.mkdir()
        names = sorted(values)
        tf.raw_ops.SaveV2(
            prefix=str(folder / _VARIABLES),
            tensor_names=names,
            shape_and_slices=[""] * len(names),
            tensors=[tf.constant(values[name], self.variables[name][1]) for name in names],
        )
        return True

    def _values(self, checkpoint_path: str) -> dict[str, Any] | None:
        reader = CheckpointReader(checkpoint_path)
        for name, (shape, dtype) in self.variables.items():
            if reader.shapes.get(name) != shape or reader.dtypes[name] != dtype:
                return None
        return {name: reader.value(name) for name in self.variables}

    def _small(self) -> bool:
        sizes = [int(np.prod(shape)) * int(dtype.size) for shape, dtype in self.variables.values()]
        return sum(sizes) <= _SESSION_BYTES

    def _is_in(self, directory: str) -> bool:
        return Path(directory, _GRAPH).read_bytes() == self.saved_model

    def answer(self, directory: str, inputs: Mapping[str, npt.NDArray[Any]]) -> dict[str, Any] | None:
        """What the SavedModel in `directory` answers; None where its graph is another one, or its model is large."""
        if not self._small() or not self._is_in(directory):
            return None
        if self.session is None:
            self.session = ServingSession(directory)
        else:
            self.session.load(directory)
        return self.session.answer(inputs)


def kept(estimator: Any, infos: Sequence[FeatureInfo], checkpoint_path: str | None) -> ServingGraph | None:
    """What an equal model's export has left, where one has."""
    found = _place(estimator, infos, checkpoint_path)
    return None if found is None else found[0].exports.get(found[1])


def keep(
    estimator: Any,
    infos: Sequence[FeatureInfo],
    checkpoint_path: str | None,
    directory: Path,
    described: Mapping[str, Any],
) -> None:
    """Keeps what was just written into `directory` for equal models, if it gives their exports to the bit: files beside
    the graph, partitioned variables, and those that are in no checkpoint are none of its business."""
    place = _place(estimator, infos, checkpoint_path)
    if place is None or checkpoint_path is None or (directory / _ASSETS).exists():
        return
    reader = CheckpointReader(str(directory / _VARIABLES / _VARIABLES))
    variables = {name: (reader.shapes[name], reader.dtypes[name]) for name in reader.shapes}
    content = (directory / _GRAPH).read_bytes()
    graph, trial = ServingGraph(content, dict(described), variables), directory / "trial"
    try:
        trial.mkdir()
        if graph.write(trial, checkpoint_path) and _same_values(trial, directory):
            store, key = place
            store.exports.put(key, graph, len(content))
    finally:
        shutil.rmtree(trial)


def _same_values(one: Path, other: Path) -> bool:
    return all((one / _VARIABLES / name).read_bytes() == (other / _VARIABLES / name).read_bytes() for name in _FILES)


def _place(estimator: Any, infos: Sequence[FeatureInfo], checkpoint_path: str | None) -> tuple[Any, Any] | None:
    runtime = estimator.model_runtime
    shared = runtime.shared()
    if shared is None:
        return None
    store, made_of = shared
    features = hashlib.sha256(repr(infos).encode()).digest()
    return store, (made_of, runtime.cellless_names(checkpoint_path), features)
