"""The artifact store that the settings name."""

from __future__ import annotations

from app.config import Settings
from app.storage import Storage


def open_storage(settings: Settings) -> Storage:
    """Opens nothing in a network yet: `Storage.check` does.

    Raises:
        InvalidInput: `ARTIFACTS_URL` is neither a path nor an object store.
    """
    from app.object_store.bucket import SCHEMES

    if not settings.artifacts.startswith(SCHEMES):
        return Storage(settings.artifacts)
    from app.object_store.bucket import Bucket
    from app.object_store.cache import Cache
    from app.object_store.object_storage import ObjectStorage

    cache = Cache(settings.cache_directory, budget=settings.cache_bytes, grace_s=settings.orphan_grace_s)
    return ObjectStorage(Bucket(settings.artifacts), cache)
