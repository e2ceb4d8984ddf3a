"""Recognition of the canned model that a checkpoint belongs to."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from .. import eval_events
from . import checkpoint_columns, optimizers, shared_embeddings
from .diagnosed_column import Column
from .graph import Graph

_HIDDEN = re.compile(r"dnn/hiddenlayer_(\d+)/kernel")
_CELL = re.compile(r"rnn_model/rnn/(?:(?:stacked_rnn_cells/)?(lstm|gru|simple_rnn)_cell(?:_(\d+))?/)?recurrent_kernel")

#: Cells by the number of their gates, for earlier releases gave a single cell's variables no name of the cell.
_GATES = {4: "lstm", 3: "gru", 1: "simple_rnn"}


@dataclass
class DiagnosedModel:
    """A canned model.

    Attributes:
        family: "DNN", "Linear", "DNNLinearCombined", "RNN", "Baseline", or "" for a model_fn of somebody's own.
        outputs: last dimension of the logits.
        units: units of the hidden layers or of the RNN's layers.
        cell_type: of an RNN: "lstm", "gru", "simple_rnn".
        batch_norm: whether the hidden layers have batch normalization.
        dense, linear, sequence, context: the columns of each part.
        kind: "Classifier" or "Regressor".
        sure: whether graph or evaluations beside the checkpoint say so; otherwise `kind` is a guess.
        head: Python of a head that no Classifier or Regressor has, "" for theirs.
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
    head: str = ""
    unexplained: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        """Class name in `est`."""
        kind = "Estimator" if self.head else self.kind
        return f"{self.family}{kind}" if self.family else "Estimator"


def find(shapes: Mapping[str, list[int]], graph: Graph | None, model_dir: str) -> DiagnosedModel:
    """The model that `shapes` (variable name to shape) belong to."""
    model = DiagnosedModel()
    own = {name: shape for name, shape in shapes.items() if name != "global_step" and not optimizers.is_slot(name)}
    deep = any(_HIDDEN.fullmatch(name) for name in own)
    wide = any(name.startswith(checkpoint_columns.SCOPES["linear"]) for name in own)
    if any(_CELL.fullmatch(name) for name in own):
        _rnn(model, own, graph)
    elif deep:
        _dnn(model, own, graph)
    elif "baseline/bias" in own:
        model.family, model.outputs = "Baseline", own["baseline/bias"][0]
    if wide:
        model.family = "DNNLinearCombined" if deep else "Linear"
        model.outputs = model.outputs or own.get("linear/linear_model/bias_weights", [1])[0]
        model.linear = checkpoint_columns.find(own, "linear", graph)
    if model.family in ("DNN", "Linear") and optimizers.is_combined(shapes):
        model.family = "DNNLinearCombined"  # with columns for one of its parts only
    if model.family:
        _decide(model, graph, model_dir)
        shared = shared_embeddings.variables(own) if model.dense or model.sequence else []
        model.unexplained = sorted(name for name in own if name not in shared and not _explained(name))
    else:
        model.unexplained = sorted(own)
    return model


def _dnn(model: DiagnosedModel, own: Mapping[str, list[int]], graph: Graph | None) -> None:
    layers = sorted((int(match[1]), name) for name in own if (match := _HIDDEN.fullmatch(name)))
    model.family = "DNN"
    model.units = [own[name][1] for _, name in layers]
    model.outputs = own.get("dnn/logits/kernel", [0, 0])[1]
    model.batch_norm = any("/batchnorm_" in name for name in own)
    inputs = own[layers[0][1]][0]
    model.dense = checkpoint_columns.find(own, "dense", graph, inputs)
    rest = inputs - sum(column.width for column in model.dense)
    if rest > 0:
        model.dense.append(checkpoint_columns.placeholder(rest))


def _rnn(model: DiagnosedModel, own: Mapping[str, list[int]], graph: Graph | None) -> None:
    cells = sorted((int(match[2] or 0), name, match[1]) for name in own if (match := _CELL.fullmatch(name)))
    model.family = "RNN"
    model.units = [own[name][0] for _, name, _ in cells]
    first = cells[0][1]
    model.cell_type = cells[0][2] or _GATES.get(own[first][1] // own[first][0], "simple_rnn")
    model.outputs = own.get("rnn_model/logits/kernel", [0, 0])[1]
    inputs = own.get(first.replace("recurrent_kernel", "kernel"), [0])[0]
    model.sequence = checkpoint_columns.find(own, "sequence", graph, inputs)
    rest = inputs - sum(column.width for column in model.sequence)
    model.context = checkpoint_columns.find(own, "context", graph, rest)
    rest -= sum(column.width for column in model.context)
    if rest > 0 and model.sequence:
        model.context.append(checkpoint_columns.placeholder(rest))
    elif rest > 0:
        model.sequence.append(checkpoint_columns.placeholder(rest, sequence=True))


def _decide(model: DiagnosedModel, graph: Graph | None, model_dir: str) -> None:
    """Classifier, regressor or another head: by the loss in the graph, else by the evaluations beside the checkpoint,
    for only classifiers report accuracy."""
    loss = graph.loss() if graph is not None else None
    if loss is not None:
        model.sure = True
        model.kind = "Regressor" if loss in ("squared", "poisson") else "Classifier"
        if loss == "poisson":
            model.head = "est.PoissonRegressionHead()"
        elif loss == "sigmoid" and model.outputs > 1:
            model.head = f"est.MultiLabelHead(n_classes={model.outputs})"
        return
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
        r"rnn_model/rnn/(kernel|recurrent_kernel|bias)",
        r"baseline/bias",
    )
    return any(re.fullmatch(pattern, name) for pattern in known)
