"""Kept requests on disk: each file a Parquet table of instances with what was predicted for them."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any

from app.registry.db import Database
from app.registry.feedback import FeedbackRepository, new_file_id
from app.releases.keep import KeptRequest
from app.releases.quality import decision
from app.storage import Storage

_ANSWERS = ("predictions", "results", "outputs", "result")


def write(database: Database, storage: Storage, requests: Iterable[KeptRequest]) -> None:
    """Writes one file for each model, then its rows; a file without rows is removed by the reconciler.

    Raises:
        Unavailable: the database or the store does not answer.
        OSError: the disk is full, for example.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    by_model: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for request in requests:
        by_model[request.model] += _rows(request)
    for model, rows in by_model.items():
        if not rows:
            continue
        file_id = new_file_id()
        key = f"kept/{file_id}"
        path = storage.path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        columns = ("id", "version", "at", "instance", "prediction")
        pq.write_table(pa.table({name: [row[name] for row in rows] for name in columns}), path, compression="zstd")
        index = [{name: row[name] for name in ("id", "version", "at", "predicted")} for row in rows]
        size = path.stat().st_size
        storage.publish(key)
        with database.session() as session:
            known = FeedbackRepository(session).add_file(model, file_id, key, size, index)
        if not known:
            storage.remove(key)


def read(path: Path, ids: Collection[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Identifier and instance of those rows of a file that are asked for; nothing when the file was removed."""
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path, columns=["id", "instance"])
    except FileNotFoundError:
        return
    for number, text in zip(table["id"].to_pylist(), table["instance"].to_pylist(), strict=True):
        if number in ids:
            yield number, json.loads(text)


def _rows(request: KeptRequest) -> list[dict[str, Any]]:
    asked, answered = json.loads(request.body), json.loads(request.answer)
    instances = _instances(asked)
    found: Any = next((answered[name] for name in _ANSWERS if name in answered), [])
    predictions = _by_row(found) if "outputs" in answered else found
    return [
        {
            "id": f"{request.prediction_id}.{index}",
            "version": request.version,
            "at": request.at,
            "instance": json.dumps(_redacted(instance, request.redact)),
            "prediction": json.dumps(prediction),
            "predicted": decision(prediction),
        }
        for index, (instance, prediction) in enumerate(zip(instances, predictions, strict=False))
    ]


def _instances(asked: dict[str, Any]) -> list[Any]:
    if "inputs" in asked:
        return _by_row(asked["inputs"])
    return list(asked.get("instances") or asked.get("examples") or [])


def _by_row(columns: Any) -> list[Any]:
    if not isinstance(columns, dict):
        return list(columns)
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=False)]


def _redacted(instance: Any, names: tuple[str, ...]) -> Any:
    if not isinstance(instance, dict):  # the only feature's value
        return None if names else instance
    return {name: None if name in names else value for name, value in instance.items()}
