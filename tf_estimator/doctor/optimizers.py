"""Recognition of the optimizer of a checkpoint, from the names of its slots and hyperparameters."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from .graph import Graph

#: Keras' optimizers as canned models of TensorFlow 2 stored them (`training/<name>/…`): the arguments they stored.
_ARGUMENTS = {
    "Adagrad": ("learning_rate",),
    "Adam": ("learning_rate", "beta_1", "beta_2"),
    "Adamax": ("learning_rate", "beta_1", "beta_2"),
    "Nadam": ("learning_rate", "beta_1", "beta_2"),
    "Adadelta": ("learning_rate", "rho"),
    "Ftrl": (
        "learning_rate",
        "learning_rate_power",
        "l1_regularization_strength",
        "l2_regularization_strength",
        "beta",
    ),
    "RMSprop": ("learning_rate", "rho", "momentum"),
    "SGD": ("learning_rate", "momentum"),
}

#: Slots that only an optimizer with this argument has.
_SLOT_ARGUMENTS = {("Adam", "vhat"): "amsgrad", ("RMSprop", "mg"): "centered"}

#: Last part of the slot names of TensorFlow 1's optimizers (`<variable>[/t_0 | /part_0]/<slot>`), each an optimizer's
#: own name in `tf.compat.v1.train`, and the arguments that stand as constants in a graph, by the constants' names.
_V1_ARGUMENTS: dict[str, dict[str, str]] = {
    "Adadelta": {"lr": "learning_rate", "rho": "rho", "epsilon": "epsilon"},
    "Adagrad": {"learning_rate": "learning_rate"},
    "Adam": {"learning_rate": "learning_rate", "beta1": "beta1", "beta2": "beta2", "epsilon": "epsilon"},
    "Ftrl": {
        "learning_rate": "learning_rate",
        "learning_rate_power": "learning_rate_power",
        "l1_regularization_strength": "l1_regularization_strength",
        "l2_regularization_strength": "l2_regularization_strength",
    },
    "GradientDescent": {"learning_rate": "learning_rate"},
    "Momentum": {"learning_rate": "learning_rate", "momentum": "momentum"},
    "ProximalAdagrad": {"learning_rate": "learning_rate"},
    "RMSProp": {"learning_rate": "learning_rate", "decay": "decay", "momentum": "momentum", "epsilon": "epsilon"},
}

#: Arguments that v1's constructors want and a checkpoint without its graph does not hold. 0.05 is the rate of the
#: canned deep models of v1.
_V1_UNKNOWN = {"Momentum": {"learning_rate": 0.05, "momentum": 0.9}}

#: Optimizers that v1's canned models take by name, with their own rates.
_V1_NAMES = {"Adagrad", "Adam", "Ftrl", "RMSProp"}


@dataclass
class Optimizer:
    """An optimizer and what it trains.

    Attributes:
        name: class name in `tf.keras.optimizers`; of v1 without its "Optimizer" at the end.
        arguments: its hyperparameters.
        variables: names of the variables that have slots.
        v1: whether it is one of `tf.compat.v1.train`.
        notes: what of it is a guess, or can't be said in a constructor.
    """

    name: str
    arguments: dict[str, float] = field(default_factory=dict)
    variables: list[str] = field(default_factory=list)
    v1: bool = False
    notes: list[str] = field(default_factory=list)

    def code(self) -> str:
        """Python that makes it."""
        if not self.v1:
            arguments = {name: value for name, value in self.arguments.items() if name == "learning_rate" or value}
            return f"tf.keras.optimizers.{self.name}({_arguments(arguments)})"
        if not self.arguments and self.name in _V1_NAMES:
            return f'"{self.name}"'
        arguments = self.arguments or _V1_UNKNOWN.get(self.name, {"learning_rate": 0.05})
        return f"tf.compat.v1.train.{self.name}Optimizer({_arguments(arguments)})"


def find(names: Iterable[str], scalars: Mapping[str, float], graph: Graph | None = None) -> dict[str, Optimizer]:
    """Optimizers by name, with the variables that each one has slots for.

    Canned models of TensorFlow 2 store a rate in every checkpoint. So a checkpoint that has neither a rate nor slots
    was trained by v1's GradientDescentOptimizer, the only one without slots.
    """
    names = list(names)
    found: dict[str, Optimizer] = {}
    for key in names:
        parts = key.split("/")
        if parts[0] == "training" and len(parts) > 2:
            optimizer = found.get(parts[1]) or found.setdefault(parts[1], _keras(parts[1], scalars))
            if len(parts) > 3:
                _note(optimizer, "/".join(parts[2:-1]))
                if argument := _SLOT_ARGUMENTS.get((optimizer.name, parts[-1])):
                    optimizer.arguments[argument] = True
        elif _is_v1_slot(key):
            name = parts[-1].removesuffix("_1")
            optimizer = found.get(name) or found.setdefault(name, _v1(name, graph))
            _note(optimizer, re.sub(r"/(t|part)_\d+$", "", "/".join(parts[:-1])))
    slots = {variable for optimizer in found.values() for variable in optimizer.variables}
    deep = any(name.startswith("dnn/logits/") for name in names)
    wide = any(name.startswith("linear/linear_model/") for name in names)
    if not any(name.startswith("training/") for name in names):
        for present, scope in ((deep, "dnn/"), (wide, "linear/"), ("baseline/bias" in names, "baseline/")):
            if present and not any(variable.startswith(scope) for variable in slots):
                optimizer = found.setdefault("GradientDescent", _v1("GradientDescent", graph))
                _note(optimizer, scope)
    return found


def is_slot(key: str) -> bool:
    """Whether a variable is an optimizer's and not the model's."""
    powers = {"beta1_power", "beta2_power"}
    last = key.rpartition("/")[2].removesuffix("_1")  # of the second of two optimizers
    return key.startswith("training/") or _is_v1_slot(key) or last in powers


def is_combined(names: Iterable[str]) -> bool:
    """Whether v1's DNNLinearCombined* made these variables: its slots stand directly under their variable, those of
    its DNN* and Linear* under `t_0` and `part_0`."""
    slots = [name for name in names if _is_v1_slot(name) and not name.startswith("training/")]
    return bool(slots) and not any(re.search(r"/(t|part)_\d+/[^/]+$", name) for name in slots)


def _is_v1_slot(key: str) -> bool:
    return "/" in key and key.rpartition("/")[2].removesuffix("_1") in _V1_ARGUMENTS


def _note(optimizer: Optimizer, variable: str) -> None:
    if variable not in optimizer.variables:
        optimizer.variables.append(variable)


def _keras(scope: str, scalars: Mapping[str, float]) -> Optimizer:
    name = re.sub(r"_\d+$", "", scope)  # a second optimizer of the same class is Adam_1
    stored = {argument: scalars.get(f"training/{scope}/{argument}") for argument in _ARGUMENTS.get(name, ())}
    optimizer = Optimizer(name, {argument: value for argument, value in stored.items() if value is not None})
    if "learning_rate" not in optimizer.arguments:
        optimizer.notes.append("No learning rate is in the checkpoint, so it was a schedule: put yours")
    decay = scalars.get(f"training/{scope}/decay")
    if decay:
        optimizer.notes.append(
            f"It had decay={decay:.6g}, today a schedule: tf.keras.optimizers.schedules.InverseTimeDecay"
            f"({optimizer.arguments.get('learning_rate', 0.001):.6g}, 1, {decay:.6g})"
        )
    return optimizer


def _v1(name: str, graph: Graph | None) -> Optimizer:
    constants = graph.v1_hyperparameters(name) if graph is not None else {}
    arguments = {argument: constants[node] for node, argument in _V1_ARGUMENTS[name].items() if node in constants}
    optimizer = Optimizer(name, arguments, v1=True)
    if not arguments:
        optimizer.notes.append("v1's checkpoints hold no rates, this one is the default of its class: put yours")
    return optimizer


def _arguments(arguments: Mapping[str, float]) -> str:
    return ", ".join(f"{k}={v if isinstance(v, bool) else format(v, '.6g')}" for k, v in arguments.items())
