"""Cells that are told by their first bytes are those that a look at all of them finds."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc
from hypothesis import given, settings
from hypothesis import strategies as st

from app.datasets.readers import odd_cells, stray_cells
from app.datasets.readers.first_bytes import first_bytes, matches

TEXTS = st.lists(st.none() | st.text("tTrueFalse 1.-+5\t\r\u00a0\u3000é[x", max_size=5), max_size=30)


@settings(deadline=None)
@given(TEXTS, st.integers(0, 3))
def test_first_bytes_are_those_of_the_texts(texts: list[str | None], start: int) -> None:
    cells = pa.array(texts, pa.large_string()).slice(start)
    assert first_bytes(cells).tolist() == [text.encode()[0] if text else 0 for text in texts[start:]]


@settings(deadline=None)
@given(TEXTS, st.integers(0, 3))
def test_few_candidates_or_many_the_matches_are_the_same(texts: list[str | None], start: int) -> None:
    for others in (0, 300):  # cells that begin with something else
        cells = pa.array([*texts, *["x"] * others], pa.large_string()).slice(start)
        for may_begin, pattern in (
            (odd_cells._BEGIN_BOOL, odd_cells._BOOL),
            (stray_cells._BEGIN_NUMBER, stray_cells._NUMBER),
        ):

            def match(some: pa.Array, pattern: str = pattern) -> pa.Array:
                return pc.match_substring_regex(some, pattern)

            assert matches(cells, may_begin, match).to_pylist() == match(cells).to_pylist()

        def opens(some: pa.Array) -> pa.Array:
            return pc.starts_with(pc.utf8_ltrim_whitespace(some), "[")

        assert matches(cells, odd_cells._BEGIN_LIST, opens).to_pylist() == opens(cells).to_pylist()
