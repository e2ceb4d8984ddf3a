"""One value of one feature, checked and made plain. The careful way: used where the typed decoder does not reach, and
to say what is wrong with a request."""

from __future__ import annotations

import base64
import binascii
import math
from typing import Any

from app.errors import InvalidInput, quote_name
from app.json_pointer import escaped
from app.serving.export_description import InputFeature

FLOAT32_LIMIT = 3.4028235677973366e38  # from here on a double rounds to infinity
INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1
ABSENT = object()
"""Stands for a feature that an instance does not name."""


class BadValue(Exception):
    """What is wrong with a value, in words; the caller adds the place."""


def checked(value: Any, feature: InputFeature, *, example_form: bool = False) -> Any:
    """The value as the packer takes it: float, int, str or bytes, in lists of the feature's shape.

    Args:
        example_form: as in `tf.Example`, a scalar may be given as a list of one.

    Raises:
        BadValue: with the expected dtype and shape.
    """
    if value is ABSENT or value is None:
        if feature.missing is None:
            raise BadValue("is missing" if value is ABSENT else "is null")
        return stand_in(feature)
    if _is_flag(feature):
        value = _as_numbers(value)
    if feature.sequence:
        if example_form and not isinstance(value, list):
            value = [value]
        if not isinstance(value, list):
            raise BadValue(f"is {kind(value)}")
        return [_shaped(item, feature.dtype, feature.shape) for item in value]
    if feature.shape == (1,) and not isinstance(value, list):  # the engine's own columns make a bare number that shape
        value = [value]
    elif example_form and not feature.shape and isinstance(value, list) and len(value) == 1:
        value = value[0]
    return _shaped(value, feature.dtype, feature.shape)


def _is_flag(feature: InputFeature) -> bool:
    """Whether training saw 0 and 1 alone: such a column may have been one of true and false, which its data set shows
    as such."""
    return feature.dtype == "float32" and {feature.min, feature.max} <= {0, 1}


def _as_numbers(value: Any) -> Any:
    """Numbers in place of true and false."""
    if isinstance(value, list):
        return list(map(_as_numbers, value))
    return int(value) if isinstance(value, bool) else value


def stand_in(feature: InputFeature) -> Any:
    """What replaces a missing value of a feature that may be missing."""
    assert feature.missing is not None
    if feature.sequence:
        return feature.missing.value if isinstance(feature.missing.value, list) else []
    value = feature.missing.value
    if value is None:
        value = "" if feature.dtype == "string" else 0
    if feature.shape and not isinstance(value, list):
        for size in reversed(feature.shape):
            value = [value] * size
    return value


def expectation(feature: InputFeature) -> str:
    """`float32`, `a list of int64 of any length`, `string of shape [2, 3]` …"""
    dtype = {"float32": "float32 number", "int64": "int64 number", "string": "string"}[feature.dtype]
    shape = f" of shape {list(feature.shape)}" if feature.shape else ""
    return f"a list, of any length, each item a {dtype}{shape}" if feature.sequence else f"a {dtype}{shape}"


def kind(value: Any) -> str:
    """What a JSON value is, without saying the value."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    names = {dict: "an object", str: "a string", int: "an integer", float: "a number with a fraction"}
    return names.get(type(value), "of another kind")


def place(feature: InputFeature) -> str:
    return f"feature {quote_name(feature.name)}"


def _shaped(value: Any, dtype: str, shape: tuple[int, ...]) -> Any:
    if not shape:
        return _scalar(value, dtype)
    if not isinstance(value, list):
        raise BadValue(f"is {kind(value)} where a list of {shape[0]} is needed")
    if len(value) != shape[0]:
        raise BadValue(f"has a list of {len(value)} where a list of {shape[0]} is needed")
    return [_shaped(item, dtype, shape[1:]) for item in value]


def _scalar(value: Any, dtype: str) -> Any:
    if dtype == "string":
        return _string(value)
    if dtype == "int64":
        return _integer(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadValue(f"is {kind(value)}")
    if not -FLOAT32_LIMIT < value < FLOAT32_LIMIT:  # exact for integers of any size; infinite from 1e400 on
        raise BadValue("is outside the range of float32")
    return float(value)


def _integer(value: Any) -> int:
    if isinstance(value, bool):  # a column of true and false is stored as int64
        return int(value)
    if isinstance(value, float) and math.isfinite(value) and value.is_integer() and abs(value) <= 2**53:
        value = int(value)
    if not isinstance(value, int):
        raise BadValue(f"is {kind(value)}")
    if not INT64_MIN <= value <= INT64_MAX:
        raise BadValue("is outside the range of int64")
    return value


def _string(value: Any) -> str | bytes:
    if isinstance(value, bytes):  # from a binary protocol; JSON has none
        return value
    if isinstance(value, dict) and value.keys() == {"b64"}:
        return _from_b64(value["b64"])
    if not isinstance(value, str):
        raise BadValue(f"is {kind(value)}")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        raise BadValue("has half of a surrogate pair, which is no character") from None
    return value


def _from_b64(text: Any) -> bytes:
    if not isinstance(text, str):
        raise BadValue('has a "b64" that is not a string')
    try:
        return base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        raise BadValue('has a "b64" that is not base64') from None


def wrong(feature: InputFeature, error: BadValue, index: int, key: str, example: str) -> InvalidInput:
    """The error for a person: which instance, which feature, what it should be, and a body that works.

    Args:
        key: where the instances stood: `instances`, `examples` or `inputs`.
    """
    may = "" if feature.missing is None else " or null"
    expected = f"{expectation(feature)}{may}{_known(feature)}"
    detail = f"Instance {index}: {place(feature)} {error}; it has to be {expected}. {example}".rstrip()
    name = escaped(feature.name)[:100]
    return InvalidInput.at(f"/inputs/{name}/{index}" if key == "inputs" else f"/{key}/{index}/{name}", detail)


def _known(feature: InputFeature) -> str:
    if not feature.vocabulary:
        return ""
    words = [str(word)[:40] for word in feature.vocabulary[:5]]
    more = ", …" if len(feature.vocabulary) > len(words) else ""
    return f" (in training: {', '.join(words)}{more})"
