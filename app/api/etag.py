"""ETags of labels: their revision."""

from __future__ import annotations

import re

from app.errors import InvalidInput
from app.registry.tables import Label


def etag(row: Label) -> str:
    return f'"{row.revision}"'


def expected_revision(if_match: str | None, if_none_match: str | None) -> int | None:
    """The revision that the label must have by the request's headers: 0 for none yet, None for any.

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
        raise InvalidInput('If-Match is the ETag that GET gave for this label, for example "3".')
    return int(found[1])
