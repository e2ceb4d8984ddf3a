"""A small run of `scripts/chaos` on the embedded parts: nothing may be lost."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path

from scripts.chaos_parts import faults
from scripts.chaos_parts.artifact_stores import S3Store

ROOT = Path(__file__).resolve().parents[2]


def test_five_jobs_survive_every_kind_of_fault(tmp_path: Path) -> None:
    out = tmp_path / "result.json"
    command = [sys.executable, "-m", "scripts.chaos_parts", "--jobs", "5", "--seed", "3", "--steps", "6000"]
    command += ["--limit", "400"]  # reached only where other things take the machine

    done = subprocess.run([*command, "--json", str(out)], cwd=ROOT, capture_output=True, text=True, check=False)

    assert out.exists(), done.stdout + done.stderr
    result = json.loads(out.read_text())
    assert done.returncode == 0, done.stdout
    assert "seed 3" in done.stdout
    wanted = {"jobs": 5, "succeeded": 5, "lost": 0, "doubled": 0, "wrong_steps": 0, "fenced_writes_accepted": 0}
    assert result.items() >= (wanted | {"orphans": 0, "loss_series_equal": True}).items()
    assert set(result["faults"]) == set(faults.FAULTS) - {"connections_cut", *S3Store.faults}
    assert sum(result["faults"].values()) >= 15


def test_plan_holds_every_kind_often_enough() -> None:
    kinds = list(faults.FAULTS)
    for seed in range(20):
        planned = faults.plan(kinds, 50, random.Random(seed))
        assert len(planned) >= 150
        assert min(planned.count(kind) for kind in kinds) >= 5
        assert planned[-1] == "message_dropped"  # the first


def test_plan_follows_its_seed() -> None:
    kinds = list(faults.FAULTS)
    first = faults.plan(kinds, 50, random.Random(4))
    assert first == faults.plan(kinds, 50, random.Random(4))
    assert first != faults.plan(kinds, 50, random.Random(5))
