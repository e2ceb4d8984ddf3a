"""Kept requests on disk: each file a Parquet table of instances with what was predicted for them."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import structlog

from app.datasets.readers.tf_example import BadExample, decode_example
from app.registry.db import Database
from app.registry.feedback import FeedbackRepository, new_file_id
from app.releases.quality import decision
from app.serving.export_description import InputFeature
from app.serving.kept_buffer import KeptRequest
from app.serving.tensor_rows import plain
from app.storage import Storage

log = structlog.get_logger("app.kept_requests")


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
        try:
            by_model[request.model] += rows_of(request)
        except (BadExample, ValueError) as error:  # TensorFlow reads examples that are none
            log.warning("a kept request is lost", model=request.model, why=str(error))
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


def rows_of(request: KeptRequest) -> list[dict[str, Any]]:
    features = {feature.name: feature for feature in request.answered.decoder.export.features}
    rows = zip(request.answered.instances(), request.answered.predictions(), strict=True)
    return [
        {
            "id": f"{request.prediction_id}.{index}",
            "version": request.version,
            "at": request.at,
            "instance": _text(_redacted(_values(instance, features), request.redact)),
            "prediction": _text(prediction),
            "predicted": decision(prediction),
        }
        for index, (instance, prediction) in enumerate(rows)
    ]


def _text(value: Any) -> str:
    """JSON; a number that it cannot express (NaN, infinite) is null."""
    return msgspec.json.encode(value).decode()


def _values(instance: Any, features: Mapping[str, InputFeature]) -> dict[str, Any]:
    """An instance's values by feature; of a serialized `tf.Example` all that it has."""
    if not isinstance(instance, bytes):
        return dict(instance)
    return {
        name: _one(values, features.get(name))
        for name, values in ((name, found[1]) for name, found in decode_example(instance).items() if found)
        if values
    }


def _one(values: list[Any], feature: InputFeature | None) -> Any:
    """The values of a feature of an example: a list where the model takes one."""
    found = [plain(value) if isinstance(value, bytes) else value for value in values]
    is_list = len(found) > 1 if feature is None else feature.sequence or feature.shape
    return found if is_list else found[0]


def _redacted(instance: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: None if name in names else value for name, value in instance.items()}
