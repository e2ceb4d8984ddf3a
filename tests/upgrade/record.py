"""Records a data directory of the present release, for the tests of the releases to come:

    python -m tests.upgrade.record

Run it before a migration is added. It writes `tests/upgrade/<revision>.tar.xz`: a registry and artifacts with a data
set, a served version, a job that has ended and one like it that waits half done; and `expected.json`, what they gave.
"""

from __future__ import annotations

import json
import tarfile
import tempfile
from pathlib import Path
from typing import Any

from app.config import Settings
from app.registry.checkpoints import CheckpointRepository
from app.registry.db import HEAD, make_engine, migrate
from app.registry.exports import ExportRepository
from app.registry.metric_points import MetricRepository
from app.registry.models import ModelRepository
from tests.workers.in_process import Service, flowers

HERE = Path(__file__).parent
INSTANCES = [{"size": 5.0, "colour": "red", "count": 3}, {"size": 2.0, "colour": "blue", "count": None}]


def body(dataset: str, **changes: Any) -> dict[str, Any]:
    return {
        "type": "train",
        "model": "flowers",
        "estimator": {"type": "DNNClassifier", "args": {"hidden_units": [4]}},
        "columns": "auto",
        "data": {"train": {"dataset": dataset, "label": "kind", "batch_size": 16, "shuffle": True}, "holdout": 0.3},
        "train": {"max_steps": 3000, "save_checkpoints_steps": 500, "keep_checkpoint_max": 1, "seed": 5},
        **changes,
    }


def fill(service: Service) -> dict[str, Any]:
    """Trains and publishes a model, and leaves a job of the same training half done; what they gave."""
    dataset = service.upload(flowers())
    ended = service.submit(body(dataset))
    assert service.run(ended) == "succeeded"
    with service.database.session() as session:
        ModelRepository(session).version_loaded("flowers", 1)
    (export,) = service.look(ExportRepository, "for_job", ended)
    waiting = service.submit(body(dataset, export="none"))
    outcome = service.run(waiting, drain=lambda: bool(service.look(CheckpointRepository, "list", waiting)))
    assert outcome == "queued"
    return {
        "dataset": dataset,
        "ended": ended,
        "waiting": waiting,
        "series": service.look(MetricRepository, "series", ended, "loss"),
        "metrics": service.job(ended).result["metrics"],
        "probabilities": answers(service.storage.path(export.path)),
    }


def answers(saved_model: Path) -> list[list[float]]:
    """What the export says of INSTANCES, the missing count given as the mean that the policy puts there."""
    import tensorflow as tf

    serving = json.loads((saved_model / "assets.extra" / "serving.json").read_text())
    missing = {feature["name"]: feature["missing"]["value"] for feature in serving["features"]}
    rows = [{name: missing[name] if value is None else value for name, value in row.items()} for row in INSTANCES]
    signature = tf.saved_model.load(str(saved_model)).signatures["predict"]
    wanted = signature.structured_input_signature[1]
    columns = {name: tf.constant([row[name] for row in rows], spec.dtype) for name, spec in wanted.items()}
    return [[float(value) for value in row] for row in signature(**columns)["probabilities"].numpy()]


def main() -> None:
    with tempfile.TemporaryDirectory() as directory:
        data_dir, migrated = Path(directory, "data"), Path(directory, "migrated.db")
        engine = make_engine(Settings(database_url=f"sqlite:///{migrated}"))
        migrate(engine)
        engine.dispose()
        service = Service(data_dir, migrated)
        expected = fill(service)
        service.database.close()
        (data_dir / "expected.json").write_text(json.dumps(expected))
        with tarfile.open(HERE / f"{HEAD}.tar.xz", "w:xz") as archive:
            for path in sorted(data_dir.rglob("*")):
                if path.is_file() and not path.name.startswith("events.out"):
                    archive.add(path, path.relative_to(data_dir))


if __name__ == "__main__":
    main()
