"""Attempts of every job type, run by the real engine in this process."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pyarrow.parquet as pq
import pytest
import tensorflow as tf

from app.ids import new_id
from app.registry.checkpoints import CheckpointRepository
from app.registry.evaluations import EvaluationRepository
from app.registry.exports import ExportRepository
from app.registry.jobs.repository import JobRepository
from app.registry.metric_points import MetricRepository
from app.registry.models import ModelRepository
from tests.repositories import attempts
from tests.workers.in_process import Service, flowers
from tf_estimator.checkpoint import files as checkpoint
from tf_estimator.training import saver


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, migrated_sqlite: Path) -> Iterator[Service]:
    made = Service(tmp_path_factory.mktemp("service"), migrated_sqlite)
    yield made
    made.database.close()


@pytest.fixture(scope="module")
def data(service: Service) -> str:
    return service.upload(flowers())


def request(dataset: str, **changes: Any) -> dict[str, Any]:
    body: dict[str, Any] = {
        "type": "train",
        "model": "flowers",
        "estimator": {
            "type": "DNNClassifier",
            "args": {"hidden_units": [4], "optimizer": {"type": "Adam", "learning_rate": 0.05}},
        },
        "columns": "auto",
        "data": {"train": {"dataset": dataset, "label": "kind", "batch_size": 16}, "holdout": 0.3},
        "train": {"max_steps": 60, "save_checkpoints_steps": 20, "seed": 3},
    }
    for name, value in changes.items():
        body[name] = body[name] | value if isinstance(body.get(name), dict) and isinstance(value, dict) else value
    return body


@pytest.fixture(scope="module")
def trained(service: Service, data: str) -> str:
    job_id = service.submit(request(data))
    assert service.run(job_id, timings={"submitted": time.time(), "claimed": time.time()}) == "succeeded"
    return job_id


def test_training_leaves_everything_on_record(service: Service, trained: str) -> None:
    job = service.job(trained)
    assert (job.state, job.result["step"], job.progress["step"], job.progress["max_steps"]) == ("SUCCEEDED", 60, 60, 60)
    checkpoints = service.look(CheckpointRepository, "list", trained)
    assert [row.step for row in checkpoints] == [20, 40, 60]
    for row in checkpoints:
        files = list(service.storage.root.glob(f"{row.path}.*"))
        assert sum(file.stat().st_size for file in files) == row.bytes
    (evaluation,) = service.made_by(trained, EvaluationRepository)
    assert (evaluation.step, evaluation.split) == (60, "holdout")
    assert 40 < evaluation.rows < 80  # about 30 % of 200
    assert 0.5 < evaluation.metrics["accuracy"] <= 1
    losses = service.look(MetricRepository, "series", trained, "loss")
    assert [step for step, _ in losses] == list(range(1, 61))
    (attempt,) = service.look(JobRepository, "attempts", trained)
    assert (attempt.state, attempt.last_step) == ("SUCCEEDED", 60)
    assert list(service.storage.root.rglob("*.tfevents.*"))
    assert not [file.path for file in psutil.Process().open_files() if ".tfevents." in file.path]
    assert attempt.peak_memory_bytes > 50e6


def test_checkpoints_written_in_the_background_are_on_record_when_complete(
    service: Service, data: str, trained: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = []
    write = checkpoint.write

    def slow(prefix: str, *given: Any) -> None:
        if threading.current_thread().name.startswith("checkpoint"):
            written.append(checkpoint.step_of(prefix))
            time.sleep(0.1)  # some steps' time
        write(prefix, *given)

    monkeypatch.setattr(saver, "BACKGROUND_BYTES", 0)
    monkeypatch.setattr(checkpoint, "write", slow)
    job_id = service.submit(request(data))
    assert service.run(job_id) == "succeeded"
    assert written == [0, 20, 40, 60]
    rows = service.look(CheckpointRepository, "list", job_id)
    assert [row.step for row in rows] == [20, 40, 60]
    for row in rows:
        assert sum(file.stat().st_size for file in service.storage.root.glob(f"{row.path}.*")) == row.bytes
    series = [service.look(MetricRepository, "series", job, "loss") for job in (job_id, trained)]
    assert series[0] == series[1]


def test_tensorboard_reads_every_job(service: Service, data: str, trained: str) -> None:
    def tags(job_id: str) -> set[str]:
        files = list(service.storage.path(service.storage.attempt_key(job_id, 1)).rglob("events.out.tfevents.*"))
        events = [event for file in files for event in tf.compat.v1.train.summary_iterator(str(file))]
        return {value.tag for event in events for value in event.summary.value}

    assert {"loss", "accuracy"} <= tags(trained)
    source = {"type": "evaluate", "model": "flowers", "version": 1, "data": {"eval": {"dataset": data}}}
    judge = service.submit(source)
    assert service.run(judge) == "succeeded"
    assert "accuracy" in tags(judge)


def test_training_publishes_one_version(service: Service, trained: str) -> None:
    (export,) = service.made_by(trained, ExportRepository)
    assert service.storage.digest(export.path) == export.digest
    serving = json.loads((service.storage.path(export.path) / "assets.extra/serving.json").read_text())
    policies = {feature["name"]: feature["missing"] for feature in serving["features"]}
    assert policies["colour"] == {"policy": "category", "value": "(missing)"}
    assert policies["size"]["policy"] == "mean"
    assert 3 < policies["size"]["value"] < 4  # the mean of 5 and 2 is 3.5
    assert serving["label_vocabulary"] == ["daisy", "rose"]
    (version,) = service.look(ModelRepository, "versions_of_job", trained)
    assert (version.state, version.promote_label) == ("STAGED", "latest")
    assert version.lineage["datasets"][0]["role"] == "train"
    assert version.lineage["skew"] < 1e-3
    assert len(version.lineage["evaluations"]) == 1


def test_timings_lead_to_the_first_step(service: Service, trained: str) -> None:
    timings = service.job(trained).result["timings"]
    order = ["submitted", "claimed", "trainer_started", "data_opened", "estimator_built", "first_step"]
    order += ["trained", "export_started", "exported"]
    assert sorted(order, key=timings.__getitem__) == order


def test_nothing_temporary_is_left(service: Service, trained: str) -> None:
    directory = service.storage.path(service.storage.attempt_key(trained, 1))
    names = {path.name for path in directory.iterdir()}
    assert not {name for name in names if name.startswith((".", "scratch")) or ".tmp" in name}
    assert "features.json" in names


def test_evaluate_job_measures_the_same_again(service: Service, data: str, trained: str) -> None:
    part = {"dataset": data, "part": "holdout"}
    body = {"type": "evaluate", "job": trained, "data": {"eval": part}, "name": "again"}
    job_id = service.submit(body)
    assert service.run(job_id) == "succeeded"
    progress = service.job(job_id).progress
    assert progress["step"] == progress["max_steps"] > 0
    evaluations = service.look(EvaluationRepository, "of_checkpoint", trained, 60)
    first = evaluations[0]
    again = next(evaluation for evaluation in evaluations if evaluation.name == "again")
    assert again.metrics["accuracy"] == pytest.approx(first.metrics["accuracy"])
    assert again.metrics["average_loss"] == pytest.approx(first.metrics["average_loss"], rel=1e-5)


def test_export_job_publishes_an_older_checkpoint(service: Service, trained: str) -> None:
    job_id = service.submit({"type": "export", "job": trained, "step": 20, "promote": None})
    assert service.run(job_id) == "succeeded"
    (version,) = service.look(ModelRepository, "versions_of_job", job_id)
    assert (version.state, version.lineage["step"], version.lineage["job"]) == ("STORED", 20, trained)


def test_predict_job_writes_every_row(service: Service, data: str, trained: str) -> None:
    job_id = service.submit({"type": "predict", "job": trained, "data": {"predict": {"dataset": data}}})
    assert service.run(job_id) == "succeeded"
    files = service.job(job_id).result["files"]
    rows = [json.loads(line) for line in service.storage.path(files["jsonl"]).read_text().splitlines()]
    table = pq.read_table(service.storage.path(files["parquet"]))
    assert len(rows) == table.num_rows == service.job(job_id).result["rows"] == 200
    right = sum(row["classes"] == ("rose" if i % 2 == 0 else "daisy") for i, row in enumerate(rows))
    assert right > 120
    assert table["classes"].to_pylist() == [row["classes"] for row in rows]


def losses(service: Service, job_id: str) -> Any:
    return service.look(MetricRepository, "series", job_id, "loss")


def test_resumed_job_has_the_series_of_an_undisturbed_one(service: Service, data: str) -> None:
    body = request(data, train={"max_steps": 3000, "save_checkpoints_steps": 500, "seed": 5}, export="none")
    undisturbed, disturbed = service.submit(body), service.submit(body)
    assert service.run(undisturbed) == "succeeded"
    outcomes = []
    for _ in range(3):
        seen = len(service.look(CheckpointRepository, "list", disturbed))

        def drain(seen: int = seen) -> bool:
            return len(service.look(CheckpointRepository, "list", disturbed)) > seen

        outcomes.append(service.run(disturbed, drain=drain))
        if outcomes[-1] == "succeeded":
            break
    else:
        outcomes.append(service.run(disturbed))
    assert outcomes[0] == "queued"
    assert outcomes[-1] == "succeeded"
    assert losses(service, disturbed) == losses(service, undisturbed)
    first, last = (
        service.look(EvaluationRepository, "for_job", undisturbed)[-1:]
        + service.look(EvaluationRepository, "for_job", disturbed)[-1:]
    )
    assert first.metrics == last.metrics
    attempts = service.look(JobRepository, "attempts", disturbed)
    assert attempts[0].state == "DRAINED"
    assert attempts[1].resumed_from_step >= 500
    assert service.job(disturbed).counted_attempts == 0


def endless(data: str) -> dict[str, Any]:
    return request(data, train={"max_steps": 10**9, "save_checkpoints_steps": 10_000_000}, data={"holdout": None})


def test_cancel_ends_a_running_job(service: Service, data: str) -> None:
    job_id = service.submit(endless(data))

    def cancel() -> None:
        while service.job(job_id).progress.get("step", 0) < 1:
            time.sleep(0.02)
        with service.database.session() as session:
            JobRepository(session).request_cancel(job_id)

    thread = threading.Thread(target=cancel)
    thread.start()
    assert service.run(job_id) == "cancelled"
    thread.join()
    assert service.job(job_id).state == "CANCELLED"
    assert service.look(ModelRepository, "versions_of_job", job_id) == []


def test_fenced_attempt_stops_and_writes_nothing_more(service: Service, data: str) -> None:
    job_id = service.submit(endless(data))

    def lose() -> None:
        while service.job(job_id).progress.get("step", 0) < 1:
            time.sleep(0.02)
        with service.database.session() as session:
            attempts(session).lose(job_id, 1, "taken for dead")

    thread = threading.Thread(target=lose)
    thread.start()
    assert service.run(job_id) == "lost"
    thread.join()
    assert service.job(job_id).state == "QUEUED"
    assert service.look(CheckpointRepository, "list", job_id) == []


def test_timeout_fails_the_job_but_keeps_its_checkpoint(service: Service, data: str) -> None:
    job_id = service.submit(endless(data) | {"timeout_s": 1.0})
    assert service.run(job_id) == "failed"
    job = service.job(job_id)
    assert (job.state, job.error_kind) == ("FAILED", "timeout")
    assert len(service.look(CheckpointRepository, "list", job_id)) == 1


def test_nan_loss_fails_at_once_and_is_not_published(service: Service, data: str) -> None:
    body = request(data)
    body["estimator"]["args"]["optimizer"] = {"type": "SGD", "learning_rate": 1e6}
    body["estimator"]["args"]["activation_fn"] = None
    job_id = service.submit(body)
    assert service.run(job_id) == "failed"
    job = service.job(job_id)
    assert (job.state, job.error_kind) == ("FAILED", "nan_loss")
    assert "learning rate" in job.error_detail
    assert service.look(ModelRepository, "versions_of_job", job_id) == []


def test_label_that_the_statistics_did_not_show_is_named_with_its_row(service: Service, data: str) -> None:
    def forget(spec: dict[str, Any]) -> None:
        for entry in spec["labels"]:
            entry["vocabulary"] = ["rose", "tulip"]

    job_id = service.submit(request(data), forget)
    assert service.run(job_id) == "failed"
    job = service.job(job_id)
    assert job.error_kind == "invalid_data"
    assert "'kind'" in job.error_detail
    assert " row " in job.error_detail


def test_gate_refuses_with_a_reason(service: Service, data: str) -> None:
    gate = {"label": "latest", "when": {"metric": "accuracy", "at_least": 1.01}}
    job_id = service.submit(request(data, promote=gate, train={"max_steps": 5}))
    assert service.run(job_id) == "succeeded"
    (version,) = service.look(ModelRepository, "versions_of_job", job_id)
    assert (version.state, version.promote_label) == ("REFUSED", None)
    assert "accuracy" in version.reason


@pytest.mark.parametrize("export", ["best", "final"])
def test_best_checkpoint_is_kept_and_exported_on_request(service: Service, data: str, export: str) -> None:
    training = {"max_steps": 60, "save_checkpoints_steps": 10, "evaluate_every_steps": 10, "keep_checkpoint_max": 1}
    # The best is what the job says it is: with the highest loss it is an early step, which the latest one is not.
    best_metric = {"metric": "loss", "mode": "max"}
    job_id = service.submit(request(data, export=export, train=training, best_metric=best_metric))
    assert service.run(job_id) == "succeeded"
    rows = service.look(EvaluationRepository, "for_job", job_id)
    assert [row.step for row in rows] == [10, 20, 30, 40, 50, 60]
    best = max(rows, key=lambda row: (row.metrics["loss"], -row.step)).step
    assert best != 60
    assert service.job(job_id).result["exported_step"] == (best if export == "best" else 60)
    assert {row.step for row in service.look(CheckpointRepository, "list", job_id)} == {best, 60}


def test_one_checkpoint_for_each_period_is_kept(service: Service, data: str) -> None:
    kept = {}
    for hours in (1e-9, 1000.0):
        training = {"max_steps": 40, "save_checkpoints_steps": 10, "keep_checkpoint_max": 1}
        training["keep_checkpoint_every_n_hours"] = hours
        job_id = service.submit(request(data, train=training, data={"holdout": None}, export="none"))
        assert service.run(job_id) == "succeeded"
        kept[hours] = [row.step for row in service.look(CheckpointRepository, "list", job_id)]
    assert kept == {1e-9: [10, 20, 30, 40], 1000.0: [10, 40]}  # the first one begins the first period


def test_early_stopping_ends_before_the_last_step(service: Service, data: str) -> None:
    stopping = {"metric": "loss", "patience_steps": 20}
    body = request(
        data, export="none", train={"max_steps": 5000, "evaluate_every_steps": 10, "early_stopping": stopping}
    )
    body["estimator"]["args"]["optimizer"] = {"type": "Adam", "learning_rate": 0.5}
    job_id = service.submit(body)
    assert service.run(job_id) == "succeeded"
    result = service.job(job_id).result
    assert result["stopped_early"], result
    steps = [row.step for row in service.look(EvaluationRepository, "for_job", job_id)]
    losses_ = [row.metrics["loss"] for row in service.look(EvaluationRepository, "for_job", job_id)]
    assert result["step"] == steps[-1] == steps[losses_.index(min(losses_))] + 20


def test_epochs_end_the_job(service: Service, data: str) -> None:
    part = {"train": {"dataset": data, "label": "kind", "batch_size": 50, "epochs": 3}, "holdout": None}
    body = request(data, data=part, export="none") | {"train": {}}
    job_id = service.submit(body)
    assert service.run(job_id) == "succeeded"
    # 3 epochs of 200 rows in batches of 50
    assert service.job(job_id).result["step"] == 12


def test_warm_start_begins_where_the_other_ended(service: Service, data: str, trained: str) -> None:
    body = request(data, train={"max_steps": 1}, export="none") | {"warm_start_from": {"job": trained}}
    job_id = service.submit(body)
    assert service.run(job_id) == "succeeded"
    ended = losses(service, trained)[-1][1]
    assert losses(service, job_id)[0][1] < 1.5 * ended


def test_warm_start_from_a_version_and_from_an_older_step(service: Service, data: str, trained: str) -> None:
    series = dict(losses(service, trained))
    (version,) = service.look(ModelRepository, "versions_of_job", trained)
    for source, step in (({"model": "flowers", "version": version.number}, 60), ({"job": trained, "step": 20}, 20)):
        job_id = service.submit(request(data, train={"max_steps": 1}, export="none") | {"warm_start_from": source})
        assert service.job(job_id).spec["warm_start_from"]["step"] == step
        assert service.run(job_id) == "succeeded"
        # The batches differ: its first loss is near that of the step it starts from, and the one of step 1 is not.
        first = losses(service, job_id)[0][1]
        assert abs(first - series[step]) < abs(first - series[1])


def test_damaged_checkpoint_is_passed_over(service: Service, data: str) -> None:
    job_id = service.submit(request(data, export="none"))
    claim = service.claim(job_id)
    with service.database.session() as session:
        path = f"{service.storage.attempt_key(job_id, 1)}/model.ckpt-40"
        CheckpointRepository(session).add(job_id, 1, 40, path, 1234)
        attempts(session).lose(job_id, claim.attempt, "died")
    assert service.run(job_id) == "succeeded"
    assert [step for step, _ in losses(service, job_id)] == list(range(1, 61))


def test_dataset_that_is_gone_is_no_reason_to_try_again(service: Service, data: str) -> None:
    def lose(spec: dict[str, Any]) -> None:
        spec["data"]["train"]["dataset"] = missing

    missing = new_id("ds")
    with service.database.session() as session:
        from app.registry.datasets import DatasetRepository

        key = service.storage.dataset_key(missing)
        DatasetRepository(session).add(
            name="gone", digest="sha256:gone", format="csv", rows=1, bytes=1, columns=[], path=key, created_by=None,
            dataset_id=missing,
        )  # fmt: skip
    job_id = service.submit(request(data), lose)
    assert service.run(job_id) == "failed"
    assert service.job(job_id).error_kind == "invalid_spec"
