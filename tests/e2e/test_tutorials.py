"""Tutorials, how-to pages and the page on the client, followed word for word beside one running service."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.browser import MISSING, Browser
from tests.e2e.conftest import ROOT, RunningService
from tests.e2e.person import opened
from tests.follow import Hand, Reader
from tests.pages import blocks
from tests.waiting import wait_for

DOCS = ROOT / "docs"
TUTORIALS = DOCS / "tutorials"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    running = RunningService(tmp_path_factory.mktemp("service"), {"DATABASE_URL": "", "REDIS_URL": ""})
    yield running
    running.stop()


@pytest.fixture
def folder(tmp_path: Path, service: RunningService) -> Path:
    """A checkout as a reader of a tutorial has it: documents, and the service's data directory."""
    (tmp_path / "docs").symlink_to(ROOT / "docs")
    (tmp_path / "data").symlink_to(service.data_dir)
    return tmp_path


@pytest.fixture
def replace(service: RunningService) -> dict[str, str]:
    return {"http://127.0.0.1:8000": service.address}


@pytest.fixture
def reader(folder: Path, service: RunningService, replace: dict[str, str]) -> Iterator[Reader]:
    """Of a page that begins with a service without models: several pages make `penguins`."""
    for model in service.get("/v1/models")["models"]:
        path = f"/v1/models/{model['name']}"
        for gone in (*(f"{path}/labels/{label}" for label in model["labels"]), path):
            assert service.http.delete(gone).status_code == 204
    with Reader(folder, {"ESTIMATOR_URL": service.address}, replace) as one:
        yield one


@pytest.mark.parametrize(
    ("name", "runs"), [("penguins", 8), ("text-sequences", 7), ("old-repository", 6)], ids=lambda value: str(value)
)
def test_a_tutorial_does_what_it_says(reader: Reader, name: str, runs: int) -> None:
    assert reader.follow(TUTORIALS / f"{name}.md") == runs


@pytest.mark.parametrize(
    ("name", "runs"),
    [
        ("how-to/gpu-workers", 1),
        ("how-to/notebooks", 3),
        ("how-to/postgresql-redis", 1),
        ("how-to/security", 2),
        ("client", 2),
    ],
    ids=lambda value: str(value),
)
def test_a_page_does_what_it_says(reader: Reader, folder: Path, name: str, runs: int) -> None:
    (folder / "penguins.csv").symlink_to(TUTORIALS / "penguins.csv")
    assert reader.follow(DOCS / f"{name}.md") == runs


@pytest.mark.skipif(MISSING is not None, reason=str(MISSING))
def test_penguins_by_hand(
    browser: Browser, service: RunningService, folder: Path, reader: Reader, replace: dict[str, str]
) -> None:
    page = TUTORIALS / "penguins.md"
    reader.run(blocks(page)[0])
    opened(browser, service)
    by_hand = page.read_text().partition("\n## In the dashboard\n")[2].partition("\n## ")[0]
    until_asked, _, what_if = by_hand.partition("\n6. ")
    hand = Hand(browser, folder, replace)
    assert hand.follow(until_asked) == 18
    before = browser.text("[data-key=answer]")
    assert all(species in before for species in ("Adelie", "Chinstrap", "Gentoo"))
    assert hand.follow(f"6. {what_if}") == 2
    wait_for(lambda: browser.text("[data-key=answer]") not in ("", before), "the answer to another value")
