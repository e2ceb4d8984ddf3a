"""The tests again and again, under circumstances that change from run to run: see scripts/flaky.

Without pytest's arguments each run has all tests, in the groups that run side by side as CI has them. Many runs take
longer than anybody waits: with `--json FILE` those that the file holds are not made again, so that they can be made
in parts. Delete it to begin anew.

run            cores   busy loops beside it
1, 5, 9 …      all     none
2, 6, 10 …     all     as many as cores
3, 7, 11 …     one     none
4, 8, 12 …     one     one, on the same core

A busy loop comes and goes: two thirds of the time it takes what it gets. Runs on different cores go side by side.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from scripts import side_by_side

ROOT = Path(__file__).resolve().parents[1]
_BUSY = """
import random, sys, time
chance = random.Random(int(sys.argv[1]))
while True:
    end = time.monotonic() + chance.uniform(1, 20)
    while time.monotonic() < end:
        pass
    time.sleep(chance.uniform(0.5, 10))
"""


@dataclass(frozen=True)
class Circumstances:
    """Of one run: its number from 1, the seed of its order, cores, and busy loops on them."""

    number: int
    seed: int
    cores: tuple[int, ...]
    busy: int


@dataclass
class Result:
    """Of one run. `failed`: ids of tests; `broken`: why there is no report, if there is none; `logs`: where pytest's
    output and reports are, of a run that did not succeed; `commit`: of the code, "" outside Git."""

    circumstances: Circumstances
    commit: str = ""
    tests: int = 0
    seconds: float = 0.0
    failed: list[str] = field(default_factory=list)
    broken: str = ""
    logs: str = ""


def plan(runs: int, seed: int, cores: list[int]) -> list[Circumstances]:
    """What each run meets."""
    chance = random.Random(seed)
    made = []
    for index in range(runs):
        used = cores if index % 4 < 2 else [cores[(index // 4 + index) % len(cores)]]
        busy = len(used) if index % 2 else 0
        made.append(Circumstances(index + 1, chance.randrange(2**31), tuple(used), busy))
    return made


def rounds(planned: list[Circumstances]) -> list[list[Circumstances]]:
    """Each with the runs that go side by side: those that follow each other and share no core."""
    made: list[list[Circumstances]] = []
    for each in planned:
        if made and not {core for other in made[-1] for core in other.cores} & {*each.cores}:
            made[-1].append(each)
        else:
            made.append([each])
    return made


@contextmanager
def load(circumstances: Circumstances) -> Iterator[None]:
    """The busy loops, on its cores."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", _BUSY, str(circumstances.seed + loop)],
            preexec_fn=lambda: _keep_to(circumstances.cores),  # noqa: PLW1509
        )
        for loop in range(circumstances.busy)
    ]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def _keep_to(cores: tuple[int, ...]) -> None:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cores)


def run(circumstances: Circumstances, arguments: list[str]) -> Result:
    """Runs the tests once. Logs of a run without a failure are removed."""
    result = Result(circumstances, _commit())
    directory = Path(tempfile.mkdtemp(prefix=f"flaky-{circumstances.number}-"))
    with load(circumstances):
        begin = time.monotonic()
        running = [(name, _start(directory / name, circumstances, own)) for name, own in _groups(arguments).items()]
        for name, process in running:
            process.wait()
            report = directory / f"{name}.xml"
            if report.exists():
                read_report(report, result)
            else:
                result.broken += f"{name}: {(directory / f'{name}.log').read_text(errors='replace')[-4000:]}\n"
        result.seconds = round(time.monotonic() - begin, 1)
    if result.failed or result.broken:
        result.logs = str(directory)
    else:
        shutil.rmtree(directory)
    return result


def _commit() -> str:
    asked = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False)
    return asked.stdout.strip()


def read_results(file: Path) -> list[Result]:
    """Those of former runs; none where there is no such file. Raises ValueError where it holds something else."""
    if not file.exists():
        return []
    try:
        rows = json.loads(file.read_text())
        return [Result(**row | {"circumstances": _circumstances(row["circumstances"])}) for row in rows]
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(f"{file} does not hold results of scripts/flaky ({error}). Move it away.") from None


def _circumstances(row: dict[str, Any]) -> Circumstances:
    return Circumstances(**row | {"cores": tuple(row["cores"])})


def _groups(arguments: list[str]) -> dict[str, list[str]]:
    """Name → pytest's arguments."""
    if arguments:
        return {"chosen": arguments}
    return {group.name: group.arguments for group in side_by_side.groups(side_by_side.GROUPS)}


def _start(place: Path, circumstances: Circumstances, arguments: list[str]) -> subprocess.Popen[bytes]:
    """pytest, which writes its report and log beside `place`, and has its temporary files there."""
    order = ["-p", "random_order", f"--order-seed={circumstances.seed}", f"--junit-xml={place}.xml"]
    order += [f"--basetemp={place}"]  # later runs of pytest would remove what a failed test has left
    with Path(f"{place}.log").open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "pytest", "-q", *order, *arguments],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'scripts'}"},
            preexec_fn=lambda: _keep_to(circumstances.cores),  # noqa: PLW1509
            stdout=log,
            stderr=log,
        )


def read_report(report: Path, result: Result) -> None:
    """Adds what pytest's JUnit report says."""
    for case in ET.parse(report).iter("testcase"):  # pytest wrote it
        result.tests += 1
        if case.find("failure") is not None or case.find("error") is not None:
            result.failed.append(f"{case.get('classname')}::{case.get('name')}")


def line(result: Result) -> str:
    """What came of one run, for people."""
    made = result.circumstances
    state = f"{len(result.failed)} of {result.tests} failed" if not result.broken else "no report"
    where = f"{len(made.cores)} core(s), {made.busy} busy loop(s), order {made.seed}"
    kept = f"; logs: {result.logs}" if result.logs else ""
    return f"run {made.number}: {state}, {result.seconds:.0f} s; {where}{kept}"


def summary(results: list[Result]) -> str:
    """What came of all runs, for people."""
    failures: dict[str, list[int]] = {}
    lines = []
    for result in results:
        for test in result.failed:
            failures.setdefault(test, []).append(result.circumstances.number)
        if result.broken:
            lines.append(f"run {result.circumstances.number} gave no report:\n{result.broken}")
    for test, runs in sorted(failures.items(), key=lambda item: (-len(item[1]), item[0])):
        lines.append(f"failed in run {', '.join(map(str, runs))}: {test}")
    good = sum(not result.failed and not result.broken for result in results)
    slowest = max((result.seconds for result in results), default=0.0)
    commits = {result.commit for result in results}
    of = f" of {len(commits)} commits" if len(commits) > 1 else ""
    lines.append(f"{good} of {len(results)} runs{of} without a failure; the slowest took {slowest:.0f} s.")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/flaky", description="Runs the tests again and again.")
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1, help="of the orders")
    parser.add_argument("--json", type=Path, help="all results; runs that it holds are not made again")
    options, arguments = parser.parse_known_args()
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))
    try:
        results = read_results(options.json) if options.json else []
    except ValueError as error:
        parser.error(str(error))
    made = [result.circumstances for result in results]
    wanted = [each for each in plan(options.runs, options.seed, cores) if each not in made]
    for together in rounds(wanted):
        with ThreadPoolExecutor(len(together)) as pool:
            for result in pool.map(lambda each: run(each, arguments), together):
                results.append(result)
                print(line(result), flush=True)
                if options.json:
                    options.json.write_text(json.dumps([asdict(each) for each in results], indent=1))
    print(summary(results))
    return int(any(result.failed or result.broken for result in results))


if __name__ == "__main__":
    sys.exit(main())
