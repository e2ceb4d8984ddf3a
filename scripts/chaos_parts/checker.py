"""What was lost? Reads the registry's rows with plain SQL and the artifacts as plain files; imports nothing of the
service, so that a fault of its code cannot hide itself."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_JSON_COLUMNS = {"progress", "result", "data", "lineage"}
_TABLES = {
    "jobs": "id state attempt progress result error_kind error_detail",
    "attempts": "job_id number state reason resumed_from_step started_at ended_at",
    "checkpoints": "id job_id attempt step path bytes created_at",
    "exports": "id job_id attempt step path digest bytes created_at",
    "versions": "model number export_id job_id state",
    "metric_points": "job_id name step value",
    "datasets": "id path",
    "job_events": "id job_id kind data",
}
_CHECKPOINT = re.compile(r"model\.ckpt-\d+")


@dataclass
class Verdict:
    """Numbers for the report, and in `findings` what each of them stands for."""

    jobs: int
    succeeded: int = 0
    lost: int = 0
    doubled: int = 0
    wrong_steps: int = 0
    fenced_writes_accepted: int = 0
    orphans: int = 0
    loss_series_equal: bool = True
    attempts: Counter[str] = field(default_factory=Counter)
    findings: list[str] = field(default_factory=list)

    @property
    def nothing_lost(self) -> bool:
        harm = self.lost + self.doubled + self.wrong_steps + self.fenced_writes_accepted + self.orphans
        return harm == 0 and self.loss_series_equal and self.succeeded == self.jobs

    def find(self, kind: str, what: str) -> None:
        setattr(self, kind, getattr(self, kind) + 1)
        self.findings.append(f"{kind}: {what}")


Row = dict[str, Any]


class Registry:
    """All rows that matter, read once.

    Args:
        connection: has `execute(sql).fetchall()`.
    """

    def __init__(self, connection: Any) -> None:
        self.tables = {name: self._read(connection, name, columns.split()) for name, columns in _TABLES.items()}
        self.witness: list[tuple[str, str]] = []

    @staticmethod
    def _read(connection: Any, table: str, columns: list[str]) -> list[Row]:
        rows = connection.execute(f"SELECT {', '.join(columns)} FROM {table}").fetchall()
        return [{name: _decoded(name, value) for name, value in zip(columns, row, strict=True)} for row in rows]

    def of(self, table: str, job: str) -> list[Row]:
        return [row for row in self.tables[table] if row["job_id"] == job]


def _decoded(name: str, value: Any) -> Any:
    return json.loads(value) if name in _JSON_COLUMNS and isinstance(value, str) else value


def read_registry(connection: Any, witness_table: str | None = None) -> Registry:
    registry = Registry(connection)
    if witness_table is not None:
        registry.witness = list(connection.execute(f"SELECT job_id, what FROM {witness_table}").fetchall())
    return registry


def check(
    registry: Registry,
    artifacts: Path,
    submitted: Mapping[str, int],
    references: Mapping[int, str],
    steps: int,
    *,
    tolerance: float = 0.0,
) -> Verdict:
    """The verdict over a run: jobs lost, computed twice or differently, and files that nothing points to.

    Args:
        tolerance: by which a loss may differ from the undisturbed one: sums over several workers are rounded otherwise.
        artifacts: root of the artifact store.
        submitted: id of each job whose submit was answered → its seed.
        references: seed → id of the undisturbed job.
        steps: what each job was asked for.
    """
    verdict = Verdict(jobs=len(submitted))
    rows = {row["id"]: row for row in registry.tables["jobs"]}
    series = _series(registry)
    for job, seed in submitted.items():
        _check_job(verdict, registry, artifacts, rows.get(job), job, steps)
        if not _equal(series[job], series[references[seed]], tolerance):
            verdict.loss_series_equal = False
            verdict.findings.append(f"loss series of {job}: {_difference(series[job], series[references[seed]])}")
    for job in sorted(set(rows) - set(submitted) - set(references.values())):
        verdict.find("doubled", f"job {job} was made by no submit, or by one that made another as well")
    _check_fences(verdict, registry)
    for orphan in orphans(registry, artifacts):
        verdict.find("orphans", orphan)
    return verdict


def _check_job(verdict: Verdict, registry: Registry, artifacts: Path, row: Row | None, job: str, steps: int) -> None:
    if row is None:
        verdict.find("lost", f"job {job} was accepted and is not in the registry")
        return
    attempts = registry.of("attempts", job)
    verdict.attempts.update(attempt["state"] for attempt in attempts)
    if row["state"] != "SUCCEEDED":
        verdict.find("lost", f"job {job} is {row['state']} ({row['error_kind']}: {row['error_detail']})")
        return
    verdict.succeeded += 1
    ends = Counter(attempt["state"] for attempt in attempts)
    if ends["SUCCEEDED"] != 1 or ends["RUNNING"]:
        verdict.find("doubled", f"job {job} has the attempts {dict(ends)}")
    if sorted(attempt["number"] for attempt in attempts) != list(range(1, row["attempt"] + 1)):
        verdict.find("lost", f"job {job} misses attempts on record")
    exports, versions = registry.of("exports", job), registry.of("versions", job)
    if len(exports) > 1 or len(versions) > 1:
        verdict.find("doubled", f"job {job} has {len(exports)} exports and {len(versions)} versions")
    if not exports or not versions:
        verdict.find("lost", f"job {job} has {len(exports)} exports and {len(versions)} versions")
    for export in exports:
        _check_export(verdict, artifacts, export)
    checkpoints = registry.of("checkpoints", job)
    for checkpoint in checkpoints:
        size = sum(file.stat().st_size for file in _files_of(artifacts / checkpoint["path"]))
        if size != checkpoint["bytes"]:
            verdict.find("lost", f"{checkpoint['path']} has {size} of {checkpoint['bytes']} bytes")
    counts = {
        "progress": row["progress"].get("step"),
        "result": row["result"].get("step"),
        "last checkpoint": max((checkpoint["step"] for checkpoint in checkpoints), default=None),
        "export": exports[0]["step"] if exports else steps,
        "exported model": _exported_step(artifacts, exports[0]) if exports else steps,
    }
    if any(count != steps for count in counts.values()):
        verdict.find("wrong_steps", f"job {job} was asked for {steps} steps and has {counts}")


def _check_export(verdict: Verdict, artifacts: Path, export: Row) -> None:
    directory = artifacts / export["path"]
    if not (directory / "saved_model.pb").is_file():
        verdict.find("lost", f"export {export['id']} points to nothing")
    elif directory_digest(directory) != export["digest"]:
        verdict.find("lost", f"export {export['id']} is not what its digest says")


def _exported_step(artifacts: Path, export: Row) -> int | None:
    try:
        return int(
            json.loads((artifacts / export["path"] / "assets.extra" / "serving.json").read_text())["global_step"]
        )
    except (OSError, ValueError, KeyError):
        return None


def directory_digest(directory: Path) -> str:
    """As docs describe it: SHA-256 over each file's framed relative name and the SHA-256 of its content, by name."""
    whole = hashlib.sha256()
    files = {path.relative_to(directory).as_posix(): path for path in directory.rglob("*") if path.is_file()}
    for name in sorted(files, key=str.encode):
        whole.update(len(name.encode()).to_bytes(8, "big") + name.encode())
        whole.update(hashlib.sha256(files[name].read_bytes()).digest())
    return f"sha256:{whole.hexdigest()}"


def _check_fences(verdict: Verdict, registry: Registry) -> None:
    """Writes of attempts that did not own their job: by the triggers' record, times, paths and the order of events."""
    for job, what in registry.witness:
        verdict.find("fenced_writes_accepted", f"{job}: {what}")
    windows = {(row["job_id"], row["number"]): row for row in registry.tables["attempts"]}
    for table in ("checkpoints", "exports"):
        for row in registry.tables[table]:
            attempt = windows.get((row["job_id"], row["attempt"]))
            if attempt is None or row["created_at"] < attempt["started_at"]:
                verdict.find("fenced_writes_accepted", f"{table} {row['id']} belongs to no attempt of its time")
            elif attempt["ended_at"] is not None and row["created_at"] > attempt["ended_at"]:
                verdict.find("fenced_writes_accepted", f"{table} {row['id']} came after its attempt had ended")
            if table == "checkpoints" and not row["path"].startswith(f"jobs/{row['job_id']}/{row['attempt']}/"):
                verdict.find("fenced_writes_accepted", f"checkpoint {row['id']} lies in another attempt's directory")
    newest: dict[str, int] = defaultdict(int)
    for event in sorted(registry.tables["job_events"], key=lambda event: event["id"]):
        number = event["data"].get("attempt")
        if number is None:
            continue
        if number < newest[event["job_id"]]:
            verdict.find("fenced_writes_accepted", f"{event['job_id']}: {event['kind']} of attempt {number} came late")
        newest[event["job_id"]] = max(newest[event["job_id"]], number)


def orphans(registry: Registry, artifacts: Path) -> list[str]:
    """What lies in the artifact store and no row needs."""
    datasets = {row["id"] for row in registry.tables["datasets"]}
    exports = {row["id"] for row in registry.tables["exports"]}
    attempts = {f"{row['job_id']}/{row['number']}" for row in registry.tables["attempts"]}
    prefixes = {row["path"] for row in registry.tables["checkpoints"]}
    found = [f"datasets/{path.name}" for path in _entries(artifacts / "datasets") if path.name not in datasets]
    found += [f"exports/{path.name}" for path in _entries(artifacts / "exports") if path.name not in exports]
    for job in _entries(artifacts / "jobs"):
        for directory in _entries(job):
            if f"{job.name}/{directory.name}" not in attempts:
                found.append(f"jobs/{job.name}/{directory.name}")
                continue
            names = {match[0] for path in directory.iterdir() if (match := _CHECKPOINT.search(path.name))}
            keys = {f"jobs/{job.name}/{directory.name}/{name}" for name in names}
            found += sorted(keys - prefixes)
            left = [*directory.glob("*.tmp-*"), *directory.glob("scratch")]
            found += [f"jobs/{job.name}/{directory.name}/{path.name}" for path in left]
    return found


def _entries(directory: Path) -> list[Path]:
    return sorted(directory.iterdir()) if directory.is_dir() else []


def _files_of(prefix: Path) -> list[Path]:
    return list(prefix.parent.glob(prefix.name + ".*"))


def _series(registry: Registry) -> dict[str, dict[int, float]]:
    """Of each job, step → loss as stored, bit for bit."""
    found: dict[str, dict[int, float]] = defaultdict(dict)
    for row in registry.tables["metric_points"]:
        if row["name"] == "loss":
            found[row["job_id"]][row["step"]] = row["value"]
    return found


def _equal(got: dict[int, float], wanted: dict[int, float], tolerance: float) -> bool:
    return bool(got) and got.keys() == wanted.keys() and all(abs(got[at] - wanted[at]) <= tolerance for at in got)


def _difference(got: dict[int, float], wanted: dict[int, float]) -> str:
    missing = sorted(set(wanted) - set(got))
    extra = sorted(set(got) - set(wanted))
    other = sorted(step for step in set(got) & set(wanted) if got[step] != wanted[step])
    return (
        f"{len(got)} points, expected {len(wanted)}; missing {missing[:5]} ({len(missing)}), "
        f"too many {extra[:5]} ({len(extra)}), other values at {other[:5]} ({len(other)})"
    )
