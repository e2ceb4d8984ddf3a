"""The scripts at the root and what they leave to Python."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from scripts import dependencies, side_by_side
from tests import facilities
from tests.ports import free_port
from tests.tied import tied
from tests.waiting import wait_for

ROOT = Path(__file__).parent.parent


MISSING = facilities.Facility("A thing", lambda: False, "its tests are skipped", "scripts/thing")


@pytest.mark.parametrize(("fails", "status"), [("", 0), ("engine", 1), ("others", 1), ("nothing", 5)])
def test_groups_of_tests_run_side_by_side_and_end_with_one_line_for_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], fails: str, status: int
) -> None:
    """Each group waits for the file that the other one makes."""
    wait = "import pathlib, time\ndef test_waits():\n    pathlib.Path('{mine}').touch()\n    end = time.time() + 60\n"
    wait += "    while not pathlib.Path('{other}').exists():\n        assert time.time() < end\n"
    for name, other, place in (("engine", "others", "tests/estimator"), ("others", "engine", "tests/api")):
        (tmp_path / place).mkdir(parents=True)
        program = wait.format(mine=name, other=other) + "        time.sleep(0.01)\n"
        program += f"    assert {name == fails} is False\n"
        (tmp_path / place / f"test_{name}.py").write_text(program if fails != "nothing" else "")
    skipped = "import pytest\n@pytest.mark.skip(reason='no browser')\ndef test_one():\n    pass\n"
    (tmp_path / "tests" / "test_skipped.py").write_text(skipped)
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = -ra -p no:cacheprovider\n")
    monkeypatch.setattr(facilities, "FACILITIES", (MISSING,))
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setattr(side_by_side, "ROOT", tmp_path)
    monkeypatch.setattr(side_by_side, "GROUPS", {"engine": ["tests/estimator"], "others": ["tests"]})

    assert side_by_side.main() == status

    lines = capfd.readouterr().out.splitlines()
    end = lines[lines.index("") + 1 :]
    assert "SKIPPED [1] tests/test_skipped.py:2: no browser" in end
    assert "Not here: A thing: its tests are skipped. To have it: scripts/thing." in end
    failed = [line for line in end if line.startswith("FAILED ")]
    counts = {"": "2 passed, 1 skipped", "nothing": "1 skipped"}.get(fails, "1 failed, 1 passed, 1 skipped")
    assert len(failed) == counts.startswith("1 failed")
    assert re.fullmatch(rf"===== {counts} in \d+ s =====", end[-1]), end


def test_every_test_is_in_one_group() -> None:
    files = {path.relative_to(ROOT).as_posix() for path in (ROOT / "tests").rglob("test_*.py")}
    seen: list[str] = []
    for group in side_by_side.groups(side_by_side.GROUPS):
        places = [place for place in group.arguments if not place.startswith("--")]
        ignored = [place.removeprefix("--ignore=") for place in group.arguments if place.startswith("--")]
        assert [place for place in [*places, *ignored] if not (ROOT / place).exists()] == []
        seen += [
            file
            for file in sorted(files)
            if any(Path(file).is_relative_to(place) for place in places)
            and not any(Path(file).is_relative_to(place) for place in ignored)
        ]
    assert sorted(seen) == sorted(files)


def test_a_missing_facility_is_named_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(facilities, "FACILITIES", (MISSING, facilities.Facility("Here", lambda: True, "", "")))

    assert facilities.report() == ["Not here: A thing: its tests are skipped. To have it: scripts/thing."]


def test_lock_file_satisfies_the_project_and_only_accepted_licences_are_in_it() -> None:
    assert dependencies.unsatisfied(dependencies.LOCK, ROOT / "pyproject.toml") == []
    assert dependencies.unacceptable(dependencies.LOCK) == []


def test_a_stale_lock_file_is_told(tmp_path: Path) -> None:
    lock = tmp_path / "requirements.lock"
    lock.write_text(dependencies.LOCK.read_text().replace("\nhttpx==0.28.1 ", "\nhttpx==0.27.0 "))

    (told,) = dependencies.unsatisfied(lock, ROOT / "pyproject.toml")

    assert told == "httpx>=0.28 is not satisfied (0.27.0): run scripts/lock"


class _Osv(BaseHTTPRequestHandler):
    """Answers as OSV's querybatch does, with one vulnerability of numpy."""

    def do_POST(self) -> None:
        queries = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["queries"]
        assert all(query["version"] and query["package"]["ecosystem"] == "PyPI" for query in queries)
        results = [{"vulns": [{"id": "GHSA-1"}]} if query["package"]["name"] == "numpy" else {} for query in queries]
        body = json.dumps({"results": results}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: Any) -> None:
        pass


@pytest.fixture
def osv() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), _Osv) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_known_vulnerabilities_of_pinned_versions_are_found(osv: str) -> None:
    version = dependencies.pins(dependencies.LOCK)["numpy"]

    assert dependencies.vulnerable(dependencies.LOCK, osv) == [f"numpy {version}: GHSA-1"]


def test_a_database_that_does_not_answer_is_told_plainly(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OSV_URL", "http://127.0.0.1:9")

    assert dependencies.main([dependencies.LOCK]) == 0
    assert "requirements.lock was NOT checked for known vulnerabilities" in capsys.readouterr().out


def test_hooks_before_a_commit_run_programs_that_are_there(tmp_path: Path) -> None:
    (repository,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    clean = tmp_path / "clean.py"
    clean.write_text("x = 1\n")

    assert repository["repo"] == "local"
    for hook in repository["hooks"]:
        program, *arguments = shlex.split(hook["entry"])
        if hook.get("pass_filenames", True):
            program = sys.executable if program == ".venv/bin/python" else program
            assert subprocess.run([program, *arguments, clean], cwd=ROOT, check=False).returncode == 0, hook["id"]
        else:
            assert os.access(ROOT / program, os.X_OK)


def test_dev_starts_the_service_anew_when_a_file_changes(tmp_path: Path) -> None:
    for name in ("app", "workers", "tf_estimator", "migrations", "scripts"):
        shutil.copytree(ROOT / name, tmp_path / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "scripts" / "_venv").write_text(f"cd {tmp_path}\nPY={sys.executable}\n")
    port = free_port()
    without = {"DATABASE_URL": "", "REDIS_URL": "", "PREDICTOR": "none"}  # nothing is predicted here
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), **without}
    command = ["scripts/dev", "--port", str(port), "--data-dir", str(tmp_path / "data")]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            tied(command), cwd=tmp_path, env=environment, stdout=log, stderr=log, start_new_session=True
        )
    try:
        wait_for(lambda: _answers(port))
        with (tmp_path / "app" / "ids.py").open("a") as file:
            file.write("\n# changed\n")
        wait_for(lambda: _api_starts(tmp_path / "log") == 2 and _answers(port))
    finally:
        os.killpg(process.pid, signal.SIGINT)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            raise


def _api_starts(log: Path) -> int:
    return sum("started" in line and "api" in line for line in log.read_text(errors="replace").splitlines())


def _answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/healthz", timeout=10, trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


def test_library_that_the_dashboard_ships_is_the_locked_one(tmp_path: Path) -> None:
    """The script puts together what npm fetched: here an npm that brings the parts of the committed file."""
    web = ROOT / "app" / "web"
    shipped = (web / "static" / "uplot.js").read_text()
    licence, _, rest = shipped.removeprefix("/*!\n").partition("*/\n")
    library = rest.removesuffix("export default uPlot;\n")
    version = json.loads((web / "package-lock.json").read_text())["packages"]["node_modules/uplot"]["version"]
    assert f"(v{version})" in library.splitlines()[0]
    assert "Permission is hereby granted, free of charge" in licence

    (tmp_path / "scripts").mkdir()
    shutil.copy(ROOT / "scripts" / "web", tmp_path / "scripts")
    (tmp_path / "app" / "web" / "static").mkdir(parents=True)
    parts = tmp_path / "parts" / "uplot"
    (parts / "dist").mkdir(parents=True)
    (parts / "LICENSE").write_text(licence)
    (parts / "dist" / "uPlot.iife.min.js").write_text(library)
    (parts / "dist" / "uPlot.min.css").write_text((web / "static" / "uplot.css").read_text().split("\n", 1)[1][:-1])
    npm = tmp_path / "bin" / "npm"
    npm.parent.mkdir()
    npm.write_text(f'#!/bin/sh\n[ "$1" = ci ] && mkdir node_modules && cp -r {shlex.quote(str(parts))} node_modules/\n')
    npm.chmod(0o755)
    path = {**os.environ, "PATH": f"{npm.parent}:{os.environ['PATH']}"}

    subprocess.run([tmp_path / "scripts" / "web"], env=path, check=True)

    for name in ("uplot.js", "uplot.css"):
        made = (tmp_path / "app" / "web" / "static" / name).read_text()
        assert made == (web / "static" / name).read_text(), name
