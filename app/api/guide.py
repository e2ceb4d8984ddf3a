"""The documentation site below `/guide/`: static files that `scripts/docs` made, read when they are asked for."""

from __future__ import annotations

from pathlib import Path

from app.api.pages import DOCS_POLICY
from app.http.auth import GUIDE
from app.http.public import Page

BUILT = Path(__file__).parents[1] / "web" / "guide"
_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".webp": "image/webp",
}
_NOT_BUILT = b"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Estimator Service: guide</title></head>
<body><p>The guide has not been built here. In the checkout that the service runs from, type
<code>scripts/docs</code> and load this page again. Its sources are the files of <code>docs/</code>.</p></body></html>
"""


class Guide:
    """Pages of the built documentation, read from a directory.

    Args:
        root: what `scripts/docs` made. It may come while the service runs.
    """

    def __init__(self, root: Path = BUILT) -> None:
        self._root = root.resolve()

    def __call__(self, path: str) -> Page | str | None:
        """The file that a path means; the path to ask for instead; None: there is no such file."""
        if not self._root.is_dir():
            return _page(_NOT_BUILT, ".html")
        try:
            found = (self._root / path.removeprefix(GUIDE).lstrip("/")).resolve()
            if not found.is_relative_to(self._root):
                return None
            if found.is_dir():
                if not path.endswith("/"):
                    return path + "/"
                found /= "index.html"
            return _page(found.read_bytes(), found.suffix)
        except (OSError, ValueError):  # there is no such file, or no such name can be
            return None


def _page(body: bytes, suffix: str) -> Page:
    headers = {"Cache-Control": "no-cache"}
    if suffix == ".html":
        headers |= {"Content-Security-Policy": DOCS_POLICY, "Referrer-Policy": "no-referrer"}
    return Page.of(body, _TYPES.get(suffix, "application/octet-stream"), headers)
