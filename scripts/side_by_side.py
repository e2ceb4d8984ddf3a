"""All tests, in groups that run side by side: see scripts/test.

Many tests wait for processes, so more groups than cores keep the cores busy. Lines of the groups come mixed as they are
printed, each after its group's name; what failed or was skipped, and one closing line for all, come at the end.
"""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from tests import facilities

ROOT = Path(__file__).resolve().parents[1]
GROUPS = {
    "engine": [
        "tests/workers",
        *(f"tests/estimator/{name}" for name in ("compat", "distribution", "export", "training")),
    ],
    "programs": ["tests/estimator"],
    "processes": [
        "tests/estimator/doctor",
        *(f"tests/{name}" for name in ("chaos", "deploy", "e2e", "lanes", "packages", "upgrade")),
        *(f"tests/{name}.py" for name in ("test_operations", "test_scripts")),
    ],
    "others": ["tests"],
}
"""Group → its places, without those in them that are another group's. About as long as each other."""
_COUNT = re.compile(r"(\d+) (passed|failed|skipped|xfailed|xpassed|deselected|warning|error)s?\b")
_TOLD = re.compile(r"(FAILED|ERROR|SKIPPED)\b")


@dataclass
class Group:
    """The tests of one pytest process. `told`: its lines about single tests; `counts`: of its closing line."""

    name: str
    arguments: list[str]
    told: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    status: int = 0
    seconds: float = 0.0
    _begin: float = field(init=False)
    _process: subprocess.Popen[str] = field(init=False)

    def start(self) -> None:
        self._begin = time.monotonic()
        command = [sys.executable, "-m", "pytest", *self.arguments]
        self._process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=ROOT, text=True, errors="replace"
        )

    def follow(self, printing: threading.Lock) -> None:
        """Prints what it prints until it has ended."""
        assert self._process.stdout is not None
        last = ""
        for line in self._process.stdout:
            last = line
            if _TOLD.match(line):
                self.told.append(line.rstrip())
            with printing:
                print(f"{self.name:9} | {line}", end="", flush=True)
        self._process.stdout.close()
        self.status = self._process.wait()
        self.counts = Counter({kind: int(number) for number, kind in _COUNT.findall(last)})
        self.seconds = time.monotonic() - self._begin

    def end(self) -> None:
        self._process.terminate()


def groups(places: dict[str, list[str]]) -> list[Group]:
    made = []
    for name, own in places.items():
        others = [place for other, theirs in places.items() if other != name for place in theirs]
        ignored = [place for place in others if any(Path(place).is_relative_to(mine) for mine in own)]
        made.append(Group(name, [*own, *(f"--ignore={place}" for place in ignored)]))
    return made


def closing(ended: list[Group], seconds: float) -> str:
    """One line as pytest's own, for all groups."""
    counts = sum((group.counts for group in ended), Counter[str]())
    parts = [
        f"{number} {kind}" for kind, number in sorted(counts.items(), key=lambda item: (item[0] != "failed", item[0]))
    ]
    return f"===== {', '.join(parts) or 'no tests ran'} in {seconds:.0f} s ====="


def run(made: list[Group]) -> None:
    """Runs all to their end, or ends them when this process is to end."""
    printing = threading.Lock()
    for group in made:
        group.start()
    threads = [threading.Thread(target=group.follow, args=(printing,), daemon=True) for group in made]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        for group in made:
            group.end()


def main() -> int:
    begin = time.monotonic()
    made = groups(GROUPS)
    run(made)
    print()
    told = {line for group in made for line in group.told}
    print(
        "\n".join(sorted(told, key=lambda line: (line.startswith("SKIPPED"), line))) or "Nothing was skipped.",
        flush=True,
    )
    print("\n".join(facilities.report()))
    print(", ".join(f"{group.name}: {group.seconds:.0f} s" for group in made))
    for group in made:
        if group.status:
            print(f"The group '{group.name}' failed with status {group.status}.")
    print(closing(made, time.monotonic() - begin))
    return max(group.status for group in made)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    sys.exit(main())
