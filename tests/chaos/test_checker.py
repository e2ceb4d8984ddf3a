"""The checker on runs with a loss planted in them: each must be seen, and named for what it is."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from scripts.chaos_parts import checker, witness

STEPS = 20
JOB, REFERENCE = "job_a", "job_r"


class PlantedRun:
    """A registry and artifacts as a run without a loss leaves them: a reference job, and a job whose first attempt was
    lost at step 10."""

    def __init__(self, data_dir: Path, migrated: Path) -> None:
        self.artifacts = data_dir / "artifacts"
        shutil.copy(migrated, data_dir / "registry.db")
        self.connection = sqlite3.connect(data_dir / "registry.db", isolation_level=None)
        self.connection.execute("PRAGMA synchronous=OFF")
        witness.install(self.connection, "sqlite")
        self.job(REFERENCE, attempts=1)
        self.job(JOB, attempts=2)

    def insert(self, table: str, **values: object) -> None:
        marks = ", ".join("?" for _ in values)
        self.connection.execute(f"INSERT INTO {table} ({', '.join(values)}) VALUES ({marks})", list(values.values()))

    def job(self, job: str, attempts: int) -> None:
        self.insert(
            "jobs", id=job, type="train", spec="{}", state="QUEUED", attempt=0, cancel_requested=0, drain_requested=0,
            queue="default", priority=5, max_attempts=9, counted_attempts=0, not_before=0, created_at=0,
            progress="{}", result="{}",
        )  # fmt: skip
        for number in range(1, attempts + 1):
            begin, last = 10.0 * number, number == attempts
            self.connection.execute("UPDATE jobs SET state = 'RUNNING', attempt = ? WHERE id = ?", [number, job])
            self.event(job, "state", number)
            self.insert("attempts", job_id=job, number=number, state="RUNNING", worker="w", started_at=begin)
            self.checkpoint(job, number, 10 if number == 1 else STEPS, begin + 5)
            if last:
                self.finish(job, number, begin + 6)
            state = "SUCCEEDED" if last else "LOST"
            change = "UPDATE attempts SET state = ?, ended_at = ? WHERE job_id = ? AND number = ?"
            self.connection.execute(change, [state, begin + 8, job, number])
            if not last:
                self.connection.execute("UPDATE jobs SET state = 'QUEUED' WHERE id = ?", [job])

    def finish(self, job: str, number: int, at: float) -> None:
        if number == 1:
            self.checkpoint(job, number, STEPS, at)
        for step in range(1, STEPS + 1):
            self.insert("metric_points", job_id=job, name="loss", step=step, value=1.0 / step, at=at)
        self.export(job, number, at)
        done = json.dumps({"step": STEPS})
        self.connection.execute("UPDATE jobs SET progress = ?, result = ? WHERE id = ?", [done, done, job])
        self.connection.execute("UPDATE jobs SET state = 'SUCCEEDED' WHERE id = ?", [job])
        self.event(job, "state", number)

    def event(self, job: str, kind: str, attempt: int) -> None:
        self.insert("job_events", job_id=job, kind=kind, data=json.dumps({"attempt": attempt}), at=0)

    def checkpoint(self, job: str, attempt: int, step: int, at: float) -> None:
        path = f"jobs/{job}/{attempt}/model.ckpt-{step}"
        self.write(f"{path}.index", b"12345")
        self.write(f"{path}.data-00000-of-00001", b"1234567")
        row = {"job_id": job, "attempt": attempt, "step": step, "path": path, "bytes": 12, "created_at": at}
        self.insert("checkpoints", id=f"ckpt_{job}_{attempt}_{step}", **row)

    def export(self, job: str, attempt: int, at: float, name: str = "", step: int = STEPS) -> None:
        export = f"exp_{job}{name}"
        self.write(f"exports/{export}/saved_model.pb", b"graph")
        self.write(f"exports/{export}/assets.extra/serving.json", json.dumps({"global_step": step}).encode())
        digest = checker.directory_digest(self.artifacts / "exports" / export)
        row = {"train_job_id": job, "attempt": attempt, "step": step, "path": f"exports/{export}", "digest": digest}
        self.insert("exports", id=export, job_id=job, bytes=1, created_at=at, **row)
        self.insert(
            "versions", model="m", number=len(list((self.artifacts / "exports").iterdir())), export_id=export,
            job_id=job, lineage_id=f"lin_{export}", state="STORED", lineage="{}", created_at=at,
        )  # fmt: skip

    def write(self, key: str, content: bytes) -> None:
        path = self.artifacts / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    def sql(self, statement: str) -> None:
        self.connection.execute(statement)

    def verdict(self) -> checker.Verdict:
        registry = checker.read_registry(self.connection, witness.TABLE)
        return checker.check(registry, self.artifacts, {JOB: 7}, {7: REFERENCE}, STEPS)


@pytest.fixture
def run(tmp_path: Path, migrated_sqlite: Path) -> PlantedRun:
    planted = PlantedRun(tmp_path, migrated_sqlite)
    yield planted
    planted.connection.close()


def test_run_without_a_loss_passes(run: PlantedRun) -> None:
    verdict = run.verdict()

    assert (verdict.findings, verdict.nothing_lost, verdict.succeeded) == ([], True, 1)
    assert verdict.attempts == {"LOST": 1, "SUCCEEDED": 1}


def job_row_gone(run: PlantedRun) -> None:
    for table in ("versions", "exports", "checkpoints", "attempts", "metric_points", "job_events"):
        run.sql(f"DELETE FROM {table} WHERE job_id = '{JOB}'")
    run.sql(f"DELETE FROM jobs WHERE id = '{JOB}'")


PLANTED: dict[str, tuple[str, Callable[[PlantedRun], object]]] = {
    "job row gone": ("lost", job_row_gone),
    "job failed": ("lost", lambda run: run.sql(f"UPDATE jobs SET state = 'FAILED' WHERE id = '{JOB}'")),
    "attempt row gone": ("lost", lambda run: run.sql(f"DELETE FROM attempts WHERE job_id = '{JOB}' AND number = 1")),
    "export row gone": (
        "lost",
        lambda run: (
            run.sql(f"DELETE FROM versions WHERE job_id = '{JOB}'"),
            run.sql(f"DELETE FROM exports WHERE job_id = '{JOB}'"),
        ),
    ),
    "export directory gone": ("lost", lambda run: shutil.rmtree(run.artifacts / f"exports/exp_{JOB}")),
    "export changed": ("lost", lambda run: run.write(f"exports/exp_{JOB}/saved_model.pb", b"grapf")),
    "checkpoint file gone": ("lost", lambda run: (run.artifacts / f"jobs/{JOB}/2/model.ckpt-20.index").unlink()),
    "exported twice": ("doubled", lambda run: run.export(JOB, 2, 27.0, "2")),
    "job from nowhere": ("doubled", lambda run: run.job("job_b", 1)),
    "second success": (
        "doubled",
        lambda run: run.sql(f"UPDATE attempts SET state = 'SUCCEEDED' WHERE job_id = '{JOB}'"),
    ),
    "a step too many": (
        "wrong_steps",
        lambda run: run.sql(f"UPDATE jobs SET result = '{{\"step\": 21}}' WHERE id = '{JOB}'"),
    ),
    "last checkpoint missing": (
        "wrong_steps",
        lambda run: run.sql(f"DELETE FROM checkpoints WHERE job_id = '{JOB}' AND step = 20"),
    ),
    "fenced checkpoint": ("fenced_writes_accepted", lambda run: run.checkpoint(JOB, 1, 15, 17.5)),
    "fenced checkpoint in its time": (
        "fenced_writes_accepted",
        lambda run: run.sql(f"UPDATE checkpoints SET attempt = 1 WHERE job_id = '{JOB}' AND step = 20"),
    ),
    "fenced metric": (
        "fenced_writes_accepted",
        lambda run: run.insert("metric_points", job_id=JOB, name="loss", step=99, value=0.0, at=0),
    ),
    "fenced progress": (
        "fenced_writes_accepted",
        lambda run: run.sql(f"UPDATE jobs SET progress = '{{\"step\": 20, \"x\": 1}}' WHERE id = '{JOB}'"),
    ),
    "attempt changed after its end": (
        "fenced_writes_accepted",
        lambda run: run.sql(f"UPDATE attempts SET last_step = 3 WHERE job_id = '{JOB}' AND number = 1"),
    ),
    "event of an old attempt": ("fenced_writes_accepted", lambda run: run.event(JOB, "checkpoint", 1)),
    "export nobody knows": ("orphans", lambda run: run.write("exports/exp_x/saved_model.pb", b"")),
    "attempt nobody knows": ("orphans", lambda run: run.write("jobs/job_x/1/log.txt", b"")),
    "uncommitted checkpoint": ("orphans", lambda run: run.write(f"jobs/{JOB}/1/model.ckpt-15.index", b"")),
    "half a checkpoint": ("orphans", lambda run: run.write(f"jobs/{JOB}/1/model.ckpt-15.resume", b"")),
    "half a state file": ("orphans", lambda run: run.write(f"jobs/{JOB}/1/checkpoint.tmp-1a2b", b"")),
    "scratch": ("orphans", lambda run: run.write(f"jobs/{JOB}/1/scratch/a.npy", b"")),
    "data set nobody knows": ("orphans", lambda run: run.write("datasets/ds_x/meta.json", b"")),
}


@pytest.mark.parametrize("what", PLANTED)
def test_planted_loss_is_found(run: PlantedRun, what: str) -> None:
    kind, plant = PLANTED[what]
    plant(run)

    verdict = run.verdict()

    assert getattr(verdict, kind) >= 1, verdict
    assert any(finding.startswith(kind) for finding in verdict.findings)
    assert not verdict.nothing_lost


@pytest.mark.parametrize(
    "statement",
    [
        f"DELETE FROM metric_points WHERE job_id = '{JOB}' AND step = 7",
        f"UPDATE metric_points SET step = 21 WHERE job_id = '{JOB}' AND step = 7",
        f"UPDATE metric_points SET value = value * (1 + 1e-15) WHERE job_id = '{JOB}' AND step = 7",
    ],
    ids=["missing", "moved", "last bit"],
)
def test_other_loss_series_is_found(run: PlantedRun, statement: str) -> None:
    run.sql(statement)

    verdict = run.verdict()

    assert not verdict.loss_series_equal
    assert not verdict.nothing_lost


def test_reference_must_have_a_series_itself(run: PlantedRun) -> None:
    run.sql("DELETE FROM metric_points")

    assert not run.verdict().loss_series_equal
