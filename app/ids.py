"""Identifiers made by the server: a prefix that names the kind, then 26 characters that sort by time of making."""

from __future__ import annotations

import os
import re
import time

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32: no i, l, o, u
_TIME_BITS, _RANDOM_BITS, _LENGTH = 48, 80, 26

ID_PATTERN = r"^[a-z]{2,5}_[0-9a-hjkmnp-tv-z]{26}$"
NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$"
"""What people may call a model, a label or an evaluation: it is used in URLs, never in paths."""

_ID = re.compile(ID_PATTERN)


def new_id(prefix: str) -> str:
    """A new identifier, for example `job_01k9…`; prefixes in use: job, ds, exp, ckpt, eval, tok, ver."""
    number = (int(time.time() * 1000) << _RANDOM_BITS) | int.from_bytes(os.urandom(_RANDOM_BITS // 8), "big")
    digits = []
    for _ in range(_LENGTH):
        number, digit = divmod(number, 32)
        digits.append(_ALPHABET[digit])
    return f"{prefix}_{''.join(reversed(digits))}"


def is_id(text: str, prefix: str) -> bool:
    """Whether `text` has the form of an identifier of that kind. Check before any use of a caller's id."""
    return text.startswith(prefix + "_") and _ID.fullmatch(text) is not None
