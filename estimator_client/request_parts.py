"""Parts of requests that several groups of calls have in common."""

from __future__ import annotations

import uuid


def once(key: str | None) -> dict[str, str]:
    """The header by which the service knows a request again that comes twice; None: a new key."""
    return {"Idempotency-Key": key or uuid.uuid4().hex}


def version_path(model: str, version: int | None, label: str | None) -> str:
    """Where a version is asked: by its number, by a label, or by the label `latest`. Raises ValueError for both."""
    if version is not None and label is not None:
        raise ValueError("Name a version or a label, not both.")
    place = f"/versions/{version}" if version is not None else f"/labels/{label}" if label is not None else ""
    return f"/v1/models/{model}{place}"
