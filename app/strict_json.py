"""Strict JSON: no key twice, no NaN or infinity, bounded digits, depth and number of values, UTF-8 only.

Python's reader takes all of those, and a small text can unfold into many times its size in memory.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from itertools import islice
from typing import Any

from app.errors import InvalidInput, TooLarge, quote_name

_MOST_DIGITS = 40
# Readers of single numbers cost a call per number: they are used where such a number can be.
_LONG_INTEGER = re.compile(rb"[0-9]{%d}" % (_MOST_DIGITS + 1))
_HUGE_FLOAT = re.compile(rb"[eE]\+?[0-9]{3}|[0-9]{300}")
_MOST_DEPTH, _LOOKED_AT = 500, 64 * 1024
_HEAD_BYTES = 256 * 1024
_TOO_DEEP = "The JSON is nested too deep."
_BRACKET = re.compile(rb"[][{}]")
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
"""A string, also one that does not end: so each byte is looked at once, whatever comes."""


@dataclass(frozen=True)
class JsonLimits:
    """Maximum numbers of values (of all kinds), of containers (objects and lists) and of keys in one text, and how deep
    containers may be nested; 0: any number of keys, as deep as Python's reader goes."""

    values: int
    containers: int
    depth: int = 0
    keys: int = 0

    def check(self, data: bytes) -> None:
        """Counts before anything is decoded. Raises TooLarge."""
        values, containers = data.count(b",") + 1, data.count(b"{") + data.count(b"[")
        keys = data.count(b":") if self.keys else 0
        if (
            values + containers <= self.values
            and containers <= min(self.containers, self.depth or self.containers)
            and keys <= self.keys
        ):
            return
        if len(data) > _HEAD_BYTES:
            self._check_depth(_STRING.sub(b"", data[:_HEAD_BYTES]))
        if data.count(b'"') - data.count(b'\\"') > 4 * self.values:  # at least so many ends of strings
            raise TooLarge(f"The JSON has more than {self.values} values.")
        plain = _STRING.sub(b"", data)  # perhaps they stand inside strings
        values, containers = plain.count(b",") + 1, plain.count(b"{") + plain.count(b"[")
        if containers > (self.depth or _MOST_DEPTH):
            self._check_depth(plain)
        if values + containers > self.values:
            raise TooLarge(f"The JSON has more than {self.values} values.")
        if containers > self.containers:
            raise TooLarge(f"The JSON has more than {self.containers} objects and lists.")
        if keys and plain.count(b":") > self.keys:
            raise TooLarge(f"The JSON has more than {self.keys} keys.")

    def _check_depth(self, plain: bytes) -> None:
        """Looks at the beginning of a text only: what has more brackets is over another limit."""
        depth = 0
        for found in islice(_BRACKET.finditer(plain), 2 * self.containers if self.depth else _LOOKED_AT):
            depth += 1 if found[0] in b"[{" else -1
            if depth > (self.depth or _MOST_DEPTH):
                raise InvalidInput.at("", _TOO_DEEP)


DOCUMENT = JsonLimits(values=250_000, containers=100_000, depth=64, keys=100_000)
"""A description: of a job, a schema."""


def read_json(
    data: bytes, *, finite: bool = True, characters: bool = True, limits: JsonLimits | None = DOCUMENT
) -> Any:
    """The value of a JSON text.

    Args:
        finite: refuse numbers that a double cannot hold; else they are infinite.
        characters: refuse half surrogates, which cannot be stored; else they are kept.
        limits: None: not counted, for a text whose size alone is a bound.

    Raises:
        InvalidInput: the text is not strict JSON. No message repeats a value.
        TooLarge: it has more values than `limits` allow.
    """
    if limits is not None:
        limits.check(data)
    try:
        text = data.decode("utf-8")
        value = json.loads(
            text,
            object_pairs_hook=_object,
            parse_constant=_constant,
            parse_float=_float if finite and _HUGE_FLOAT.search(data) else None,
            parse_int=_int if _LONG_INTEGER.search(data) else None,
        )
        if characters and ("\\ud" in text or "\\uD" in text):
            json.dumps(value, ensure_ascii=False).encode()
    except json.JSONDecodeError as error:
        raise InvalidInput.at("", f"This is not valid JSON (character {error.pos}): {error.msg}.") from None
    except UnicodeDecodeError as error:
        raise InvalidInput.at("", f"This is not valid Unicode: no UTF-8 at byte {error.start}.") from None
    except UnicodeError:
        raise InvalidInput.at("", "The JSON is not valid Unicode: it has half of a surrogate pair.") from None
    except RecursionError:
        raise InvalidInput.at("", _TOO_DEEP) from None
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen = set()
        for name, _ in pairs:
            if name in seen:
                raise InvalidInput.at("", f"The key {quote_name(name)} stands twice in one object.")
            seen.add(name)
    return found


def _constant(text: str) -> float:
    raise InvalidInput.at("", f"{text} is not a JSON number. Leave the field out, or send null.")


def _float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise InvalidInput.at("", "A number is too large for a double.")
    return value


def _int(text: str) -> int:
    if len(text) > _MOST_DIGITS:
        raise InvalidInput.at("", f"An integer has more than {_MOST_DIGITS} digits.")
    return int(text)
