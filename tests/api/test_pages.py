"""The dashboard's page and the static files, as a browser gets them."""

from __future__ import annotations

import re

from tests.api.conftest import Api
from tests.documented import ROOT


def test_static_file_is_not_sent_again_to_who_has_it(api: Api) -> None:
    first = api.http.get("/static/swagger-ui.css")
    assert first.headers["content-type"].startswith("text/css")
    for tag in (first.headers["etag"], f'W/{first.headers["etag"]}, "x"', "*"):
        again = api.http.get("/static/swagger-ui.css", headers={"If-None-Match": tag})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", first.headers["etag"])
    head = api.http.head("/static/swagger-ui.css")
    assert (head.status_code, head.content, head.headers["content-length"]) == (
        200,
        b"",
        first.headers["content-length"],
    )


def test_static_file_is_packed_for_who_takes_that(api: Api) -> None:
    packed = api.http.get("/static/swagger-ui.css", headers={"Accept-Encoding": "br, gzip"})
    plain = api.http.get("/static/swagger-ui.css", headers={"Accept-Encoding": "identity"})
    assert packed.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in plain.headers
    assert packed.content == plain.content
    assert int(packed.headers["content-length"]) < int(plain.headers["content-length"]) / 3
    assert packed.headers["etag"] != plain.headers["etag"]
    assert packed.headers["vary"] == plain.headers["vary"] == "accept-encoding"


def test_first_page_is_small_and_names_all_of_its_parts(api: Api) -> None:
    """So that they are fetched at once, not one after the other as they import each other."""
    page = api.http.get("/")
    parts = re.findall(r'(?:href|src)="(/static/[^"]+)"', page.text)
    modules = {f"/static/{path.name}" for path in (ROOT / "app/web/static").glob("*.js")}
    later = {"/static/uplot.js"}  # with the first chart
    assert len(parts) == len(set(parts))
    assert {part for part in parts if part.endswith(".js")} == modules - later
    answers = [page, *(api.http.get(path) for path in (*parts, *later))]
    assert {answer.status_code for answer in answers} == {200}
    assert sum(int(answer.headers["content-length"]) for answer in answers) <= 120_000
