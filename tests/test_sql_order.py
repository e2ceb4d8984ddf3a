from __future__ import annotations

import pytest

from tests.sql_order import fault


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("SELECT jobs.id FROM jobs", ""),
        ("SELECT jobs.id FROM jobs LIMIT ?", "a LIMIT without"),
        (
            "SELECT jobs.id FROM jobs ORDER BY jobs.created_at DESC LIMIT ?",
            "leaves ties: its last column is created_at",
        ),
        ("SELECT jobs.id\nFROM jobs\nORDER BY jobs.created_at DESC,\n jobs.id DESC\n LIMIT ?", ""),
        (
            "SELECT j.id FROM (SELECT id FROM jobs ORDER BY jobs.sent_at LIMIT ?) AS j ORDER BY j.id",
            "column is sent_at",
        ),
        ("SELECT jobs.id FROM jobs ORDER BY jobs.lease_expires_at FOR UPDATE SKIP LOCKED", "is lease_expires_at"),
    ],
)
def test_order_that_rests_on_luck_is_found(statement: str, expected: str) -> None:
    found = fault(statement)
    assert expected in found and bool(found) == bool(expected)
