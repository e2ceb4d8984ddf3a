"""The part of JSON Schema (2020-12) that describes the arguments of estimators, and its check.

Keywords: `type enum const properties required additionalProperties items minItems maxItems minProperties maxProperties
minLength maxLength pattern minimum exclusiveMinimum maximum anyOf $ref`, and OpenAPI's `discriminator`, so that
the error of a wrong argument names that argument and not each type that it does not fit. Messages never contain the
caller's values. A number is finite and an integer fits 64 bits; `true` is no number.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from app.errors import FieldError, quote_name
from app.json_pointer import pointer

Schema = Mapping[str, Any]

MOST_ERRORS = 100
"""Errors of an object or list after which no more are looked for: a request can have a hundred thousand wrong ones."""

_KINDS = {
    "object": "an object",
    "array": "a list",
    "string": "a string",
    "integer": "a whole number of at most 64 bits",
    "number": "a finite number",
    "boolean": "true or false",
    "null": "null",
}


def counted(number: int, one: str, more: str) -> str:
    """A number with its noun."""
    return f"{number} {one if number == 1 else more}"


def check(value: Any, schema: Schema, at: str = "", defs: Schema | None = None) -> list[FieldError]:
    """The errors of `value`, about `MOST_ERRORS` at most; `at` is the pointer to `value` itself.

    Args:
        defs: what `#/$defs/<name>` stands for.
    """
    return _Check(defs or {}).value(value, schema, at)


class _Check:
    def __init__(self, defs: Schema) -> None:
        self._defs = defs

    def value(self, value: Any, schema: Schema, at: str) -> list[FieldError]:
        while "$ref" in schema:
            schema = self._defs[schema["$ref"].removeprefix("#/$defs/")]
        if "anyOf" in schema:
            return self._any_of(value, schema, at)
        if "const" in schema and value != schema["const"]:
            return [FieldError(at, f"Must be {schema['const']!r}.")]
        if "enum" in schema and not any(value == known and type(value) is type(known) for known in schema["enum"]):
            return [FieldError(at, f"Must be one of {_names(schema['enum'])}.")]
        kinds = schema.get("type")
        if kinds is not None:
            kinds = [kinds] if isinstance(kinds, str) else kinds
            if not any(_is(value, kind) for kind in kinds):
                return [FieldError(at, f"Must be {' or '.join(_KINDS[kind] for kind in kinds)}.")]
        if isinstance(value, dict):
            return self._object(value, schema, at)
        if isinstance(value, list):
            return self._array(value, schema, at)
        if isinstance(value, str):
            return _text(value, schema, at)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return _number(value, schema, at)
        return []

    def _any_of(self, value: Any, schema: Schema, at: str) -> list[FieldError]:
        options = schema["anyOf"]
        if isinstance(value, dict) and "discriminator" in schema:
            return self._discriminated(value, schema, at)
        all_errors = [self.value(value, option, at) for option in options]
        if not all(all_errors):
            return []
        # An error further inside says that the value is of that kind, and what is wrong with it.
        inside = [errors for errors in all_errors if any(error.pointer != at for error in errors)]
        if len(inside) == 1:
            return inside[0]
        if inside:
            return min(inside, key=len)
        details = dict.fromkeys(error.detail for errors in all_errors for error in errors)
        return [FieldError(at, " Or: ".join(details))]

    def _discriminated(self, value: dict[str, Any], schema: Schema, at: str) -> list[FieldError]:
        key, mapping = schema["discriminator"]["propertyName"], schema["discriminator"]["mapping"]
        kind = value.get(key)
        if not isinstance(kind, str) or kind not in mapping:
            return [FieldError(at + pointer(key), f"Must be one of {_names(sorted(mapping))}.")]
        return self.value(value, {"$ref": mapping[kind]}, at)

    def _object(self, value: dict[str, Any], schema: Schema, at: str) -> list[FieldError]:
        errors = []
        properties, extra = schema.get("properties", {}), schema.get("additionalProperties", True)
        if len(value) > schema.get("maxProperties", len(value)):
            return [FieldError(at, f"Has {len(value)} entries; at most {schema['maxProperties']} are allowed.")]
        if len(value) < schema.get("minProperties", 0):
            errors.append(FieldError(at, f"Needs at least {counted(schema['minProperties'], 'entry', 'entries')}."))
        for name in schema.get("required", ()):
            if name not in value:
                errors.append(FieldError(at + pointer(name), f"The field {name!r} is missing."))
        for name, item in value.items():
            if len(errors) >= MOST_ERRORS:
                break
            inside = at + pointer(str(name)[:100])
            if name in properties:
                errors += self.value(item, properties[name], inside)
            elif extra is False:
                known = f" Known here: {_names(sorted(properties))}." if properties else ""
                errors.append(FieldError(inside, f"There is no field {quote_name(name)}.{known}"))
            elif isinstance(extra, Mapping):
                errors += self.value(item, extra, inside)
        return errors

    def _array(self, value: list[Any], schema: Schema, at: str) -> list[FieldError]:
        if len(value) > schema.get("maxItems", len(value)):
            return [FieldError(at, f"Has {len(value)} items; at most {schema['maxItems']} are allowed.")]
        if len(value) < schema.get("minItems", 0):
            return [FieldError(at, f"Needs at least {counted(schema['minItems'], 'item', 'items')}.")]
        if "items" not in schema:
            return []
        errors: list[FieldError] = []
        for i, item in enumerate(value):
            if len(errors) >= MOST_ERRORS:
                break
            errors += self.value(item, schema["items"], at + pointer(i))
        return errors


def _is(value: Any, kind: str) -> bool:
    if kind == "integer":
        return isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**63
    if kind == "number":
        return _is(value, "integer") or (isinstance(value, float) and math.isfinite(value))
    known = {"object": dict, "array": list, "string": str, "boolean": bool, "null": type(None)}
    return isinstance(value, known[kind])


def _text(value: str, schema: Schema, at: str) -> list[FieldError]:
    if len(value) > schema.get("maxLength", len(value)):
        return [FieldError(at, f"Has {len(value)} characters; at most {schema['maxLength']} are allowed.")]
    if len(value) < schema.get("minLength", 0):
        return [FieldError(at, "Must not be empty.")]
    if "\x00" in value or any("\ud800" <= char <= "\udfff" for char in value):
        return [FieldError(at, "Holds a NUL or half of a surrogate pair; remove it.")]
    if "pattern" in schema and re.fullmatch(schema["pattern"], value) is None:
        return [FieldError(at, f"Must match {schema['pattern']}.")]
    return []


def _number(value: float, schema: Schema, at: str) -> list[FieldError]:
    if value < schema.get("minimum", value):
        return [FieldError(at, f"Must be at least {schema['minimum']}.")]
    if "exclusiveMinimum" in schema and value <= schema["exclusiveMinimum"]:
        return [FieldError(at, f"Must be more than {schema['exclusiveMinimum']}.")]
    if value > schema.get("maximum", value):
        return [FieldError(at, f"Must be at most {schema['maximum']}.")]
    return []


def _names(values: Any) -> str:
    return ", ".join("null" if value is None else str(value) for value in values)
