"""The operator's own `model_fn`s: entry points of the group `estimator_service.model_fns`, installed with the workers.

A client names one; it never sends code. An entry is a `model_fn` as `Estimator` takes it; where it has an attribute
`params_schema`, that is the JSON Schema of its `params`.
"""

from __future__ import annotations

import logging
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from app.errors import InvalidInput, Unavailable, quote_name
from app.registry.db import Database
from app.registry.model_fn_catalogue import CatalogueRepository

GROUP = "estimator_service.model_fns"
log = logging.getLogger(__name__)


def found() -> dict[str, EntryPoint]:
    """The installed entries by name."""
    return {entry.name: entry for entry in entry_points(group=GROUP)}


def model_fn(name: str) -> Any:
    """A `model_fn` of the operator's catalogue by its name.

    Raises:
        InvalidInput: this worker has no such entry.
    """
    entries = found()
    if name not in entries:
        raise InvalidInput(f"This worker has no model_fn {quote_name(name)} in its catalogue.")
    return entries[name].load()


def announce(database: Database) -> None:
    """Writes the entries to the registry, for the API. A broken entry is left out and logged."""
    entries = []
    for name, entry in found().items():
        try:
            function = entry.load()
        except Exception:
            log.exception("The catalogue entry %s can't be loaded.", name)
            continue
        lines = (function.__doc__ or "").strip().splitlines()
        entries.append((name, lines[0] if lines else "", dict(getattr(function, "params_schema", {}))))
    if not entries:
        return
    try:
        with database.session() as session:
            repository = CatalogueRepository(session)
            for name, description, schema in entries:
                repository.put(name, description, schema)
    except Unavailable:
        log.warning("The registry does not answer: the catalogue was not written.")
