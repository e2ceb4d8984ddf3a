"""Names that the fields of a msgspec structure can have in JSON."""

from __future__ import annotations

import re
from collections.abc import Iterable

_ESCAPED = re.compile(r'["\\\x00-\x1f]')
"""Characters that JSON escapes: msgspec takes no name with one."""


def can_be_fields(names: Iterable[str]) -> bool:
    return not any(map(_ESCAPED.search, names))
