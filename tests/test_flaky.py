"""`scripts/flaky` on tests of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from scripts import flaky, side_by_side

ROOT = Path(__file__).resolve().parents[1]
TESTS = """
import os
from pathlib import Path
seen = Path(__file__).with_name("seen")
def note(name):
    with seen.open("a") as file:
        file.write(f"{name} {len(os.sched_getaffinity(0))} {os.getpid()}\\n")
def test_a(): note("a")
def test_b(): note("b")
def test_c(): note("c")
def test_now_and_then():
    runs = seen.with_name("runs")
    with runs.open("a") as file:  # two runs go side by side
        file.write("x")
    note("d")
    assert runs.read_text() != "x", "the first run fails"
"""


def test_runs_are_planned_over_cores_load_and_orders() -> None:
    made = flaky.plan(8, 1, [0, 1])
    assert [(len(each.cores), each.busy) for each in made] == [(2, 0), (2, 2), (1, 0), (1, 1)] * 2
    assert {each.cores for each in made if len(each.cores) == 1} == {(0,), (1,)}
    assert len({each.seed for each in made}) == 8
    assert made == flaky.plan(8, 1, [0, 1]) != flaky.plan(8, 2, [0, 1])


def test_runs_that_share_no_core_go_side_by_side() -> None:
    together = [[each.number for each in made] for made in flaky.rounds(flaky.plan(8, 1, [0, 1]))]
    assert together == [[1], [2], [3, 4], [5], [6], [7, 8]]
    alone = flaky.rounds(flaky.plan(4, 1, [0]))
    assert [len(made) for made in alone] == [1] * 4


def test_what_fails_now_and_then_is_summed_up(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(TESTS)
    out = tmp_path / "out.json"
    command = [sys.executable, "scripts/flaky.py", "--runs", "4", "--json", str(out), str(tmp_path)]
    (tmp_path / "kept").mkdir()
    # plug-ins that nothing here uses take most of the time of four runs, and of the busy loops beside them
    environment = os.environ | {"TMPDIR": str(tmp_path / "kept"), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    assert "failed in run 1: " in done.stdout
    assert "3 of 4 runs without a failure" in done.stdout
    results = json.loads(out.read_text())
    assert [result["tests"] for result in results] == [4] * 4
    (logs,) = (tmp_path / "kept").glob("flaky-*")  # of the run that failed
    assert [result["logs"] for result in results] == [str(logs), "", "", ""]
    assert f"; logs: {logs}\n" in done.stdout
    assert "the first run fails" in (logs / "chosen.log").read_text()
    lines = [line.split() for line in (tmp_path / "seen").read_text().splitlines()]
    processes = {process for *_, process in lines}
    assert len(processes) == 4
    orders = {tuple(name for name, _, process in lines if process == own) for own in processes}
    assert len(orders) > 1
    assert [int(cores) for _, cores, _ in lines[8:]] == [1] * 8

    more = subprocess.run(
        [*command[:3], "5", *command[4:]], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert more.returncode == 1, more.stderr  # of the run before
    assert "4 of 5 runs without a failure" in more.stdout
    assert [line.split(":")[0] for line in more.stdout.splitlines() if line.startswith("run ")] == ["run 5"]
    assert len((tmp_path / "seen").read_text().splitlines()) == 20
    assert json.loads(out.read_text())[:4] == results


def test_file_that_holds_something_else_is_not_written_over(tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    out.write_text('{"place": 1}')
    command = [sys.executable, "scripts/flaky.py", "--json", str(out)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "does not hold results of scripts/flaky" in done.stderr
    assert out.read_text() == '{"place": 1}'


def test_all_tests_run_in_the_groups_that_run_side_by_side() -> None:
    groups = flaky._groups([])
    assert groups.keys() == side_by_side.GROUPS.keys()
    assert all(groups[name][: len(places)] == places for name, places in side_by_side.GROUPS.items())
    assert flaky._groups(["tests/registry", "-x"]) == {"chosen": ["tests/registry", "-x"]}


def test_summary_names_the_runs_of_each_failure() -> None:
    first, second = flaky.plan(2, 1, [0])
    results = [
        flaky.Result(first, tests=3, seconds=1.0, failed=["x::a"]),
        flaky.Result(second, tests=3, seconds=2.0, failed=["x::a", "x::b"]),
    ]
    assert flaky.summary(results).splitlines() == [
        "failed in run 1, 2: x::a",
        "failed in run 2: x::b",
        "0 of 2 runs without a failure; the slowest took 2 s.",
    ]
