"""Which optimizer a checkpoint was trained with, from the names of its slots and hyperparameters."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

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

#: Last part of the slot names of TensorFlow 1's optimizers (`<variable>/<slot>`).
_V1_SLOTS = {"Adagrad": "Adagrad", "Adam": "Adam", "Ftrl": "Ftrl", "RMSProp": "RMSprop", "Momentum": "SGD"}


@dataclass
class Optimizer:
    """An optimizer and what it trains.

    Attributes:
        name: class name in `tf.keras.optimizers`.
        arguments: its hyperparameters.
        variables: names of the variables that have slots.
        old_names: whether the slots have the names of TensorFlow 1.
    """

    name: str
    arguments: dict[str, float] = field(default_factory=dict)
    variables: list[str] = field(default_factory=list)
    old_names: bool = False

    def code(self) -> str:
        """Python that makes it."""
        arguments = {name: value for name, value in self.arguments.items() if name == "learning_rate" or value}
        return f"tf.keras.optimizers.{self.name}({', '.join(f'{k}={v:.6g}' for k, v in arguments.items())})"


def find(names: Iterable[str], scalars: Mapping[str, float]) -> dict[str, Optimizer]:
    """Optimizers by name, with the variables that each one has slots for."""
    found: dict[str, Optimizer] = {}
    for key in names:
        parts = key.split("/")
        if parts[0] == "training" and len(parts) > 2:
            optimizer = found.setdefault(parts[1], Optimizer(parts[1], _arguments(parts[1], scalars)))
            if len(parts) > 3:
                _note(optimizer, "/".join(parts[2:-1]))
        elif parts[-1].removesuffix("_1") in _V1_SLOTS and len(parts) > 1:
            name = _V1_SLOTS[parts[-1].removesuffix("_1")]
            optimizer = found.setdefault(name, Optimizer(name, old_names=True))
            _note(optimizer, "/".join(parts[:-1]))
    return found


def is_slot(key: str) -> bool:
    """Whether a variable is an optimizer's and not the model's."""
    last = key.rpartition("/")[2]
    powers = {"beta1_power", "beta2_power"}
    return key.startswith("training/") or ("/" in key and last.removesuffix("_1") in _V1_SLOTS) or last in powers


def _note(optimizer: Optimizer, variable: str) -> None:
    if variable not in optimizer.variables:
        optimizer.variables.append(variable)


def _arguments(name: str, scalars: Mapping[str, float]) -> dict[str, float]:
    stored = {argument: scalars.get(f"training/{name}/{argument}") for argument in _ARGUMENTS.get(name, ())}
    return {argument: value for argument, value in stored.items() if value is not None}
