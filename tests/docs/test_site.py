"""The documentation site, built as the image's stage builds it: from the files that the stage has and no others, with
the packages of its lock file and no others."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pytest
from packaging.utils import canonicalize_name

from app.api.guide import Guide
from app.api.pages import pages
from app.http.public import PublicApp
from scripts import guide
from scripts.dependencies import pins
from tests.api.conftest import served
from tests.e2e.browser import MISSING, Browser
from tests.waiting import wait_for

ROOT = Path(__file__).parents[2]
_RUN = """
import json, runpy, sys
sys.argv = ["scripts/guide.py", sys.argv[1]]
try:
    runpy.run_path("scripts/guide.py", run_name="__main__")
finally:
    print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""


class Built:
    def __init__(self, folder: Path) -> None:
        stage = (ROOT / "Dockerfile").read_text().partition(" AS guide\n")[2].partition("\nFROM ")[0]
        source, self.site = folder / "source", folder / "site"
        for line in re.findall(r"^COPY (.+)$", stage, re.MULTILINE):
            *names, target = line.split()
            for path in (path for name in names for path in ROOT.glob(name)):
                copied = source / target / (path.name if target.endswith("/") else "")
                copied.parent.mkdir(parents=True, exist_ok=True)
                (shutil.copytree if path.is_dir() else shutil.copy)(path, copied)
        command = [sys.executable, "-c", _RUN, str(self.site)]
        self.done = subprocess.run(command, cwd=source, capture_output=True, text=True, timeout=500)
        self.pages = {path.relative_to(self.site).as_posix(): path.read_text() for path in self.site.rglob("*.html")}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    return Built(tmp_path_factory.mktemp("guide"))


def test_site_is_built_without_a_warning(built: Built) -> None:
    assert built.done.returncode == 0, built.done.stdout + built.done.stderr


def test_only_locked_packages_are_imported(built: Built) -> None:
    imported = json.loads(built.done.stdout.splitlines()[-1])
    belong_to = packages_distributions()
    used = {canonicalize_name(name) for module in imported for name in belong_to.get(module, [])}
    locked = {canonicalize_name(name) for name in pins(ROOT / "requirements-docs.lock")}
    assert "sphinx" in used
    # the first patches itself into every process, the second measures pictures where it is there
    assert used - locked <= {"setuptools", "pillow"}


def test_every_document_is_in_the_navigation(built: Built) -> None:
    front = built.pages["index.html"]
    for page in guide.Site().pages.values():
        name = page.removesuffix(".md")
        assert name == "index" or f'href="{name}/"' in front, name


def test_nothing_is_loaded_from_another_host(built: Built) -> None:
    for path in (path for path in built.site.rglob("*") if path.suffix in {".html", ".css", ".js"}):
        text = path.read_text()
        assert re.findall(r"""<(?:script|img|iframe)[^>]*\ssrc=["']?(?:https?:)?//""", text) == [], path
        assert re.findall(r"""<link[^>]*\shref=["']?(?:https?:)?//""", text) == [], path
        assert re.findall(r"(?:url\(|@import )[\"']?(?:https?:)?//", text) == [], path


def test_links_between_pages_lead_to_pages_and_links_to_source_code_are_gone(built: Built) -> None:
    for name, text in built.pages.items():
        here = (built.site / name).parent
        for target in re.findall(r'<a [^>]*href="([^"#?:]+)[#"]', text):
            found = (here / target).resolve()
            assert found.is_relative_to(built.site), (name, target)
            assert (found / "index.html").is_file() or found.is_file(), (name, target)


def test_routes_and_commands_have_their_reference(built: Built) -> None:
    assert 'POST</span> <span class="pre">/v1/datasets</span>' in built.pages["reference/api/index.html"]
    assert 'jobs</span> <span class="pre">compare</span>' in built.pages["reference/command-line/index.html"]


async def _nobody(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 404, "headers": []})
    await send({"type": "http.response.body", "body": b""})


@pytest.mark.skipif(MISSING is not None, reason=str(MISSING))
def test_pages_and_search_work_in_a_browser_under_the_service_s_policy(built: Built, tmp_path: Path) -> None:
    app = PublicApp(_nobody, pages=pages(), document=bytes, ready=bytes, guide=Guide(built.site))
    with served(app) as address, Browser(tmp_path / "profile") as browser:
        browser.emulate(width=1200)
        browser.open(f"{address}/guide/concepts/job/")
        assert browser.text("h1").startswith("The life of a job")
        assert browser.run("return [...document.images].every((image) => image.naturalWidth > 0)")
        browser.open(f"{address}/guide/search/?q=heartbeat")
        wait_for(lambda: "The life of a job" in browser.text("#search-results"))
        assert browser.console() == []
