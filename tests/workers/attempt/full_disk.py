"""Run as a program on a small file system of its own, with arguments DIRECTORY REGISTRY TMPFS.
A job trains, the disk fills up between two checkpoints, and is emptied again. Prints what became of it as JSON."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from app.registry.checkpoints import CheckpointRepository
from tests.workers.in_process import Service, flowers
from workers.jobs.train import TrainingJob


def main() -> None:
    directory, registry, disk = (Path(argument) for argument in sys.argv[1:])
    service = Service(directory, registry, artifacts_url=str(disk))
    data = service.upload(flowers())
    body = {
        "type": "train",
        "model": "m",
        "estimator": {"type": "DNNClassifier", "args": {"hidden_units": [64, 64], "optimizer": "Adam"}},
        "columns": "auto",
        "data": {"train": {"dataset": data, "label": "kind"}},
        "train": {"max_steps": 60, "save_checkpoints_steps": 20},
        "export": "none",
    }
    job_id = service.submit(body)
    filler = disk / "filler"
    record = TrainingJob._record

    def fill(self: TrainingJob, step: int) -> bool:
        kept = record(self, step)
        if step == 20:
            with filler.open("wb", buffering=0) as file:
                try:
                    while file.write(b"x" * 4096):
                        pass
                except OSError:
                    pass
        return kept

    TrainingJob._record = fill  # type: ignore[method-assign]
    outcome = service.run(job_id)
    job, rows = service.job(job_id), service.look(CheckpointRepository, "list", job_id)
    whole = [sum(f.stat().st_size for f in disk.glob(f"{row.path}.*")) == row.bytes for row in rows]
    found = {"outcome": outcome, "kind": job.error_kind, "steps": [row.step for row in rows], "whole": whole}
    TrainingJob._record = record  # type: ignore[method-assign]
    filler.unlink()
    found["after"] = service.run(job_id)
    found["resumed"] = service.job(job_id).result.get("resumed_from_step")
    print(json.dumps(found))


if __name__ == "__main__":
    main()
