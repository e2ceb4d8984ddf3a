"""JSON as the standard has it: Python's reader also takes NaN, numbers that overflow, and keys that come twice."""

from __future__ import annotations

import json
import math
from typing import Any

from app.errors import InvalidInput, quote_name

_MOST_DIGITS = 40


def read_json(data: bytes) -> Any:
    """
    Raises:
        InvalidInput: no JSON; NaN or infinity; a number that does not fit; a key twice; a half surrogate; too deep.
    """
    try:
        text = data.decode("utf-8")
        value = json.loads(text, object_pairs_hook=_pairs, parse_constant=_constant, parse_float=_float, parse_int=_int)
        if "\\ud" in text or "\\uD" in text:
            json.dumps(value, ensure_ascii=False).encode()  # a half surrogate cannot be stored
    except json.JSONDecodeError as error:
        raise InvalidInput.at("", f"Not valid JSON at character {error.pos}: {error.msg}.") from None
    except UnicodeError:
        raise InvalidInput.at("", "The JSON is not valid Unicode (UTF-8, no half surrogates).") from None
    except RecursionError:
        raise InvalidInput.at("", "The JSON is nested too deep.") from None
    return value


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise InvalidInput.at("", f"The key {quote_name(name)} is there twice in one object.")
        found[name] = value
    return found


def _constant(text: str) -> float:
    raise InvalidInput.at("", f"{text} is not JSON. Leave the field out, or send null.")


def _float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise InvalidInput.at("", "A number is too large for a double.")
    return value


def _int(text: str) -> int:
    if len(text) > _MOST_DIGITS:
        raise InvalidInput.at("", f"An integer has more than {_MOST_DIGITS} digits.")
    return int(text)
