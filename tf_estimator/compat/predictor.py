"""`est.predictor`: a function of a SavedModel or an Estimator, as `tf.contrib.predictor` gave it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Mapping
from typing import Any

import tensorflow as tf

from ..estimator import Estimator

v1 = tf.compat.v1
_DEFAULT = tf.saved_model.DEFAULT_SERVING_SIGNATURE_DEF_KEY


class Predictor:
    """Called with a dict of input name to value, gives a dict of output name to array.

    Args:
        session: a session in whose graph the tensors are.
        feed_tensors, fetch_tensors: input and output tensors by name.

    Attributes:
        session, graph, feed_tensors, fetch_tensors: as given.
    """

    def __init__(self, session: Any, feed_tensors: Mapping[str, Any], fetch_tensors: Mapping[str, Any]) -> None:
        self.session, self.graph = session, session.graph
        self.feed_tensors, self.fetch_tensors = dict(feed_tensors), dict(fetch_tensors)

    def __call__(self, input_dict: Mapping[str, Any]) -> dict[str, Any]:
        """Outputs as arrays.

        Args:
            input_dict: name to array (or what numpy makes one of), batch first. Inputs with a default may be left out.

        Raises:
            ValueError: a name that is no input.
        """
        unknown = sorted(set(input_dict) - set(self.feed_tensors))
        if unknown:
            raise ValueError(
                f"Got unexpected keys in input_dict: {unknown}; the inputs are {sorted(self.feed_tensors)}."
            )
        feeds = {self.feed_tensors[name]: value for name, value in input_dict.items()}
        return dict(self.session.run(self.fetch_tensors, feeds))

    def close(self) -> None:
        """Ends the session."""
        self.session.close()


def from_saved_model(
    export_dir: str | bytes | os.PathLike[str],
    signature_def_key: str | None = None,
    signature_def: Any = None,
    input_names: Mapping[str, str] | None = None,
    output_names: Mapping[str, str] | None = None,
    tags: str | Iterable[str] | None = None,
    graph: Any = None,
    config: Any = None,
) -> Predictor:
    """A `Predictor` of an export.

    Args:
        export_dir: a SavedModel's directory.
        signature_def_key: the signature; `serving_default` if None.
        signature_def: a SignatureDef instead.
        input_names, output_names: names to tensor names instead of a signature; both or neither.
        tags: of the MetaGraph, a comma-separated text or several texts; `serve` if None.
        graph: a graph to load it into; a new one if None.
        config: a `tf.compat.v1.ConfigProto` for the session.

    Raises:
        ValueError: more than one way to name inputs and outputs, or no such signature.
    """
    if (input_names is None) != (output_names is None):
        raise ValueError("input_names and output_names must both be specified or both be unspecified.")
    if sum(given is not None for given in (signature_def_key, signature_def, input_names)) > 1:
        raise ValueError("Specify only one of signature_def_key, signature_def, or input_names with output_names.")
    wanted = tags.split(",") if isinstance(tags, str) else list(tags or [tf.saved_model.SERVING])
    graph = graph or tf.Graph()
    with graph.as_default():
        session = v1.Session(graph=graph, config=config)
        meta_graph = v1.saved_model.loader.load(session, wanted, os.fsdecode(export_dir))
    if input_names is None or output_names is None:
        key = signature_def_key or _DEFAULT
        signatures = meta_graph.signature_def
        if signature_def is None and key not in signatures:
            session.close()
            raise ValueError(f"Got signature_def_key {key!r}; the signatures of the export are {sorted(signatures)}.")
        signature = signature_def if signature_def is not None else signatures[key]
        input_names = {name: info.name for name, info in signature.inputs.items()}
        output_names = {name: info.name for name, info in signature.outputs.items()}
    feeds = {name: graph.get_tensor_by_name(tensor) for name, tensor in input_names.items()}
    return Predictor(session, feeds, {name: graph.get_tensor_by_name(t) for name, t in output_names.items()})


def from_estimator(
    estimator: Estimator,
    serving_input_receiver_fn: Any,
    output_key: str | None = None,
    graph: Any = None,
    config: Any = None,
) -> Predictor:
    """A `Predictor` of an estimator's latest checkpoint.

    Args:
        estimator: any trained Estimator.
        serving_input_receiver_fn: as in `Estimator.export_saved_model`.
        output_key: the signature; `serving_default` if None.
        graph, config: as in `from_saved_model`.

    Raises:
        TypeError: estimator is no Estimator.
        ValueError: as `from_saved_model` and `Estimator.export_saved_model`.
    """
    if not isinstance(estimator, Estimator):
        raise TypeError(f"estimator must be an est.Estimator, not {type(estimator).__name__}.")
    with tempfile.TemporaryDirectory() as directory:
        path = estimator.export_saved_model(directory, serving_input_receiver_fn)
        return from_saved_model(path, output_key, graph=graph, config=config)
