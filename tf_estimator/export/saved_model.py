"""Writes SavedModels: one MetaGraph a mode, one set of variables, one timestamped directory."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf

from ..checkpoint.files import CheckpointReader
from ..checkpoint.partition import saver_variables
from ..graph.keras_seeds import drawn_from
from ..graph.naming import NamingGraph
from ..graph.threads import in_fresh_thread
from ..keys import ModeKeys
from ..variables import TracedVariable, VariableNames
from .directory import copy_assets_extra, timestamped
from .prune import prune
from .receiver import (
    ServingInputReceiver,
    SupervisedInputReceiver,
    TensorServingInputReceiver,
    UnsupervisedInputReceiver,
)
from .signature import TAGS, signatures_of

_v1 = tf.compat.v1

#: The first of these that is exported saves the variables: TRAIN has the most (optimizer slots).
_ORDER = (ModeKeys.TRAIN, ModeKeys.EVAL, ModeKeys.PREDICT)

#: Collection in which the loaders look for the training op of a MetaGraph.
_TRAIN_OP = "saved_model_train_op"


def export(
    estimator: Any,
    export_dir_base: str,
    input_receiver_fn_map: Mapping[str, Callable[[], Any]],
    assets_extra: Mapping[str, str] | None = None,
    as_text: bool = False,
    checkpoint_path: str | None = None,
    strip_default_attrs: bool = True,
) -> bytes:
    """Writes a SavedModel with one MetaGraph per mode below `export_dir_base`, in a directory named by the time.

    Args:
        estimator: an `Estimator`.
        export_dir_base: where the timestamped directory is made.
        input_receiver_fn_map: mode to a function without arguments that returns its input receiver.
        assets_extra: destination inside `assets.extra` to the full path of the file to copy there.
        as_text: write `saved_model.pbtxt` instead of `saved_model.pb`.
        checkpoint_path: the checkpoint to export, None for the newest in `model_dir`.
        strip_default_attrs: leave attributes with default values out of the graph, so that older readers know it.

    Returns:
        the path of the export as bytes.

    Raises:
        ValueError: a receiver function is missing, the mode is unknown, no export outputs, or no checkpoint.
    """
    _check_receiver_fns(input_receiver_fn_map)
    path = checkpoint(estimator, checkpoint_path)
    with timestamped(os.fspath(export_dir_base)) as (temporary, final):
        write(estimator, temporary, input_receiver_fn_map, path, as_text, strip_default_attrs)
        copy_assets_extra(temporary, assets_extra)
    return os.fsencode(final)


def checkpoint(estimator: Any, checkpoint_path: str | None) -> str | None:
    """`checkpoint_path`, or the newest one of the estimator; None for one that is exported with its initial values.

    Raises:
        ValueError: there is none, or its files are not there.
    """
    path = os.fspath(checkpoint_path) if checkpoint_path else estimator.latest_checkpoint()
    if not path and estimator._exports_untrained:
        return None
    if not path:
        raise ValueError(f"Could not find a trained model in {estimator.model_dir}; call train() first.")
    if not tf.io.gfile.exists(f"{path}.index"):
        raise ValueError(f"Could not find checkpoint {path} ({path}.index does not exist).")
    return str(path)


def write(
    estimator: Any,
    directory: Path,
    input_receiver_fn_map: Mapping[str, Callable[[], Any]],
    checkpoint_path: str | None,
    as_text: bool = False,
    strip_default_attrs: bool = True,
    signatures_of: Callable[[Any, Any], dict[str, Any]] = signatures_of,
) -> None:
    """Writes the MetaGraphs of the given modes into the empty `directory`.

    Args:
        signatures_of: makes the signatures by name from an `EstimatorSpec` and the receiver.
    """
    # Not pathlib's str: the builder takes only text.
    builder = _v1.saved_model.Builder(str(directory))
    modes = [mode for mode in _ORDER if mode in input_receiver_fn_map]
    for mode in modes:
        job = _MetaGraph(estimator, mode, input_receiver_fn_map[mode], checkpoint_path, signatures_of)
        in_fresh_thread(functools.partial(job.add_to, builder, mode == modes[0], strip_default_attrs))
    builder.save(as_text)
    prune(directory, TAGS[ModeKeys.PREDICT])


class _MetaGraph:
    """One mode's graph, its restored variables, its signatures."""

    def __init__(
        self, estimator: Any, mode: str, receiver_fn: Callable[[], Any], checkpoint_path: str | None, signatures_of: Any
    ) -> None:
        self.estimator, self.mode, self.receiver_fn = estimator, mode, receiver_fn
        self.checkpoint_path, self.signatures_of = checkpoint_path, signatures_of

    def add_to(self, builder: Any, with_variables: bool, strip_default_attrs: bool) -> None:
        kept = self.estimator.model_runtime.cellless_names(self.checkpoint_path)
        with NamingGraph().as_default() as graph, VariableNames(cellless=kept).collect() as names:
            _v1.train.create_global_step(graph)
            tf.random.set_seed(self.estimator.config.tf_random_seed)
            receiver = self.receiver_fn()
            _check_receiver(receiver, self.mode)
            with drawn_from(graph.seed):
                spec = self.estimator.model_runtime.call_model_fn(
                    receiver.features, getattr(receiver, "labels", None), self.mode, self.estimator.config
                )
            if spec.train_op is not None:
                graph.add_to_collection(_TRAIN_OP, spec.train_op)
            scaffold = spec.scaffold or _v1.train.Scaffold()
            variables = _model_variables(graph, names)
            arguments = {
                "tags": [TAGS[self.mode]],
                "signature_def_map": self.signatures_of(spec, receiver),
                "assets_collection": graph.get_collection(_v1.GraphKeys.ASSET_FILEPATHS),
                "main_op": scaffold.local_init_op or _v1.train.Scaffold.default_local_init_op(),
                "saver": scaffold.saver or _saver(variables),
                "strip_default_attrs": strip_default_attrs,
                "clear_devices": True,
            }
            if not with_variables:
                builder.add_meta_graph(**arguments)
                return
            with _v1.Session(graph=graph) as session:
                if self.checkpoint_path is None:
                    session.run([traced.variable.initializer for traced in variables.values()])
                    scaffold.init_fn(session)
                else:
                    _restore(session, scaffold.saver, variables, self.checkpoint_path)
                builder.add_meta_graph_and_variables(session, **arguments)


def _model_variables(graph: tf.Graph, names: VariableNames) -> dict[str, TracedVariable]:
    """The model's variables by their names in checkpoints, which for Keras differ from those in the graph."""
    names.add_collections(graph)
    local = {id(v) for v in [*_v1.local_variables(), *graph.get_collection(_v1.GraphKeys.METRIC_VARIABLES)]}
    return {traced.name: traced for traced in names.variables if id(traced.variable) not in local}


def _saver(variables: Mapping[str, TracedVariable]) -> Any:
    return _v1.train.Saver(saver_variables(variables.values()), sharded=True, save_relative_paths=True)


def _restore(session: Any, own_saver: Any, variables: Mapping[str, TracedVariable], checkpoint_path: str) -> None:
    """Gives the variables their values.

    Raises:
        CheckpointError: the checkpoint is damaged, or of another model.
    """
    if own_saver is not None:
        own_saver.restore(session, checkpoint_path)
        return
    values = CheckpointReader(checkpoint_path).values(
        {name: traced.variable for name, traced in variables.items()},
        optional=[name for name, traced in variables.items() if traced.optional],
    )
    for name, traced in variables.items():
        initializer = traced.variable.initializer
        session.run(initializer, {initializer.inputs[1]: values[name]} if name in values else None)


def _check_receiver_fns(receiver_fns: Mapping[str, Any]) -> None:
    if not receiver_fns:
        raise ValueError("input_receiver_fn_map is empty: give at least one mode and its input receiver function.")
    for mode, receiver_fn in receiver_fns.items():
        if mode not in TAGS:
            raise ValueError(f"Can't export mode {mode!r}; it must be one of {sorted(TAGS)} (est.ModeKeys).")
        if receiver_fn is None:
            what = "serving_input_receiver_fn" if mode == ModeKeys.PREDICT else f"input receiver function of {mode!r}"
            raise ValueError(f"The {what} must be defined: a function without arguments that returns a receiver.")


def _check_receiver(receiver: Any, mode: str) -> None:
    serving = (ServingInputReceiver, TensorServingInputReceiver)
    supervised = (SupervisedInputReceiver, UnsupervisedInputReceiver)
    wanted = serving if mode == ModeKeys.PREDICT else supervised
    if not isinstance(receiver, wanted):
        names = " or ".join(kind.__name__ for kind in wanted)
        raise ValueError(f"The input receiver function of mode {mode!r} must return a {names}, not {receiver!r}.")
