"""ETags of labels and settings: their revision."""

from __future__ import annotations

import re
from typing import Any

from app.errors import InvalidInput

ETAG: dict[str, Any] = {"headers": {"ETag": {"schema": {"type": "string"}, "description": "For `If-Match`."}}}
"""Of an answer, in the OpenAPI document."""


def etag(revision: int) -> str:
    return f'"{revision}"'


def expected_revision(if_match: str | None, if_none_match: str | None) -> int | None:
    """The revision that the thing must have by the request's headers: 0 for none yet, None for any.

    Raises:
        InvalidInput: a header is not of the form that is taken.
    """
    if if_none_match is not None:
        if if_none_match.strip() != "*" or if_match is not None:
            raise InvalidInput("If-None-Match accepts only `*` and cannot be combined with If-Match.")
        return 0
    if if_match is None:
        return None
    found = re.fullmatch(r'"?(\d{1,9})"?', if_match.strip())
    if found is None:
        raise InvalidInput('If-Match is the ETag that GET gave, for example "3".')
    return int(found[1])
