"""What an earlier release left behind goes on under this one: registry, data sets, checkpoints, exports."""

from __future__ import annotations

import json
import tarfile
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from app.config import Settings
from app.log import configure
from app.registry.checkpoints import CheckpointRepository
from app.registry.db import HEAD, Database, make_engine, migrate, revision_state
from app.registry.jobs.repository import JobRepository
from app.registry.metric_points import MetricRepository
from app.storage import Storage
from tests.api.conftest import run_api
from tests.fork_server import Lender
from tests.repositories import attempts
from tests.upgrade.record import INSTANCES
from tests.waiting import wait_for
from workers.trainer import runner

HERE = Path(__file__).parent
RECORDED = sorted(HERE.glob("*.tar.xz"))


@pytest.fixture(params=RECORDED, ids=lambda path: path.name.split(".")[0])
def recorded(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A data directory as the release of that revision left it."""
    with tarfile.open(request.param) as archive:
        if hasattr(tarfile, "data_filter"):  # not before Python 3.11.4
            archive.extraction_filter = tarfile.data_filter
        archive.extractall(tmp_path / "data")
    return tmp_path / "data"


def own(data_dir: Path, **settings: Any) -> Settings:
    return Settings(data_dir=data_dir, database_url="", redis_url="", artifacts_url="", **settings)


def test_the_revision_before_this_one_is_recorded() -> None:
    assert f"{int(HEAD) - 1:04}.tar.xz" in {path.name for path in RECORDED}


def test_job_that_waited_half_done_goes_on_and_ends_like_the_one_before(recorded: Path) -> None:
    expected = json.loads((recorded / "expected.json").read_text())
    settings = own(recorded, heartbeat_s=0.05)
    engine = make_engine(settings)
    assert revision_state(engine) == "behind"
    assert migrate(engine) == "ok"
    database, job_id = Database(engine), expected["waiting"]
    with database.session() as session:
        claim = attempts(session).claim(job_id, JobRepository(session).get(job_id).attempt, "new", 60.0)
    assert claim is not None
    assert claim.resume is not None
    assert claim.resume.step >= 500

    assert runner.run(claim, database, Storage(settings.artifacts), settings) == "succeeded"

    with database.read() as session:
        series = MetricRepository(session).series(job_id, "loss")
        result = JobRepository(session).get(job_id).result
        assert CheckpointRepository(session).latest(job_id).step == 3000  # type: ignore[union-attr]
    assert result["resumed_from_step"] == claim.resume.step
    assert [step for step, _ in series] == [step for step, _ in expected["series"]]
    # Other processors round differently; on the same one the numbers are equal.
    assert [value for _, value in series] == pytest.approx([value for _, value in expected["series"]], rel=1e-3)
    assert result["metrics"] == pytest.approx(expected["metrics"], rel=1e-3)
    database.close()


def test_version_is_served_and_everything_shown_as_before(recorded: Path, fork_server: Lender) -> None:
    expected = json.loads((recorded / "expected.json").read_text())
    configure("WARNING")
    with fork_server.lent(), contextmanager(run_api)(own(recorded, predictor="process")) as api:
        assert api.http.get("/readyz").json()["status"] in ("ok", "degraded")

        def predict() -> Any:
            return api.http.post("/v1/models/flowers:predict", json={"instances": INSTANCES})

        wait_for(lambda: predict().status_code == 200)
        answer = predict()
        assert answer.headers["x-model-version"] == "1"
        found = [row["probabilities"] for row in answer.json()["predictions"]]
        assert found == [pytest.approx(row, rel=1e-4) for row in expected["probabilities"]]
        job, dataset = f"/v1/jobs/{expected['ended']}", f"/v1/datasets/{expected['dataset']}"
        assert api.http.get(job).json()["state"] == "SUCCEEDED"
        points = api.http.get(f"{job}/metrics", params={"name": "loss"}).json()["series"]["loss"]
        assert [[point["step"], point["value"]] for point in points] == expected["series"]
        shown = ["", "/events", "/logs", "/checkpoints", "/evaluations", "/exports"]
        paths = [*(job + path for path in shown), dataset, f"{dataset}/preview", f"{dataset}/usage"]
        paths += ["/v1/models/flowers/evaluations", "/v1/models/flowers/metadata", "/v1/audit", "/v1/jobs"]
        assert {path: api.http.get(path).status_code for path in paths} == dict.fromkeys(paths, 200)
