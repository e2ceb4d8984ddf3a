"""Numbers and missing values that a file writes in its own way, as the schema says."""

from __future__ import annotations

import re

import pyarrow as pa
import pyarrow.compute as pc

from app.datasets.upload_schema import Spelling

#: What no number is; a cell that breaks the spelling becomes this, so that reading it fails and its line is reported.
_NO_NUMBER = "?"


def without_nulls(cells: pa.Array, spelling: Spelling) -> pa.Array:
    """Text cells with null in place of the schema's null values."""
    if not spelling.null_values:
        return cells
    values = pa.array(list(spelling.null_values), cells.type)
    return pc.if_else(pc.is_in(pc.utf8_trim_whitespace(cells), values), None, cells)


def plain_numbers(cells: pa.Array, spelling: Spelling) -> pa.Array:
    """Text cells with numbers in the one way that is read: digits, a point, a sign; what breaks the spelling becomes
    a text that is no number. "1,02" is no number with thousands: its group has two digits."""
    cells = pc.utf8_trim_whitespace(cells)
    if spelling.plain:
        return cells
    if spelling.strip:
        characters = spelling.strip + " \t\u00a0\u202f"
        cells = pc.utf8_trim(cells, characters=characters)
        inner = "".join(re.escape(character) for character in dict.fromkeys(characters))
        cells = pc.replace_substring_regex(cells, pattern=f"^([+-])[{inner}]+", replacement=r"\1")
    decimal = re.escape(spelling.decimal)
    if spelling.thousands is not None:
        group = re.escape(spelling.thousands)
        whole = rf"^[+-]?\d{{1,3}}(?:{group}\d{{2,3}})*{group}\d{{3}}(?:{decimal}\d*)?$"
        grouped = pc.match_substring_regex(cells, whole)
        bare = pc.replace_substring(cells, pattern=spelling.thousands, replacement="")
        without = pc.invert(pc.match_substring(cells, spelling.thousands))
        cells = pc.if_else(grouped, bare, pc.if_else(without, cells, _NO_NUMBER))
    if spelling.decimal != ".":
        cells = pc.if_else(pc.match_substring(cells, "."), _NO_NUMBER, cells)
        cells = pc.replace_substring(cells, pattern=spelling.decimal, replacement=".")
    return cells
