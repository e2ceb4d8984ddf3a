"""Gives code that was written for `tf.estimator` its modules back.

    from tf_estimator import compat

    compat.install()

Afterwards `tf.estimator`, `tf.compat.v1.estimator`, `from tensorflow import estimator` and
`tf.keras.layers.DenseFeatures` are there, in `tensorflow`, `tensorflow.compat.v1` and `tensorflow.compat.v2` alike.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any

import tensorflow as tf

from . import import_forms, legacy_layers

#: Module attributes of `est` that become modules of their own, as `tf.estimator` had them.
_NAMESPACES = ("experimental", "export", "inputs")


def install() -> None:
    """Puts `tf.estimator` and what went with it in place. Calling it again changes nothing."""
    import tf_estimator as est

    legacy_layers.prepare()
    modern = _module("tensorflow.estimator", est)
    legacy = _module("tensorflow.compat.v1.estimator", est)
    for name in est.v1.__all__:
        setattr(legacy, name, getattr(est.v1, name))
    # The attribute and the imported module of the same name are different objects in TensorFlow.
    for place in (tf, tf.compat.v2, importlib.import_module("tensorflow.compat.v2")):
        setattr(place, "estimator", modern)  # noqa: B010  modules, to the type checker
    places = (tf.compat.v1, importlib.import_module("tensorflow.compat.v1"), tf.compat.v2.compat.v1)
    legacy_layers.explain(places)
    for place in places:
        setattr(place, "estimator", legacy)  # noqa: B010
    sys.modules["tensorflow.estimator"] = modern
    sys.modules["tensorflow.compat.v1.estimator"] = legacy
    sys.modules["tensorflow.compat.v2.estimator"] = modern
    _add(tf.keras.layers, "DenseFeatures", est.layers.DenseFeatures)
    _add(tf.compat.v1.keras.layers, "DenseFeatures", est.layers.DenseFeatures)
    layers = {"SequenceFeatures": est.layers.SequenceFeatures, "LinearModel": est.layers.LinearModel}
    converters = {"model_to_estimator": est.model_to_estimator}
    for name, members in (("experimental", layers), ("estimator", converters)):
        for home in (tf.keras, tf.compat.v1.keras):
            _add(home, name, ModuleType(f"tensorflow.keras.{name}"))
            for member, value in members.items():
                _add(getattr(home, name), member, value)
    for path, home in (("", tf.keras), ("compat.v1.", tf.compat.v1.keras), ("compat.v2.", tf.keras)):
        sys.modules.setdefault(f"tensorflow.{path}keras.estimator", home.estimator)
    import_forms.install(modern, legacy)


def _add(module: Any, name: str, value: Any) -> None:
    """Adds what is not there; what TensorFlow has itself stays."""
    if not hasattr(module, name):
        setattr(module, name, value)


def _module(name: str, source: Any) -> ModuleType:
    """A module of that name with the public names of `source` and its namespaces."""
    module = ModuleType(name, f"`{name}`, by {source.__name__}.")
    for attribute in _public(source):
        setattr(module, attribute, getattr(source, attribute))
    for namespace in _NAMESPACES:
        inner = ModuleType(f"{name}.{namespace}", f"`{name}.{namespace}`, by {source.__name__}.")
        original = getattr(source, namespace)
        for attribute in _public(original):
            setattr(inner, attribute, getattr(original, attribute))
        import_forms.explaining(inner, f"{namespace}.")
        setattr(module, namespace, inner)
        sys.modules[f"{name}.{namespace}"] = inner
    import_forms.explaining(module)
    # Old code takes these from here as well as from tf.compat.v1.train.
    for hook in _public(source.hooks):
        if not hasattr(module, hook):
            setattr(module, hook, getattr(source.hooks, hook))
    return module


def _public(module: Any) -> list[str]:
    return [name for name in getattr(module, "__all__", dir(module)) if not name.startswith("_")]
