"""`tf.layers` and `tf.nn.rnn_cell` of TensorFlow 1, which TensorFlow takes from the package `tf_keras`."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterable
from functools import partial
from types import ModuleType
from typing import Any, NoReturn

_SWITCH = "TF_USE_LEGACY_KERAS"


def prepare() -> None:
    """Sets the switch that TensorFlow asks for when it looks for these layers, where `tf_keras` is installed.

    `tf.keras` itself is Keras 3 by then, because the engine has loaded it, and stays so. A switch that is set already
    is left as it is.
    """
    if importlib.util.find_spec("tf_keras") is not None:
        os.environ.setdefault(_SWITCH, "1")


def explain(places: Iterable[Any]) -> None:
    """Lets `layers` and `nn.rnn_cell` of modules such as `tf.compat.v1` name that package where it is missing."""
    if importlib.util.find_spec("tf_keras") is not None:
        return
    for place in places:
        for home, name, shown in ((place, "layers", "tf.layers"), (place.nn, "rnn_cell", "tf.nn.rnn_cell")):
            module = ModuleType(f"tensorflow.compat.v1.{name}", f"`{shown}`, which needs the package tf_keras.")
            vars(module)["__getattr__"] = partial(_missing, shown)
            setattr(home, name, module)


def _missing(module: str, name: str) -> NoReturn:
    raise AttributeError(
        f"{module}.{name} needs the package tf_keras, because Keras 3 has no such layers: "
        "pip install 'tf_keras>=2.21,<2.22' (or this project with its extra `legacy`).",
        name=name,
    )
