"""An object store against a path: transfer, training, and the time until a big model answers from a cold cache.

    ARTIFACTS_URL=s3://bucket/prefix AWS_ENDPOINT_URL=… benchmarks/store.py [--megabytes 200] [--rounds 3] [--json FILE]

Store and path take turns. `transfer`: a directory of that size, published and fetched, against plain requests for the
same bytes with one connection (`copy`); `memory_mb` is what the process held more than before, at most. `training`: the
same small model with a checkpoint every 300 steps. `serving`: from the moment a version is wanted until a predictor has
it, from a cold cache, from a warm one, and the copy of its files alone.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from app.artifact_store import open_storage
from app.config import Settings
from app.object_store.object_storage import ObjectStorage
from app.registry.tables import Export
from app.serving.own_predictors import OwnPredictors
from app.serving.service import ServingService
from app.serving.wanted_version import WantedVersion
from tests import databases
from tests.workers.in_process import Service, flowers

_BIG = {"type": "categorical_column_with_hash_bucket", "key": "colour", "hash_bucket_size": 0}


def timed(work: Callable[[], Any]) -> float:
    began = time.perf_counter()
    work()
    return round(time.perf_counter() - began, 3)


@contextmanager
def peak_memory(into: list[float]) -> Iterator[None]:
    """Adds what this process held more than at the beginning, in MB, at most."""
    process, ended, peak = psutil.Process(), threading.Event(), 0
    before = process.memory_info().rss

    def look() -> None:
        nonlocal peak
        while not ended.wait(0.01):
            peak = max(peak, process.memory_info().rss - before)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        into.append(round(peak / 2**20, 1))


def empty_cache(storage: ObjectStorage) -> None:
    shutil.rmtree(storage.root.parent, ignore_errors=True)
    storage.root.mkdir(parents=True)


def copy(storage: ObjectStorage, key: str, directory: Path) -> None:
    """The bytes of an artifact alone: one request after the other, nothing checked."""
    import obstore

    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir()
    store = storage._bucket._store()
    for number, found in enumerate(storage._bucket.list(key)):
        with (directory / str(number)).open("wb") as file:
            for part in obstore.get(store, found.path).stream(min_chunk_size=2**20):
                file.write(part)


def transfer(storage: ObjectStorage, place: Path, size: int, rounds: int) -> dict[str, Any]:
    found: dict[str, list[float]] = {name: [] for name in ("publish", "copy", "fetch")}
    memory: list[float] = []
    for number in range(rounds):
        key = f"exports/bench-{os.getpid()}-{number}"
        storage.make(key)
        storage.path(f"{key}/file").write_bytes(os.urandom(2**20) * (size >> 20))
        with peak_memory(memory):
            found["publish"].append(timed(lambda key=key: storage.publish(key)))  # type: ignore[misc]
        found["copy"].append(timed(lambda key=key: copy(storage, key, place / "copy")))  # type: ignore[misc]
        storage.drop(key)
        with peak_memory(memory):
            found["fetch"].append(timed(lambda key=key: storage.hold(key).release()))  # type: ignore[misc]
        storage.remove(key)
    middle = {name: statistics.median(times) for name, times in found.items()}
    return middle | {"fetch_to_copy": round(middle["fetch"] / middle["copy"], 2), "memory_mb": max(memory)}


def training(services: dict[str, Service], datasets: dict[str, str], rounds: int) -> dict[str, Any]:
    plain = {"columns": "auto", "export": "none"}
    bodies = {name: request(dataset, {"hidden_units": [4]}) | plain for name, dataset in datasets.items()}
    found: dict[str, list[float]] = {name: [] for name in services}
    for number in range(rounds + 1):
        for name, service in services.items():
            job = service.submit(
                bodies[name] | {"train": {"max_steps": 6000, "save_checkpoints_steps": 300, "seed": 1}}
            )
            seconds = timed(lambda service=service, job=job: service.run(job))  # type: ignore[misc]
            assert service.job(job).state == "SUCCEEDED"
            if number:  # the first one warms up
                found[name].append(seconds)
    middle = {name: statistics.median(times) for name, times in found.items()}
    return middle | {"store_to_path": round(middle["store"] / middle["path"], 3)}


def request(dataset: str, args: dict[str, Any]) -> dict[str, Any]:
    data = {"train": {"dataset": dataset, "label": "kind"}}
    return {"type": "train", "model": "m", "estimator": {"type": "DNNClassifier", "args": args}, "data": data}


def serving(service: Service, dataset: str, place: Path, size: int, rounds: int) -> dict[str, Any]:
    """Of a model whose embedding has that many bytes."""
    embedding = {
        "type": "embedding_column",
        "categorical_column": _BIG | {"hash_bucket_size": size // 200},
        "dimension": 50,
    }
    args = {"hidden_units": [4], "feature_columns": [embedding]}
    job = service.submit(request(dataset, args) | {"train": {"max_steps": 1}})
    assert service.run(job) == "succeeded"
    with service.database.read() as session:
        export = session.get(Export, service.job(job).result["export"])
    storage = service.storage
    assert isinstance(storage, ObjectStorage) and export is not None
    found: dict[str, list[float]] = {name: [] for name in ("cold", "warm", "copy")}
    for _ in range(rounds):
        empty_cache(storage)
        found["copy"].append(timed(lambda: copy(storage, export.path, place / "copy")))
        found["cold"].append(asyncio.run(ready(storage, export)))
        found["warm"].append(asyncio.run(ready(storage, export)))
    middle = {name: round(statistics.median(times), 3) for name, times in found.items()}
    return middle | {"bytes": export.bytes, "cold_to_copy": round(middle["cold"] / middle["copy"], 2)}


async def ready(storage: ObjectStorage, export: Export) -> float:
    """Seconds from when a version is wanted until a waiting predictor has it."""
    service = ServingService(
        hold=lambda path, digest: storage.hold(storage.key(path), digest), predictors=OwnPredictors(spare=False)
    )
    await service.start()
    while not service.predictor_pid:  # noqa: ASYNC110  it tells it no other way
        await asyncio.sleep(0.01)
    began = time.perf_counter()
    service.sync([WantedVersion("m", 1, str(storage.path(export.path)), export.digest, "ver", labels=("latest",))])
    while not any(True for _ in service.models.held()):  # noqa: ASYNC110  the same
        await asyncio.sleep(0.002)
    seconds = time.perf_counter() - began
    await service.stop()
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    url, size = Settings().artifacts_url, options.megabytes << 20
    with tempfile.TemporaryDirectory(prefix="store-benchmark-") as name:
        place = Path(name)
        databases.migrated(f"sqlite:///{place / 'registry.db'}").close()
        services = {
            "path": Service(place / "path", place / "registry.db"),
            "store": Service(place / "store", place / "registry.db", artifacts_url=url),
        }
        storage = open_storage(services["store"].settings)
        if not isinstance(storage, ObjectStorage):
            parser.error("ARTIFACTS_URL has to name an object store, as s3://bucket/prefix.")
        storage.check()
        datasets = {kind: service.upload(flowers()) for kind, service in services.items()}
        told = {
            "transfer": transfer(storage, place, size, options.rounds),
            "training": training(services, datasets, options.rounds),
            "serving": serving(services["store"], datasets["store"], place, size, options.rounds),
        }
    print(json.dumps(told, indent=1))
    if options.json is not None:
        options.json.write_text(json.dumps(told))


if __name__ == "__main__":
    main()
