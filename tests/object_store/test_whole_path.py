"""The whole path on hosts that share an object store and nothing else: upload, train, die, resume elsewhere, export,
predict; and what an outage of the store does on the way."""

from __future__ import annotations

import os
import re
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.model_sync import ModelSync
from app.registry.checkpoints import CheckpointRepository
from app.registry.jobs.repository import JobRepository
from app.registry.metric_points import MetricRepository
from app.serving.model_limits import BatchLimits
from app.serving.own_predictors import OwnPredictors
from app.serving.version_files import Held
from app.storage import Storage
from tests.object_store.stores import BUCKET, FaultProxy, environment
from tests.serving.conftest import Server
from tests.waiting import wait_for
from tests.workers.in_process import Service, flowers
from workers.reconciler import Reconciler
from workers.worker.slot import Slot
from workers.worker.trainer_handle import TrainerProcess


@pytest.fixture(scope="module")
def faults(moto_s3: str) -> Iterator[FaultProxy]:
    proxy = FaultProxy(moto_s3)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment(proxy.endpoint).items():
            patch.setenv(name, value)
        yield proxy
    proxy.close()


class Cluster:
    """Hosts of one registry, each with a cache of its own."""

    def __init__(self, directory: Path, migrated: Path) -> None:
        self.directory, self.url = directory, f"s3://{BUCKET}/{os.urandom(8).hex()}"
        self.api = Service(directory, migrated, artifacts_url=self.url, cache_dir=directory / "api")
        self._hosts = 0

    def host(self) -> Service:
        """A host that has nothing yet."""
        self._hosts += 1
        made: Service = object.__new__(Service)
        update = {"cache_dir": self.directory / f"host-{self._hosts}"}
        made.settings = self.api.settings.model_copy(update=update)
        made.database = self.api.database
        made.storage = open_store(made)
        return made


def open_store(service: Service) -> Storage:
    from app.artifact_store import open_storage

    return open_storage(service.settings)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory, migrated_sqlite: Path, faults: FaultProxy) -> Iterator[Cluster]:
    made = Cluster(tmp_path_factory.mktemp("cluster"), migrated_sqlite)
    yield made
    made.api.database.close()


@pytest.fixture(scope="module")
def body(cluster: Cluster) -> dict[str, Any]:
    return {
        "type": "train",
        "model": "flowers",
        "estimator": {"type": "DNNClassifier", "args": {"hidden_units": [4]}},
        "columns": "auto",
        "data": {"train": {"dataset": cluster.api.upload(flowers()), "label": "kind"}},
        "train": {"max_steps": 3_000, "save_checkpoints_steps": 300, "seed": 1},
    }


def run_and_kill(host: Service, job_id: str) -> None:
    """A real trainer, killed when it has a checkpoint."""
    environment = os.environ | {
        "DATA_DIR": str(host.settings.data_dir),
        "DATABASE_URL": "",
        "ARTIFACTS_URL": host.settings.artifacts_url,
        "CACHE_DIR": str(host.settings.cache_directory),
        "HEARTBEAT_S": "0.1",
    }
    slot = Slot(
        host.settings,
        host.database,
        start_trainer=lambda devices: TrainerProcess(devices, environment=environment),
    )

    def kill() -> None:
        wait_for(lambda: host.look(CheckpointRepository, "latest", job_id) is not None)
        assert slot.trainer is not None
        os.kill(slot.trainer.pid, signal.SIGKILL)

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        assert slot.run(job_id, 0) == "lost"
    finally:
        thread.join()
        slot.close()


@pytest.fixture(scope="module")
def trained(cluster: Cluster, faults: FaultProxy, body: dict[str, Any]) -> str:
    """A job that was killed on one host and went on on another, where the store failed for a while."""
    job_id = cluster.api.submit(body)
    run_and_kill(cluster.host(), job_id)
    other = cluster.host()
    reached = other.look(CheckpointRepository, "latest", job_id).step

    def fail_for_a_while() -> None:
        wait_for(lambda: other.look(CheckpointRepository, "latest", job_id).step > reached)
        before, faults.fault = len(faults.seen), "500"
        wait_for(lambda: len(faults.seen) > before + 10)
        faults.mend()

    thread = threading.Thread(target=fail_for_a_while)
    thread.start()
    outcome = other.run(job_id)
    thread.join()
    assert outcome == "succeeded"
    return job_id


def test_job_goes_on_on_another_host_as_if_nothing_had_been(
    cluster: Cluster, trained: str, body: dict[str, Any]
) -> None:
    killed, last = cluster.api.look(JobRepository, "attempts", trained)
    assert (killed.state, killed.exit_signal) == ("LOST", signal.SIGKILL)
    assert last.resumed_from_step >= 300
    undisturbed = cluster.host()
    job_id = undisturbed.submit(body | {"export": "none"})
    assert undisturbed.run(job_id) == "succeeded"
    series = [cluster.api.look(MetricRepository, "series", job, "loss") for job in (job_id, trained)]
    assert len(series[0]) > 50
    assert series[0] == series[1]


def test_log_and_events_of_a_dead_trainer_are_read_on_another_host(cluster: Cluster, trained: str) -> None:
    storage = cluster.api.storage
    [key] = storage.log_keys(trained, 1)
    log = storage.read_end(key, 1 << 20)
    assert log is not None
    assert b"INFO" in log
    assert not storage.path(key).exists()
    assert any(name.startswith("events.out.tfevents") for name in storage.names(storage.attempt_key(trained, 1)))


def test_predictions_in_batches_and_online_are_the_same_from_cold_caches(
    cluster: Cluster, faults: FaultProxy, trained: str, body: dict[str, Any]
) -> None:
    worker, api = cluster.host(), cluster.api
    checkpoint = worker.look(CheckpointRepository, "latest", trained).id
    dataset = body["data"]["train"]["dataset"]
    job_id = worker.submit({"type": "predict", "checkpoint": checkpoint, "data": {"predict": {"dataset": dataset}}})
    assert worker.run(job_id) == "succeeded"
    result = api.job(job_id).result
    with api.storage.reading(api.storage.prediction_key(job_id), result["digest"]) as path:
        rows = (path / "predictions.jsonl").read_text().splitlines()
    assert len(rows) == result["rows"] == 200

    serving = Serving(cluster.host())
    try:
        serving.wait_for("flowers")
        answer = serving.ask("flowers")
        assert answer["predictions"][0]["classes"] == ["rose"]
        version_that_comes_during_an_outage(cluster, serving, faults, body)
    finally:
        serving.server.stop()


class Serving:
    """Predictions on a host, of what the registry wants there."""

    def __init__(self, host: Service) -> None:
        def hold(path: str, digest: str) -> Held:
            return host.storage.hold(host.storage.key(path), digest)

        self.server = Server(hold=hold, limits=BatchLimits(timeout_s=60), predictors=OwnPredictors(spare=False))
        self._sync = ModelSync(host.database, host.storage, self.server.service, poll_s=1.0)

    def refresh(self) -> None:
        self.server.call(self._sync.refresh())

    def wait_for(self, model: str) -> None:
        """Until the label `latest` answers."""

        def serves() -> bool:
            self.refresh()
            version = self.server.service.models.labelled(model, "latest")
            return version is not None and version.loaded

        wait_for(serves)

    def ask(self, model: str) -> Any:
        instance = {"size": 5.0, "colour": "red", "count": 1}
        answer = self.server.post(f"{model}:predict", {"instances": [instance]})
        assert answer.status_code == 200, answer.text
        return answer.json()


def version_that_comes_during_an_outage(
    cluster: Cluster, serving: Serving, faults: FaultProxy, body: dict[str, Any]
) -> None:
    other = cluster.host()
    job_id = other.submit(body | {"model": "weeds", "train": {"max_steps": 20}})
    assert other.run(job_id) == "succeeded"
    faults.fault = "down"
    serving.refresh()
    seen = len(faults.seen)
    wait_for(lambda: len(faults.seen) > seen)
    serving.ask("flowers")
    faults.mend()
    serving.wait_for("weeds")
    serving.ask("weeds")


def test_what_no_row_needs_is_swept_from_the_store(cluster: Cluster, trained: str) -> None:
    from app.queue import MemoryQueue

    host = cluster.host()
    storage = host.storage
    orphan, stray = "exports/exp_00000000000000000000000001", f"jobs/{trained}/1/model.ckpt-7"
    for key, suffix in ((orphan, "/file"), (stray, ".index")):
        file = storage.path(key + suffix) if suffix == "/file" else storage.path(key).with_name("model.ckpt-7.index")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("1")
        storage.publish(key)
    kept = [row.path for row in host.look(CheckpointRepository, "list", trained)]
    before = {key: storage.names(key) for key, _ in storage.found("jobs", 2)}
    settings = host.settings.model_copy(update={"orphan_grace_s": -5.0})  # the store's clock counts whole seconds
    Reconciler(settings, host.database, MemoryQueue(), storage).sweep()
    assert storage.keys("exports") == [row.path for row in exports(host)]
    after = {key: storage.names(key) for key, _ in storage.found("jobs", 2)}
    place = f"jobs/{trained}/1"
    swept = [name for name in before[place] if name not in after[place]]
    # the trainer that was killed may have been storing a checkpoint, of which there is no row then
    assert swept == [name for name in before[place] if _checkpoint(name) and f"{place}/{_checkpoint(name)}" not in kept]
    assert "model.ckpt-7.index" in swept
    assert before == after | {place: sorted([*after[place], *swept])}
    for path in kept:
        storage.hold(path).release()


def _checkpoint(name: str) -> str | None:
    """Of one of its files."""
    found = re.match(r"model\.ckpt-\d+", name)
    return found[0] if found else None


def exports(host: Service) -> list[Any]:
    from sqlalchemy import select

    from app.registry.tables import Export

    with host.database.read() as session:
        return list(session.scalars(select(Export).order_by(Export.id)))
