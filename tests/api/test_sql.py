"""Routes ask repositories: no SQL of their own."""

from __future__ import annotations

import ast
from pathlib import Path

_API = Path(__file__).resolve().parents[2] / "app" / "api"
_STATEMENTS = {"select", "insert", "update", "delete", "text", "func"}


def test_routes_make_no_sql_statements() -> None:
    found = {
        f"{path.name}: {alias.name}"
        for path in sorted(_API.rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "sqlalchemy"
        for alias in node.names
        if alias.name in _STATEMENTS
    }
    assert found == set()
