"""The reference of job requests, docs/jobs.md, from the types of the requests and the examples of the API."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from app.api.job_examples import EXAMPLES
from app.jobs.fields import ID_PATTERNS, MAX_STEPS
from app.jobs.request import REQUESTS, JobOptions

Schema = dict[str, Any]

_HEAD = """# Job requests

The body of `POST /v1/jobs`, field by field. Written from the types by `scripts/job_reference`; a test compares.
`GET /v1/estimators` has the arguments of estimators, feature columns, heads and optimizers, and
`POST /v1/jobs?dry_run=true` says what a body would train without storing it. Fields without a default are required.
"""
_MODEL_FN = """## Your own `model_fn`

A job with the estimator type `Estimator` names a `model_fn` of the operator's catalogue:
`{"type": "Estimator", "args": {"model_fn": "NAME", "params": {…}}}`. The catalogue are the entry points of the group
`estimator_service.model_fns` that are installed with the workers; `GET /v1/estimators` lists them. In the
`pyproject.toml` of the package that has the function:

    [project.entry-points."estimator_service.model_fns"]
    NAME = "package.module:function"

The function is a `model_fn` as `Estimator` takes it. If it has an attribute `params_schema`, a JSON Schema, the list
shows that. Install the package beside the workers and start them again. Clients name a function; they never send code.
"""
_TYPES = {
    "boolean": "true or false",
    "object": "object",
    "array": "list",
    "null": "null",
    "string": "text",
    "number": "number",
    "integer": "whole number",
}
_IDS = {pattern: f"id of a {thing}" for pattern, thing in zip(
    ID_PATTERNS.values(), ("data set", "job", "checkpoint"), strict=True
)}  # fmt: skip


def reference() -> str:
    """The page as Markdown."""
    parts = [_HEAD]
    for kind, model in REQUESTS.items():
        schema = model.model_json_schema()
        parts.append(f"## `{kind}`\n\n{model.__doc__}\n")
        parts.append(_table(schema, skip=set(JobOptions.model_fields)))
        for example in EXAMPLES.values():
            if example["value"]["type"] == kind:
                body = json.dumps(example["value"], indent=1)
                parts.append(f"{example['summary']}:\n\n```json\n{body}\n```\n")
    parts.append("## Every type of job\n\nThese fields stand in each request.\n")
    model = REQUESTS["export"]
    parts.append(_table(model.model_json_schema(), skip=set(model.model_fields) - set(JobOptions.model_fields)))
    parts.append(_MODEL_FN)
    return "\n".join(parts)


def _table(schema: Schema, skip: set[str]) -> str:
    rows = ["| field | value | default | meaning |", "|---|---|---|---|"]
    for path, field, required in _fields(schema, schema.get("$defs", {})):
        if path.split(".")[0] not in skip:
            default = "" if required else _default(field)
            cells = (f"`{path}`", _value(field, schema.get("$defs", {})), default, field["description"])
            rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(rows) + "\n"


def _default(field: Schema) -> str:
    text = json.dumps(field.get("default"))
    return f"`{text}`" if len(text) <= 60 else "the defaults below"


def _fields(schema: Schema, definitions: Schema, path: str = "") -> Iterator[tuple[str, Schema, bool]]:
    """Path, schema and whether it is required of each field, those of nested objects after the object's own."""
    for name, field in schema["properties"].items():
        yield path + name, field, name in schema.get("required", ())
        for option in _options(field, definitions):
            if "properties" in option:
                yield from _fields(option, definitions, f"{path}{name}.")


def _options(field: Schema, definitions: Schema) -> list[Schema]:
    """The alternatives of a field without null, references followed."""
    if "$ref" in field:
        field = definitions[field["$ref"].removeprefix("#/$defs/")]
    options = field.get("anyOf") or field.get("oneOf")
    if options is None:
        return [field]
    return [found for option in options for found in _options(option, definitions) if found.get("type") != "null"]


def _value(field: Schema, definitions: Schema) -> str:
    """What a field takes, in words."""
    return " or ".join(dict.fromkeys(_words(option) for option in _options(field, definitions)))


def _words(option: Schema) -> str:
    if "const" in option:
        return f"`{option['const']}`"
    if "enum" in option:
        return ", ".join(f"`{value}`" for value in option["enum"])
    if option.get("pattern") in _IDS:
        return _IDS[option["pattern"]]
    kinds = option["type"] if isinstance(option["type"], list) else [option["type"]]
    words = " or ".join(_TYPES[kind] for kind in kinds)
    if option["type"] == "object" and "additionalProperties" in option and "properties" not in option:
        return "object of names to values"
    return words + _bounds(option)


def _bounds(option: Schema) -> str:
    low, high = option.get("minimum"), option.get("maximum")
    if "exclusiveMinimum" in option:
        return f" over {option['exclusiveMinimum']:,}" + (f", up to {high:,}" if high is not None else "")
    if low is None or high is None:
        return ""
    return f" from {low:,}" if high >= MAX_STEPS else f", {low:,} to {high:,}"
