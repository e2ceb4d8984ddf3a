"""Python that continues a model directory."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from .canned import DiagnosedModel
from .diagnosed_column import Column
from .optimizers import Optimizer


def write(model: DiagnosedModel, found: dict[str, Optimizer], model_dir: str) -> str:
    """A program that makes the estimator again; what is a guess is marked with a comment."""
    lines = ["import tensorflow as tf", "", "import tf_estimator as est", ""]
    if not model.family:
        lines += [
            "# A model_fn that makes variables of the names and shapes listed above.",
            "from your_program import model_fn",
            "",
            f"estimator = est.Estimator(model_fn, model_dir={json.dumps(model_dir)})",
        ]
        return "\n".join(lines) + "\n"
    arguments = [*_arguments(model), *_optimizers(model, found), f"    model_dir={json.dumps(model_dir)},"]
    columns = (*model.linear, *model.dense, *model.sequence, *model.context)
    for column in columns:
        lines += [*column.before.splitlines(), ""] if column.before else []
    keys = [key for column in columns for key in re.findall(r'"([^"]*)"', column.code)]
    if any("_" in key for key in keys):
        lines += ["# Checkpoints have `_` where a column's name has a blank or another character: put the real names."]
    lines += [f"estimator = {_module(model, found)}.{model.name}(", *arguments, ")"]
    lines += ["", "# estimator.train(input_fn, steps=1000)", "# estimator.evaluate(input_fn)"]
    return "\n".join(lines) + "\n"


def is_v1(found: dict[str, Optimizer]) -> bool:
    """Whether a directory is one of `tf.compat.v1.estimator`'s."""
    return any(optimizer.v1 for optimizer in found.values())


def _module(model: DiagnosedModel, found: dict[str, Optimizer]) -> str:
    if model.family == "RNN":
        return "est.experimental"
    return "est.v1" if is_v1(found) else "est"


def _arguments(model: DiagnosedModel) -> list[str]:
    combined = model.family == "DNNLinearCombined"
    lines: list[str] = []
    if model.linear:
        lines += _columns("linear_feature_columns" if combined else "feature_columns", model.linear)
    if model.dense:
        lines += _columns("dnn_feature_columns" if combined else "feature_columns", model.dense)
    if model.sequence:
        lines += _columns("sequence_feature_columns", model.sequence)
    if model.context:
        lines += _columns("context_feature_columns", model.context)
    if model.family == "RNN":
        lines += [f"    units={model.units},", f'    cell_type="{model.cell_type}",']
    elif model.units:
        lines.append(f"    {'dnn_hidden_units' if combined else 'hidden_units'}={model.units},")
    if model.batch_norm:
        lines.append("    batch_norm=True,")
    if model.head:
        lines.append(f"    head={model.head},")
    elif model.kind == "Regressor":
        lines.append(f"    label_dimension={model.outputs},{_guess(model, '')}")
    else:
        n_classes = max(model.outputs, 2)  # a binary classifier has one output
        lines.append(f"    n_classes={n_classes},{_guess(model, f'label_dimension={model.outputs}')}")
    return lines


def _guess(model: DiagnosedModel, regressor: str) -> str:
    if model.sure:
        return ""
    other = f"a {model.family}Regressor ({regressor}) or " if regressor and model.family != "RNN" else ""
    return f"  # a guess: it may be {other}another head"


def _columns(argument: str, found: Sequence[Column]) -> list[str]:
    lines = [f"    {argument}=["]
    for column in found:
        if column.note:
            lines.append(f"        # {column.note}.")
        lines.append(f"        {column.code},")
    return [*lines, "    ],"]


def _optimizers(model: DiagnosedModel, found: dict[str, Optimizer]) -> list[str]:
    if model.family != "DNNLinearCombined":
        return [line for optimizer in list(found.values())[:1] for line in _one("optimizer", optimizer)]
    lines = []
    for argument, scope in (("dnn_optimizer", "dnn/"), ("linear_optimizer", "linear/")):
        used = (o for o in found.values() if any(variable.startswith(scope) for variable in o.variables))
        # An optimizer of TensorFlow 2 without slots (SGD) is that of the part that no other one trains.
        free = (o for o in found.values() if not o.variables)
        optimizer = next(used, None) or next(free, None)
        if optimizer is not None:
            lines += _one(argument, optimizer)
    return lines


def _one(argument: str, optimizer: Optimizer) -> list[str]:
    return [*(f"    # {note}." for note in optimizer.notes), f"    {argument}={optimizer.code()},"]
