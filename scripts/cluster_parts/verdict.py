"""At the end: was anything lost? Asked of the registry's rows and the store's objects, with the checker of
`scripts/chaos`."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from scripts.chaos_parts import checker, witness
from scripts.chaos_parts.artifact_stores import copy_bucket
from scripts.cluster_parts.cluster import URL
from scripts.cluster_parts.steps import GANG_STEPS, SINGLE_STEPS, Trial

_TIDY_S = 120.0
_KINDS = ((SINGLE_STEPS, 0.0, "one worker's jobs"), (GANG_STEPS, 1e-5, "gangs' jobs"))
"""Steps, by how much a loss may differ from the undisturbed training's, and whose they are."""


def nothing_lost(trial: Trial) -> None:
    """Every job done once, with the undisturbed training's losses; nothing written by an attempt that was over."""
    end = time.monotonic() + _TIDY_S
    while True:  # what a lost attempt left goes with a sweep
        with tempfile.TemporaryDirectory() as directory:
            verdicts = [_verdict(trial, Path(directory), steps, tolerance) for steps, tolerance, _ in _KINDS]
        if not any(verdict.orphans for verdict in verdicts) or time.monotonic() > end:
            break
        time.sleep(1.0)
    for (_, tolerance, whose), found in zip(_KINDS, verdicts, strict=True):
        for text in found.findings:
            trial.report.tell(text)
        told = f"{whose}: {found.succeeded} of {found.jobs} succeeded, attempts {dict(found.attempts)}"
        trial.report.check(told, found.succeeded == found.jobs > 0)
        harm = {name: getattr(found, name) for name in ("lost", "doubled", "wrong_steps", "fenced_writes_accepted")}
        told = ", ".join(f"{count} {name}" for name, count in harm.items())
        trial.report.check(f"{whose}: {told}, {found.orphans} orphans", not any(harm.values()) and not found.orphans)
        series = "bit for bit" if tolerance == 0.0 else f"within {tolerance:g}"
        trial.report.check(f"{whose}: loss series of the undisturbed training, {series}", found.loss_series_equal)


def _verdict(trial: Trial, directory: Path, steps: int, tolerance: float) -> checker.Verdict:
    copy_bucket(URL, directory)
    with trial.cluster.sql() as connection:
        registry = checker.read_registry(connection, witness.TABLE)
    submitted, references = trial.submitted[steps], trial.references[steps]
    of_other_lengths = {
        job
        for other in trial.submitted
        if other != steps
        for job in (*trial.submitted[other], *trial.references[other].values())
    } | set(trial.others)
    registry.tables["jobs"] = [row for row in registry.tables["jobs"] if row["id"] not in of_other_lengths]
    return checker.check(registry, directory, submitted, references, steps, tolerance=tolerance)
