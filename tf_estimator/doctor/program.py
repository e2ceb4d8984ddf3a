"""Python that continues a model directory."""

from __future__ import annotations

import json
from collections.abc import Sequence

from .canned import Model
from .columns import Column
from .optimizers import Optimizer


def write(model: Model, found: dict[str, Optimizer], model_dir: str) -> str:
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
    arguments = _arguments(model)
    arguments += _optimizers(model, found)
    if any(optimizer.old_names for optimizer in found.values()):
        arguments += [
            "    # The slots have TensorFlow 1's names, so only the weights go on, in a new directory.",
            f"    model_dir={json.dumps(model_dir.rstrip('/') + '-continued')},",
            f"    warm_start_from={json.dumps(model_dir)},",
        ]
    else:
        arguments.append(f"    model_dir={json.dumps(model_dir)},")
    module = "est.experimental" if model.family == "RNN" else "est"
    lines += [f"estimator = {module}.{model.name}(", *arguments, ")"]
    lines += ["", "# estimator.train(input_fn, steps=1000)", "# estimator.evaluate(input_fn)"]
    return "\n".join(lines) + "\n"


def _arguments(model: Model) -> list[str]:
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
    if model.kind == "Regressor":
        lines.append(f"    label_dimension={model.outputs},{_guess(model, '')}")
    else:
        n_classes = max(model.outputs, 2)  # a binary classifier has one output
        lines.append(f"    n_classes={n_classes},{_guess(model, f'label_dimension={model.outputs}')}")
    return lines


def _guess(model: Model, regressor: str) -> str:
    if model.sure:
        return ""
    other = f"a {model.family}Regressor ({regressor}) or " if regressor and model.family != "RNN" else ""
    return f"  # a guess: it may be {other}another head"


def _columns(argument: str, found: Sequence[Column]) -> list[str]:
    lines = [f"    {argument}=["]
    for column in found:
        if column.note:
            lines.append(f"        # {column.note}")
        lines.append(f"        {column.code},")
    return [*lines, "    ],"]


def _optimizers(model: Model, found: dict[str, Optimizer]) -> list[str]:
    if model.family != "DNNLinearCombined":
        return [f"    optimizer={optimizer.code()}," for optimizer in list(found.values())[:1]]
    lines = []
    for optimizer in found.values():
        linear = any(variable.startswith("linear/") for variable in optimizer.variables)
        lines.append(f"    {'linear_optimizer' if linear else 'dnn_optimizer'}={optimizer.code()},")
    return sorted(lines)
