"""What every measured process does at its ends: read its task, write its one line of result. Standard library only."""

from __future__ import annotations

import json
import resource
import sys
import time

_imported_mb = 0.0


def task() -> dict:
    """The task that the driver gave as the only argument: workload, steps, start (checkpoint directory), work …

    Call it after the imports and before anything else: it notes the memory that these take.
    """
    global _imported_mb
    _imported_mb = peak_mb()
    return json.loads(sys.argv[1])


def peak_mb() -> float:
    """The largest resident memory of this process so far, in MB (Linux gives it in kB)."""
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)


def result(**values: float | str) -> None:
    """Prints the result as the last line. Adds the peak resident memory, and that after the imports, in MB."""
    values["peak_rss_mb"], values["import_mb"] = peak_mb(), _imported_mb
    print("RESULT " + json.dumps(values), flush=True)


class SteadyClock:
    """Steps per second after the first `warm_up` steps, by the wall clock and by the process's own processor time.

    On one core of a quiet machine the two are the same. On a busy one the second still tells the work that a step is.
    """

    def __init__(self, warm_up: int = 100) -> None:
        self.warm_up = warm_up
        self.marks: list[tuple[int, float, float]] = []

    def at(self, step: int) -> None:
        self.marks.append((step, time.perf_counter(), time.process_time()))

    def rates(self) -> dict[str, float]:
        """`steps_per_s` and `steps_per_cpu_s`."""
        (step0, wall0, cpu0), (step1, wall1, cpu1) = self.marks[0], self.marks[-1]
        steps = step1 - step0
        return {"steps_per_s": steps / (wall1 - wall0), "steps_per_cpu_s": steps / (cpu1 - cpu0)}
