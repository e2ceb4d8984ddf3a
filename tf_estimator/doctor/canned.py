"""Which canned model a checkpoint belongs to."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from .. import eval_events
from . import columns, optimizers
from .columns import Column, Graph

_HIDDEN = re.compile(r"dnn/hiddenlayer_(\d+)/kernel")
_CELL = re.compile(r"rnn_model/rnn/(?:stacked_rnn_cells/)?(lstm|gru|simple_rnn)_cell(?:_(\d+))?/recurrent_kernel")


@dataclass
class Model:
    """A canned model.

    Attributes:
        family: "DNN", "Linear", "DNNLinearCombined", "RNN", "Baseline", or "" for a model_fn of somebody's own.
        outputs: last dimension of the logits.
        units: units of the hidden layers or of the RNN's layers.
        cell_type: of an RNN: "lstm", "gru", "simple_rnn".
        batch_norm: whether the hidden layers have batch normalization.
        dense, linear, sequence, context: the columns of each part.
        kind: "Classifier" or "Regressor".
        sure: whether an evaluation beside the checkpoint says so; otherwise `kind` is a guess.
        unexplained: variables that the canned model does not have.
    """

    family: str = ""
    outputs: int = 0
    units: list[int] = field(default_factory=list)
    cell_type: str = ""
    batch_norm: bool = False
    dense: list[Column] = field(default_factory=list)
    linear: list[Column] = field(default_factory=list)
    sequence: list[Column] = field(default_factory=list)
    context: list[Column] = field(default_factory=list)
    kind: str = "Classifier"
    sure: bool = False
    unexplained: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        """Class name in `est`."""
        return f"{self.family}{self.kind}" if self.family else "Estimator"


def find(shapes: Mapping[str, list[int]], model_dir: str) -> Model:
    """The model that `shapes` (variable name to shape) belong to."""
    graph = Graph.read(model_dir)
    model = Model()
    own = {name: shape for name, shape in shapes.items() if name != "global_step" and not optimizers.is_slot(name)}
    deep = any(_HIDDEN.fullmatch(name) for name in own)
    wide = any(name.startswith(columns.LINEAR_SCOPE) for name in own)
    if any(_CELL.fullmatch(name) for name in own):
        _rnn(model, own, graph)
    elif deep:
        _dnn(model, own, graph)
    elif "baseline/bias" in own:
        model.family, model.outputs = "Baseline", own["baseline/bias"][0]
    if wide:
        model.family = "DNNLinearCombined" if deep else "Linear"
        model.outputs = model.outputs or own.get("linear/linear_model/bias_weights", [1])[0]
        model.linear = columns.find(own, columns.LINEAR_SCOPE, graph, linear=True)
    if model.family:
        _decide(model, model_dir)
        model.unexplained = sorted(name for name in own if not _explained(name))
    else:
        model.unexplained = sorted(own)
    return model


def _dnn(model: Model, own: Mapping[str, list[int]], graph: Graph | None) -> None:
    layers = sorted((int(match[1]), name) for name in own if (match := _HIDDEN.fullmatch(name)))
    model.family = "DNN"
    model.units = [own[name][1] for _, name in layers]
    model.outputs = own.get("dnn/logits/kernel", [0, 0])[1]
    model.batch_norm = any("/batchnorm_" in name for name in own)
    model.dense = columns.find(own, columns.DENSE_SCOPES[0], graph)
    rest = own[layers[0][1]][0] - sum(column.width for column in model.dense)
    if rest > 0:
        model.dense.append(columns.numeric(rest))


def _rnn(model: Model, own: Mapping[str, list[int]], graph: Graph | None) -> None:
    cells = sorted((int(match[2] or 0), name, match[1]) for name in own if (match := _CELL.fullmatch(name)))
    model.family = "RNN"
    model.units = [own[name][0] for _, name, _ in cells]
    model.cell_type = cells[0][2]
    model.outputs = own.get("rnn_model/logits/kernel", [0, 0])[1]
    model.sequence = columns.find(own, columns.SEQUENCE_SCOPE, graph)
    model.context = columns.find(own, columns.DENSE_SCOPES[1], graph)
    kernel = cells[0][1].replace("recurrent_kernel", "kernel")
    rest = own.get(kernel, [0])[0] - sum(column.width for column in model.sequence + model.context)
    if rest > 0 and model.sequence:
        model.context.append(columns.numeric(rest))
    elif rest > 0:
        model.sequence.append(columns.numeric(rest, sequence=True))


def _decide(model: Model, model_dir: str) -> None:
    """Classifier or regressor, from the evaluations beside the checkpoint: only classifiers report accuracy."""
    tags: set[str] = set()
    for directory in Path(model_dir).glob("eval*"):
        for metrics in eval_events.read_directory(str(directory)).values():
            tags.update(metrics)
    if "accuracy" in tags:
        model.kind, model.sure = "Classifier", True
    elif model.family == "RNN":
        model.kind = "Classifier"  # there is no RNNRegressor
    elif tags and model.outputs == 1:
        model.kind, model.sure = "Regressor", True
    elif model.outputs == 2:
        model.kind = "Regressor"  # a binary classifier has one output


def _explained(name: str) -> bool:
    known = (
        r"(dnn|rnn_model)/logits/(kernel|bias)",
        r"dnn/hiddenlayer_\d+/(kernel|bias|batchnorm_\d+/(beta|gamma|moving_mean|moving_variance))",
        r"(dnn/input_from_feature_columns/input_layer|context_features|sequence_features)/.+/embedding_weights",
        r"linear/linear_model/(bias_weights|.+/(weights|embedding_weights))",
        r"rnn_model/rnn/(stacked_rnn_cells/)?(lstm|gru|simple_rnn)_cell(_\d+)?/(kernel|recurrent_kernel|bias)",
        r"baseline/bias",
    )
    return any(re.fullmatch(pattern, name) for pattern in known)
