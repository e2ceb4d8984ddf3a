"""`scripts/chaos`: does the faults, prints what was done and what was lost, ends with 1 on any loss."""

from __future__ import annotations

import argparse
import json
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from app.config import Settings
from app.registry.db import Database, make_engine, migrate
from scripts.chaos_parts import artifact_stores, backends, checker, faults, gang_rounds, witness, work
from scripts.chaos_parts.run import Outcome, Run
from scripts.chaos_parts.service import NotRunning, Service
from tests.specs import job_spec

console = Console(highlight=False)


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/chaos", description=__doc__)
    parser.add_argument("--jobs", type=int, default=50)
    parser.add_argument("--seed", type=int, help="of the faults (default: a random one, which is printed)")
    parser.add_argument("--json", type=Path, help="write the result to this file")
    parser.add_argument("--backend", choices=["embedded", "postgresql+redis"], default="embedded")
    parser.add_argument("--limit", type=float, help="seconds for the faults (default: 60 and 25 a job)")
    parser.add_argument("--steps", type=int, help="of each job")
    parser.add_argument("--gangs", action="store_true", help="jobs of one to four workers, on four")
    parser.add_argument(
        "--store", choices=["path", "s3"], default="path", help="of artifacts; s3: moto's, with outages"
    )
    parser.add_argument(
        "--rounds", type=int, help="with --gangs: only their scheduling, so many times, in simulated time"
    )
    parser.add_argument("--keep", action="store_true", help="keep the data directory and its log")
    options = parser.parse_args()
    seed = random.SystemRandom().randrange(10**6) if options.seed is None else options.seed
    if options.rounds:
        return play(options.rounds, seed)
    console.print(f"chaos: {options.jobs} jobs, {options.backend}, seed {seed}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    data_dir = Path(tempfile.mkdtemp(prefix="chaos-"))
    try:
        limit_s = options.limit or 60 + (75 if options.gangs else 25) * options.jobs
        steps = options.steps or (work.GANG_STEPS if options.gangs else work.STEPS)
        result = chaos(
            data_dir, options.backend, options.jobs, steps, seed, limit_s, gangs=options.gangs, store=options.store
        )
    except NotRunning as error:
        console.print(f"[red]{error}[/]", markup=True)
        console.print(f"data directory: {data_dir}")
        return 2
    show(result)
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n")
    if options.keep or not result["ok"]:
        console.print(f"data directory: {data_dir}")
    else:
        shutil.rmtree(data_dir, ignore_errors=True)
    return 0 if result["ok"] else 1


def chaos(
    data_dir: Path,
    backend_name: str,
    jobs: int,
    steps: int,
    seed: int,
    limit_s: float,
    *,
    gangs: bool = False,
    store: str = "path",
) -> dict[str, Any]:
    """One run; the result as `--json` writes it."""
    backend, artifacts = backends.make(backend_name, data_dir), artifact_stores.make(store, data_dir)
    try:
        slots = {"WORKER_SLOTS": "4", "GANG_TIMEOUT_S": "30"} if gangs else {}
        service = Service(data_dir, backend.environment | artifacts.environment | slots)
        try:
            with backend.sql() as connection:
                witness.install(connection, backend.dialect)
            begin = time.monotonic()

            def tell(text: str) -> None:
                console.print(f"{time.monotonic() - begin:7.1f} s  {text}")

            run = Run(
                faults.Ground(service, backend, random.Random(seed), artifacts), jobs, steps, limit_s, tell, gangs=gangs
            )
            run.references(seeds=min(3, 1 + jobs // 5))
            tell("undisturbed jobs done")
            run.go()
        finally:
            artifacts.wait()
            left = service.stop()
        service.tidy_up(lambda: not checker.orphans(_rows(backend), artifacts.files()))
        verdict = checker.check(
            _rows(backend),
            artifacts.files(),
            run.outcome.submitted,
            run.outcome.references,
            steps,
            tolerance=1e-5 if gangs else 0.0,
        )
    finally:
        artifacts.close()
        backend.close()
    for text in run.outcome.refused:
        verdict.find("lost", f"a submit was not answered: {text}")
    return _result(verdict, run.outcome, left) | {"seed": seed, "backend": backend_name}


def play(rounds: int, seed: int) -> int:
    """Rounds of `gang_rounds`, of the seeds from `seed` on; ends with the first that goes wrong."""
    with tempfile.TemporaryDirectory(prefix="chaos-") as directory:
        database = Database(make_engine(Settings(data_dir=Path(directory), database_url="")))
        migrate(database.engine)
        game = gang_rounds.Rounds(database, lambda workers: job_spec(resources={"workers": workers, "devices": 1}))
        total: Counter[str] = Counter()
        try:
            for number in range(seed, seed + rounds):
                done = game.play(number)
                total.update(rounds=1, jobs=done.jobs, attempts=done.attempts, kills=done.kills)
        except gang_rounds.Violation as violation:
            console.print(f"seed {number}: {violation}", markup=False)
            return 1
        finally:
            database.close()
            console.print(", ".join(f"{count} {what}" for what, count in total.items()))
    return 0


def _rows(backend: backends.Backend) -> checker.Registry:
    with backend.sql() as connection:
        return checker.read_registry(connection, witness.TABLE)


def _result(verdict: checker.Verdict, outcome: Outcome, left_running: list[str]) -> dict[str, Any]:
    return {
        "jobs": verdict.jobs,
        "succeeded": verdict.succeeded,
        "lost": verdict.lost,
        "doubled": verdict.doubled,
        "wrong_steps": verdict.wrong_steps,
        "fenced_writes_accepted": verdict.fenced_writes_accepted,
        "orphans": verdict.orphans,
        "loss_series_equal": verdict.loss_series_equal,
        "faults": dict(sorted(outcome.faults.items())),
        "attempts": dict(sorted(verdict.attempts.items())),
        "left_running": left_running,
        "seconds": round(outcome.seconds, 1),
        "findings": verdict.findings,
        "ok": verdict.nothing_lost and not left_running,
    }


def show(result: dict[str, Any]) -> None:
    done = Table("fault", "times", title=f"What was done in {result['seconds']:.0f} s")
    for kind, count in result["faults"].items():
        done.add_row(kind, str(count))
    done.add_row("all", str(sum(result["faults"].values())), style="bold")
    console.print(done)
    found = Table("", "", title="What became of it")
    for name in ("jobs", "succeeded", "lost", "doubled", "wrong_steps", "fenced_writes_accepted", "orphans"):
        found.add_row(name, str(result[name]))
    for name in ("loss_series_equal", "attempts", "left_running"):
        found.add_row(name, str(result[name]))
    console.print(found)
    for finding in result["findings"]:
        console.print(finding, markup=False)


if __name__ == "__main__":
    sys.exit(main())
