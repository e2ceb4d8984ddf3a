"""The client can do all that the service offers."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
#: For those who watch the service, not for those who use it.
NOT_FOR_CLIENTS = {"/healthz", "/metrics"}
_WHOLE = {"self._path": "/v1/jobs/{}", "version_path(model, version, label)": "/v1/models/{}"}


def paths_in_code() -> list[str]:
    """Every path that stands in the client, `{}` for what is put in."""
    texts = []
    for file in sorted((ROOT / "estimator_client").glob("async_*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                texts.append(node.value)
            elif isinstance(node, ast.JoinedStr):
                texts.append("".join(_text(part) for part in node.values))
    return [text for text in texts if text.startswith("/")]


def _text(part: ast.expr) -> str:
    if isinstance(part, ast.Constant):
        return str(part.value)
    assert isinstance(part, ast.FormattedValue)
    return _WHOLE.get(ast.unparse(part.value), "{}")


def test_every_route_has_a_method() -> None:
    routes = json.loads((ROOT / "docs" / "openapi.json").read_text())["paths"].keys() - NOT_FOR_CLIENTS
    known = [re.compile(re.escape(path).replace(r"\{\}", r"[^/:]+")) for path in paths_in_code()]
    missing = set()
    for route in routes:
        # a version or label in the path of a prediction or of metadata is put there by `version_path`
        shorter = re.sub(r"/(versions|labels)/{\w+}(?=:|/metadata)", "", route)
        if not any(pattern.fullmatch(path) for pattern in known for path in (route, shorter)):
            missing.add(route)
    assert missing == set()
