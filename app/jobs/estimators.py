"""Estimators, heads, columns and optimizers that a job can use, with the JSON Schema of their arguments;
`workers.estimator_json.schema` generates the file from the engine's signatures."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

_PATH = Path(__file__).with_name("estimators.json")
CATALOGUE_TYPE = "Estimator"
"""The estimator whose `model_fn` is named from the operator's catalogue."""


@functools.cache
def document() -> dict[str, Any]:
    """The whole file: `estimators heads columns optimizers schedules` (names) and `$defs` (schemas)."""
    content: dict[str, Any] = json.loads(_PATH.read_text())
    return content


@functools.cache
def definitions() -> dict[str, Any]:
    """`$defs` for checking a request: `n_classes` is optional, because the label column gives it."""
    relaxed = {}
    for name, schema in document()["$defs"].items():
        required = [argument for argument in schema.get("required", ()) if argument != "n_classes"]
        relaxed[name] = schema | {"required": required} if "required" in schema else schema
    return relaxed


def argument_schema(estimator: str, *, auto: bool) -> dict[str, Any]:
    """Schema of `args`. With `auto` the service chooses the feature columns, so none are required."""
    schema: dict[str, Any] = definitions()[estimator]
    if auto:
        required = [argument for argument in schema["required"] if not argument.endswith("feature_columns")]
        schema = schema | {"required": required}
    return schema


def takes(estimator: str, argument: str) -> bool:
    return argument in definitions()[estimator]["properties"]


def fill_defaults(estimator: str, args: dict[str, Any]) -> dict[str, Any]:
    """The arguments with the signature's plain defaults for absent ones. Nested objects (columns, heads,
    optimizers) stay as they were given."""
    properties = definitions()[estimator]["properties"]
    defaults = {name: schema["default"] for name, schema in properties.items() if "default" in schema}
    return defaults | args
