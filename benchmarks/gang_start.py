"""How long a job of two workers takes from its last seat to its first step, beside TensorFlow's own start.

    benchmarks/gang_start.py [--repeats 5] [--json FILE]

The job: two slots with real trainers in one registry. TensorFlow alone: two processes that import it, join a cluster of
`MultiWorkerMirroredStrategy` and add up one number over both, from their start. The two take turns; `beyond_s` is the
difference of their medians.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from tests import databases
from tests.ports import free_port
from tests.workers.in_process import Service, flowers
from workers.worker.slot import Slot
from workers.worker.trainer_handle import TrainerProcess

_ALONE = """
import tensorflow as tf
strategy = tf.distribute.MultiWorkerMirroredStrategy()
add_up = tf.function(lambda: strategy.reduce("SUM", strategy.run(lambda: tf.constant(1.0)), axis=None))
assert float(add_up()) == 2.0
print("added up", flush=True)
import os
os._exit(0)
"""


def tensorflow_alone() -> float:
    """Seconds from the start of two processes to their first sum."""
    workers = [f"127.0.0.1:{free_port()}" for _ in range(2)]
    begin = time.monotonic()
    processes = []
    for index in range(2):
        cluster = {"cluster": {"worker": workers}, "task": {"type": "worker", "index": index}}
        environment = os.environ | {"TF_CONFIG": json.dumps(cluster), "TF_CPP_MIN_LOG_LEVEL": "3"}
        command = [sys.executable, "-c", _ALONE]
        processes.append(subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL))
    for process in processes:
        assert process.stdout is not None
        if process.stdout.readline() != b"added up\n":
            raise SystemExit("TensorFlow alone did not add up")
    seconds = time.monotonic() - begin
    for process in processes:
        process.wait()
    return seconds


def gang(service: Service, body: dict[str, Any]) -> float:
    """Seconds from the last seat of a job to its first step."""
    environment = os.environ | {"DATA_DIR": str(service.settings.data_dir), "DATABASE_URL": "", "ARTIFACTS_URL": ""}

    def start(devices: Any) -> TrainerProcess:
        return TrainerProcess(devices, [sys.executable, "-m", "workers.trainer", "--member"], environment)

    slots = [
        Slot(service.settings, service.database, worker=f"host:{number}", start_member=start, keep_warm=False)
        for number in range(2)
    ]
    job_id = service.submit(body)
    with ThreadPoolExecutor(2) as threads:
        outcomes = list(threads.map(lambda slot: slot.run(job_id, 0), slots))
    if outcomes != ["succeeded", "succeeded"]:
        raise SystemExit(f"the job ended as {outcomes}")
    first_step = service.job(job_id).progress["timings"]["first_step"]
    (attempt,) = service.look(_attempts(), "attempts", job_id)
    return float(service.job(job_id).created_at + first_step - attempt.started_at)


def _attempts() -> Any:
    from app.registry.jobs.repository import JobRepository

    return JobRepository


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    from tests.workers.trainer.test_runner import request  # with TensorFlow, which no help needs

    with tempfile.TemporaryDirectory(prefix="gang-start-") as directory:
        empty = Path(directory) / "empty.db"
        databases.migrated(f"sqlite:///{empty}").close()
        service = Service(Path(directory) / "service", empty)
        options_of_training = {"max_steps": 20, "save_checkpoints_steps": 20}
        body = request(service.upload(flowers()), export="none", train=options_of_training) | {
            "resources": {"workers": 2}
        }
        found: dict[str, list[float]] = {"gang": [], "tensorflow": []}
        for _ in range(options.repeats):
            found["tensorflow"].append(round(tensorflow_alone(), 2))
            found["gang"].append(round(gang(service, body), 2))
        service.database.close()
    medians = {name: statistics.median(seconds) for name, seconds in found.items()}
    result = {
        "last_seat_to_first_step_s": found["gang"],
        "tensorflow_alone_s": found["tensorflow"],
        "beyond_s": round(medians["gang"] - medians["tensorflow"], 2),
        "load": os.getloadavg()[0],
    }
    print(json.dumps(result, indent=2))
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
