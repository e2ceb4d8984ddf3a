"""The documentation site below `/guide/`."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from app.api.guide import Guide
from app.http.public import Page
from tests.api.conftest import Api


@pytest.fixture
def guide(tmp_path: Path) -> Guide:
    root = tmp_path / "guide"
    (root / "jobs").mkdir(parents=True)
    (root / "index.html").write_text("front")
    (root / "jobs" / "index.html").write_text("jobs")
    (root / "style.css").write_text("p {}")
    (tmp_path / "secret.html").write_text("secret")
    (root / "outside.html").symlink_to(tmp_path / "secret.html")
    return Guide(root)


@pytest.mark.parametrize(
    ("path", "body"), [("/guide/", b"front"), ("/guide/jobs/", b"jobs"), ("/guide/style.css", b"p {}")]
)
def test_a_path_is_answered_with_its_file(guide: Guide, path: str, body: bytes) -> None:
    page = guide(path)
    assert isinstance(page, Page)
    assert page.body == body


@pytest.mark.parametrize("path", ["/guide", "/guide/jobs"])
def test_a_folder_without_its_slash_is_sent_there(guide: Guide, path: str) -> None:
    assert guide(path) == path + "/"


@pytest.mark.parametrize(
    "path",
    [
        "/guide/../secret.html",
        "/guide/jobs/../../secret.html",
        "/guide//secret.html",
        "/guide/outside.html",
        "/guide/nothing",
        "/guide/\0",
        "/guide/" + 5000 * "x",
    ],
)
def test_what_is_not_in_the_guide_is_not_answered(guide: Guide, path: str) -> None:
    assert guide(path) is None


def test_guide_needs_no_token_and_says_how_it_is_built(shared_api: Api) -> None:
    with httpx.Client(base_url=shared_api.http.base_url, trust_env=False) as http:
        answer = http.get("/guide/")
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        assert "scripts/docs" in answer.text or "Estimator Service" in answer.text
        assert http.get("/guide/", headers={"If-None-Match": answer.headers["etag"]}).status_code == 304
        assert http.post("/guide/").status_code == 401
        assert http.get("/guidebook").status_code == 401
